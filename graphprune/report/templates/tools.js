// Mouse and keyboard

const boxOf = (target) => target instanceof Element && target.closest(".box");
stage.addEventListener("click", (event) => {
  const element = boxOf(event.target);
  if (element) show(Number(element.dataset.frame), Number(element.dataset.box), true);
});

function neighbour(element, key) {
  const frame = page.frames[Number(element.dataset.frame)], index = Number(element.dataset.box), count = frame.boxes.length;
  const at = frame.rows.findIndex((row) => row.includes(index)), real = (row) => row.filter((node) => node < count);
  const row = real(frame.rows[at]), place = row.indexOf(index);
  if (key === "ArrowLeft" || key === "ArrowRight") return row[place + (key === "ArrowLeft" ? -1 : 1)];
  const step = key === "ArrowUp" ? -1 : 1;
  for (let next = at + step; next >= 0 && next < frame.rows.length; next += step) {
    const there = real(frame.rows[next]);
    if (there.length) return there[Math.min(place, there.length - 1)];
  }
  return undefined;
}

stage.addEventListener("keydown", (event) => {
  const element = boxOf(event.target);
  if (!element || event.target !== element) return;
  const number = Number(element.dataset.frame), index = Number(element.dataset.box);
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    show(number, index, true);
  } else if (event.key.startsWith("Arrow")) {
    event.preventDefault();
    const next = neighbour(element, event.key);
    if (next === undefined) return;
    const other = shown.get(number).boxes[next];
    element.tabIndex = -1;
    other.tabIndex = 0;
    other.focus();
    other.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) hidePanel();
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && document.activeElement !== find) { event.preventDefault(); find.focus(); find.select(); }
});

// Tools

for (const input of document.querySelectorAll("[data-show]")) {
  document.body.classList.toggle(`show-${input.dataset.show}`, input.checked); // a browser may have kept its own state
  input.addEventListener("change", () => { document.body.classList.toggle(`show-${input.dataset.show}`, input.checked); layout(); });
}
byId("zoom-in").addEventListener("click", () => setZoom(zoom * 1.25));
byId("zoom-out").addEventListener("click", () => setZoom(zoom / 1.25));
byId("zoom-fit").addEventListener("click", () => setZoom(Math.min(1, (canvas.clientWidth - 16) / shown.get(0).width)));
byId("zoom-reset").addEventListener("click", () => setZoom(1));
byId("theme").addEventListener("click", () => {
  const set = document.documentElement.dataset.theme, dark = set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});
const all = byId("expand-all");
all.hidden = page.frames.length < 2;
all.addEventListener("click", () => {
  const open = all.getAttribute("aria-pressed") !== "true";
  if (open) page.frames.forEach((_, number) => reveal(number));
  else page.frames[0].boxes.forEach((box, index) => { if (box.frame !== undefined) setOpen(0, index, false); });
  all.setAttribute("aria-pressed", String(open));
  all.textContent = open ? "Close all models" : "Open all models";
  layout();
});

// Graph or table

for (const [key, row] of rows) {
  const [number, index] = key.split(":").map(Number);
  row.addEventListener("click", () => show(number, index, false));
}
for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => {
  const table = button.dataset.view === "table";
  document.body.classList.toggle("as-table", table);
  for (const other of document.querySelectorAll("[data-view]")) other.setAttribute("aria-pressed", String(other === button));
  if (table) return;
  layout();
  if (selected) show(selected.frame, selected.box, false);
});

stage.append(makeFrame(0));
layout();
if (shown.get(0).boxes.length) shown.get(0).boxes[0].tabIndex = 0;
search();
canvas.scrollLeft = (canvas.scrollWidth - canvas.clientWidth) / 2; // a wide graph begins with the middle of its first row
if (shown.get(0).boxes.length) shown.get(0).boxes[0].scrollIntoView({ block: "nearest", inline: "center" });
document.documentElement.dataset.ready = "true";
