// The boxes of layers, and nested models that open in their place

function makeBox(number, index) {
  const box = page.frames[number].boxes[index];
  const element = make("div", `box c-${box.category}${box.status ? ` s-${box.status}` : ""}${box.gone ? " gone" : ""}`);
  element.dataset.frame = number;
  element.dataset.box = index;
  element.tabIndex = -1;
  element.setAttribute("role", "button");
  element.setAttribute("aria-label", [box.title, box.name, box.called, box.mark, box.share ? `${box.share} zeros` : ""].filter(Boolean).join(", "));
  element.title = [box.kind === "output" ? `output of ${box.name}` : box.address, box.mark].filter(Boolean).join("\n");
  if (box.kind === "input" || box.kind === "output") {
    element.classList.add("terminal");
    element.append(...makeSign(box), `${box.title}  `, make("span", "row-name", box.name));
    return element;
  }
  const head = make("div", "head"), body = make("div", "body");
  head.append(...makeSign(box), make("span", "class", box.title), ...(box.called ? [make("span", "calls", box.called)] : []));
  body.append(breakable("div", "row name", box.name));
  for (const text of box.weights) body.append(make("div", "row weight", text));
  for (const text of box.settings) body.append(make("div", "row setting", text));
  if (box.mark) {
    element.classList.add("marked");
    body.append(make("div", "row mark", box.sign ? box.mark : `● ${box.mark}`));
  }
  if (box.share) body.append(makeBar(box));
  element.append(head, body);
  if (box.frame !== undefined) {
    element.classList.add("model");
    head.append(makeToggle(number, index, element));
  }
  return element;
}

function makeSign(box) {
  return box.sign ? [make("span", "sign", box.sign)] : [];
}

function makeToggle(number, index, element) {
  const toggle = make("button", "", "Open");
  toggle.type = "button";
  toggle.tabIndex = -1;
  toggle.setAttribute("aria-expanded", "false");
  toggle.setAttribute("aria-label", `Open ${page.frames[number].boxes[index].name}`);
  toggle.addEventListener("click", (event) => { event.stopPropagation(); setOpen(number, index, !element.classList.contains("open")); layout(); });
  return toggle;
}

function makeBar(box) {
  const bar = make("div", "bar"), rail = make("i");
  const part = (className, share) => {
    const fill = make("b", className);
    fill.style.width = `${Math.max(share * 100, share > 0 ? 2 : 0)}%`;
    rail.append(fill);
  };
  part("after", box.sparsity);
  if (box.before) part("before", box.before);
  bar.append(rail, make("span", "", `${box.share} zeros`));
  return bar;
}

function makeFrame(number) {
  const frame = page.frames[number], element = make("div", "frame"), svg = draw("svg", {});
  const boxes = frame.boxes.map((_, index) => makeBox(number, index));
  element.append(svg, ...boxes);
  shown.set(number, { element, svg, boxes, width: 0, height: 0 });
  return element;
}

function setOpen(number, index, open) {
  const box = page.frames[number].boxes[index], element = shown.get(number).boxes[index];
  const inner = page.frames[box.frame], title = element.querySelector(":scope > .head > .class");
  const toggle = element.querySelector(":scope > .head > button");
  if (open && inner.boxes.length && !element.classList.contains("open")) {
    const inside = make("div", "inside");
    inside.append(makeFrame(box.frame));
    element.append(inside);
    title.textContent = `${box.title}  ${box.name}`;
  } else if (!open && element.classList.contains("open")) {
    forget(box.frame);
    element.querySelector(":scope > .inside").remove();
    title.textContent = box.title;
  }
  element.classList.toggle("open", open);
  toggle.textContent = open ? "Close" : "Open";
  toggle.setAttribute("aria-expanded", String(open));
  toggle.setAttribute("aria-label", `${open ? "Close" : "Open"} ${box.name}`);
}

function forget(number) {
  for (const box of page.frames[number].boxes) if (box.frame !== undefined && shown.has(box.frame)) forget(box.frame);
  shown.delete(number);
  if (selected && selected.frame === number) selected = null;
}
