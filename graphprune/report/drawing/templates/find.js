// Find: a list of hits beside the graph, their rows alone in the table; Enter goes from hit to hit

const entries = [];
function collect(number) {
  page.frames[number].boxes.forEach((box, index) => {
    if (box.kind !== "output") entries.push({ number, index, box, text: `${box.address} ${box.title} ${box.sign} ${box.mark}`.toLowerCase() });
    if (box.frame !== undefined) collect(box.frame);
  });
}
collect(0);
let hits = entries, current = -1;

function search() {
  const wanted = find.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  hits = entries.filter((entry) => wanted.every((word) => entry.text.includes(word)));
  current = -1;
  tellHits();
  list.replaceChildren(...hits.slice(0, LISTED).map(listItem));
  for (const element of stage.querySelectorAll(".hit")) element.classList.remove("hit");
  if (wanted.length) for (const hit of hits) if (shown.has(hit.number)) shown.get(hit.number).boxes[hit.index].classList.add("hit");
  const keys = new Set(hits.map((hit) => `${hit.number}:${hit.index}`));
  for (const row of rows.values()) row.hidden = !keys.has(row.dataset.key);
}

function tellHits() {
  const count = (number) => number.toLocaleString("en");
  const place = current >= 0 ? `${count(current + 1)} of ${count(hits.length)} found` : `${count(hits.length)} of ${count(entries.length)} layers`;
  byId("found").textContent = place + (hits.length > LISTED ? `, the first ${count(LISTED)} listed` : "");
}

function listItem(entry) {
  const item = make("li"), button = make("button"), box = entry.box;
  button.type = "button";
  button.title = `${box.address} (${box.title})`;
  button.dataset.key = `${entry.number}:${entry.index}`;
  if (box.status) button.className = `s-${box.status}`;
  button.append(...makeSign(box), breakable("span", "a", box.address), make("span", "t", box.share && !box.sign ? `${box.title} ${box.share}` : box.title));
  button.addEventListener("click", () => show(entry.number, entry.index, false));
  item.append(button);
  return item;
}

function goToHit(step) {
  if (!hits.length) return;
  current = (current + step + hits.length + (current < 0 && step < 0 ? 1 : 0)) % hits.length;
  show(hits[current].number, hits[current].index, false);
  tellHits();
}

find.addEventListener("input", search);
find.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); goToHit(event.shiftKey ? -1 : 1); }
  if (event.key === "Escape" && find.value) { find.value = ""; search(); }
  else if (event.key === "Escape") find.blur();
});
