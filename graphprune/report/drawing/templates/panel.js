// Selection and panel

function reveal(number) {
  const holder = parents.get(number);
  if (!holder || shown.has(number)) return;
  reveal(holder.frame);
  setOpen(holder.frame, holder.box, true);
}

const inTable = () => document.body.classList.contains("as-table");

function show(number, index, focus) {
  const key = `${number}:${index}`;
  if (inTable()) {
    selected = { frame: number, box: index };
    if (rows.has(key)) rows.get(key).scrollIntoView({ block: "nearest" });
  } else {
    if (!shown.has(number)) { reveal(number); layout(); }
    mark(null);
    selected = { frame: number, box: index };
    mark(selected);
    const element = shown.get(number).boxes[index];
    fillPanel(number, index); // it takes room from the graph, so it comes before scrolling
    element.scrollIntoView({ block: "center", inline: "center" });
    if (focus) element.focus({ preventScroll: true });
  }
  fillPanel(number, index);
  for (const button of list.querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.key === key));
    if (button.dataset.key === key) button.scrollIntoView({ block: "nearest" });
  }
  for (const row of document.querySelectorAll("#table tr[aria-current]")) row.removeAttribute("aria-current");
  if (rows.has(key)) rows.get(key).setAttribute("aria-current", "true");
}

function mark(chosen) {
  for (const element of stage.querySelectorAll(".selected")) { element.classList.remove("selected"); element.tabIndex = -1; }
  for (const element of stage.querySelectorAll(".lit")) element.classList.remove("lit");
  if (!chosen) return;
  for (const element of stage.querySelectorAll('.box[tabindex="0"]')) element.tabIndex = -1;
  const element = shown.get(chosen.frame).boxes[chosen.box];
  element.classList.add("selected");
  element.tabIndex = 0;
  const toggle = element.querySelector(":scope > .head > button");
  if (toggle) toggle.tabIndex = 0;
  light();
}

function light() {
  const view = shown.get(selected.frame);
  page.frames[selected.frame].wires.forEach((wire, index) => {
    if (view.wires) view.wires[index].classList.toggle("lit", wire.source === selected.box || wire.target === selected.box);
  });
}

function table(rows) {
  const element = make("table");
  for (const [name, value] of rows) {
    const row = make("tr"), cell = make("th", "", name);
    cell.scope = "row";
    row.append(cell, make("td", "", value));
    element.append(row);
  }
  return element;
}

function links(number, title, ends) {
  const frame = page.frames[number], items = make("ul");
  for (const end of ends) {
    const other = frame.boxes[end.box];
    const item = make("li"), button = make("button", "", `${other.name} (${other.title})`);
    button.type = "button";
    button.addEventListener("click", () => show(number, end.box, true));
    item.append(button, [end.shape, end.note].filter(Boolean).map((text) => `  ${text}`).join(""));
    items.append(item);
  }
  return ends.length ? [make("h3", "", title), items] : [];
}

function fillPanel(number, index) {
  const box = page.frames[number].boxes[index];
  const close = make("button", "close", "Close");
  close.type = "button";
  close.addEventListener("click", hidePanel);
  const parts = [close, make("h2", "", box.name), make("span", `kind c-${box.category}${box.status ? ` s-${box.status}` : ""}`, box.title)];
  if (box.sign) parts[2].prepend(make("span", "sign", box.sign));
  if (box.facts) parts.push(make("h3", "", page.kind), table(box.facts));
  if (box.rule) parts.push(make("h3", "", "Rule"), table([["Wrapped by", box.rule]]));
  if (box.held) parts.push(make("p", "", box.held));
  if (box.tensors) {
    const facts = [["Address", box.address], ["Trainable", box.trainable ? "yes" : "no"], ["Calls", String(box.calls)]];
    if (box.bases.length) facts.push(["Kind of", box.bases.join(", ")]);
    if (box.shape) facts.push(["Gives", box.shape]);
    if (box.share) facts.push(["Sparsity", box.share]);
    parts.push(make("h3", "", "Layer"), table(facts));
  }
  parts.push(...links(number, "Inputs", box.inputs), ...links(number, "Outputs", box.outputs));
  if (box.tensors && box.tensors.length) parts.push(make("h3", "", "Weights"));
  for (const tensor of box.tensors || []) {
    const card = make("div", "tensor"), { name, dtype, size, prunable, ...metrics } = tensor;
    card.append(make("strong", "", name), table([["Values", `${size} ${dtype}${prunable ? ", prunable" : ""}`], ...Object.entries(metrics)]));
    parts.push(card);
  }
  const attributes = Object.entries(box.attributes || {});
  if (attributes.length) parts.push(make("h3", "", "Attributes"), table(attributes));
  panel.replaceChildren(...parts);
  panel.hidden = false;
  panel.scrollTop = 0;
}

function hidePanel() {
  panel.hidden = true;
  if (!selected) return;
  const row = rows.get(`${selected.frame}:${selected.box}`);
  if (inTable() && row) row.querySelector("button").focus({ preventScroll: true });
  else if (shown.has(selected.frame)) shown.get(selected.frame).boxes[selected.box].focus({ preventScroll: true });
}
