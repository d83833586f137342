"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const stage = byId("stage"), sizer = byId("sizer"), canvas = byId("canvas"), panel = byId("panel"), find = byId("find"), list = byId("list");
  const GAP = 28, BEND = 6, ROW_GAP = 46, LISTED = 2000, SVG = "http://www.w3.org/2000/svg";
  const shown = new Map(); // frame number -> {element, boxes, wires}
  const parents = new Map(); // frame number -> {frame, box} of the model that holds it
  let zoom = 1, selected = null;

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function draw(tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  page.frames.forEach((frame, number) => frame.boxes.forEach((box, index) => { if (box.frame !== undefined) parents.set(box.frame, { frame: number, box: index }); }));

  // Boxes

  function makeBox(number, index) {
    const box = page.frames[number].boxes[index];
    const element = make("div", `box c-${box.category}`);
    element.dataset.frame = number;
    element.dataset.box = index;
    element.tabIndex = -1;
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", [box.title, box.name, box.mark, box.share ? `${box.share} zeros` : ""].filter(Boolean).join(", "));
    element.title = box.kind === "output" ? `output of ${box.name}` : box.address;
    if (box.kind === "input" || box.kind === "output") {
      element.classList.add("terminal");
      element.append(`${box.title}  `, make("span", "row-name", box.name));
      return element;
    }
    const head = make("div", "head");
    head.append(make("span", "", box.title));
    const body = make("div", "body");
    body.append(make("div", "row name", box.name));
    for (const text of box.weights) body.append(make("div", "row weight", text));
    for (const text of box.settings) body.append(make("div", "row setting", text));
    if (box.mark) {
      element.classList.add("marked");
      body.append(make("div", "row mark", `● ${box.mark}`));
    }
    if (box.share) body.append(makeBar(box));
    element.append(head, body);
    if (box.frame !== undefined) {
      element.classList.add("model");
      const toggle = make("button", "", "Open");
      toggle.type = "button";
      toggle.tabIndex = -1;
      toggle.setAttribute("aria-expanded", "false");
      toggle.setAttribute("aria-label", `Open ${box.name}`);
      toggle.addEventListener("click", (event) => { event.stopPropagation(); setOpen(number, index, !element.classList.contains("open")); layout(); });
      head.append(toggle);
    }
    return element;
  }

  function makeBar(box) {
    const bar = make("div", "bar"), rail = make("i"), fill = make("b");
    fill.style.width = `${Math.max(box.sparsity * 100, box.sparsity > 0 ? 2 : 0)}%`;
    rail.append(fill);
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
    const inner = page.frames[box.frame];
    const toggle = element.querySelector(".head button");
    if (open && inner.boxes.length && !element.classList.contains("open")) {
      const inside = make("div", "inside");
      inside.append(makeFrame(box.frame));
      element.append(inside);
      element.firstChild.firstChild.textContent = `${box.title}  ${box.name}`;
    } else if (!open && element.classList.contains("open")) {
      forget(box.frame);
      element.querySelector(":scope > .inside").remove();
      element.firstChild.firstChild.textContent = box.title;
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

  // Layout: the rows come with the page; here each box gets its place, inner frames first, as their size is that of their box

  function layout() {
    const sizes = [...shown.keys()].reverse(); // a frame is opened after the one around it
    for (const number of sizes) place(number);
    const top = shown.get(0);
    stage.style.width = `${top.width}px`;
    stage.style.height = `${top.height}px`;
    setZoom(zoom);
  }

  function place(number) {
    const frame = page.frames[number], view = shown.get(number), count = frame.boxes.length;
    const width = view.boxes.map((box) => box.offsetWidth), height = view.boxes.map((box) => box.offsetHeight);
    const feeds = new Map();
    for (const wire of frame.wires) for (let i = 1; i < wire.path.length; i += 1) {
      if (!feeds.has(wire.path[i])) feeds.set(wire.path[i], []);
      feeds.get(wire.path[i]).push(wire.path[i - 1]);
    }
    const x = new Map(), tops = new Map(), deep = new Map();
    let y = 0;
    for (const row of frame.rows) {
      placeRow(row, feeds, x, (node) => (node < count ? width[node] : BEND), count);
      const tall = Math.max(0, ...row.filter((node) => node < count).map((node) => height[node]));
      for (const node of row) { tops.set(node, y); deep.set(node, tall); }
      y += tall + ROW_GAP;
    }
    let left = Infinity, right = 0;
    for (const [node, middle] of x) left = Math.min(left, middle - (node < count ? width[node] : BEND) / 2);
    for (const [node, middle] of x) {
      x.set(node, middle - left);
      const labelled = node < count && frame.boxes[node].shape ? 12 + 6.4 * frame.boxes[node].shape.length : 0;
      right = Math.max(right, middle - left + Math.max((node < count ? width[node] : BEND) / 2, labelled));
    }
    view.width = right;
    view.height = Math.max(0, y - ROW_GAP);
    view.element.style.width = `${view.width}px`;
    view.element.style.height = `${view.height}px`;
    view.boxes.forEach((box, index) => { box.style.left = `${x.get(index) - width[index] / 2}px`; box.style.top = `${tops.get(index)}px`; });
    drawWires(frame, view, x, tops, deep, height);
  }

  function placeRow(row, feeds, x, widthOf, count) {
    const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0);
    const wanted = row.map((node) => {
      const known = (feeds.get(node) || []).filter((source) => x.has(source) && !row.includes(source));
      const boxes = known.filter((source) => source < count);
      return mean((boxes.length ? boxes : known).map((source) => x.get(source)));
    });
    let edge = -Infinity;
    row.forEach((node, index) => {
      x.set(node, Math.max(wanted[index], edge + GAP + widthOf(node) / 2));
      edge = x.get(node) + widthOf(node) / 2;
    });
    const boxes = row.some((node) => node < count);
    const shift = mean(row.map((node, index) => (boxes && node >= count ? null : wanted[index] - x.get(node))).filter((move) => move !== null));
    for (const node of row) x.set(node, x.get(node) + shift);
  }

  function drawWires(frame, view, x, tops, deep, height) {
    const parts = [];
    view.wires = frame.wires.map((wire) => {
      const { source, target } = wire, back = tops.get(target) <= tops.get(source);
      const points = [[x.get(source), tops.get(source) + height[source]]];
      for (const bend of wire.path.slice(1, -1)) points.push([x.get(bend), tops.get(bend)], [x.get(bend), tops.get(bend) + deep.get(bend)]);
      points.push([x.get(target), tops.get(target) - 1]);
      let path = `M${points[0]}`;
      if (back) {
        const [[sx, sy], [tx, ty]] = points, side = Math.max(sx, tx) + 140;
        path += `C${side} ${sy + 60} ${side} ${ty - 60} ${tx} ${ty}`;
      } else {
        for (let i = 1; i < points.length; i += 1) {
          const [[ax, ay], [bx, by]] = [points[i - 1], points[i]], half = (ay + by) / 2;
          path += ax === bx ? `L${bx} ${by}` : `C${ax} ${half} ${bx} ${half} ${bx} ${by}`;
        }
      }
      const [tx, ty] = points[points.length - 1];
      const line = draw("path", { class: back ? "wire back" : "wire", d: path });
      parts.push(line, draw("path", { class: "tip", d: `M${tx - 4} ${ty - 7}h8l-4 7z` }));
      return line;
    });
    frame.boxes.forEach((box, index) => {
      if (!box.shape) return;
      const text = draw("text", { class: "shape", x: x.get(index) + 6, y: tops.get(index) + height[index] + 15 });
      text.textContent = box.shape;
      parts.push(text);
    });
    view.svg.setAttribute("width", view.width);
    view.svg.setAttribute("height", view.height);
    view.svg.replaceChildren(...parts);
    if (selected) light();
  }

  function setZoom(value) {
    zoom = Math.min(3, Math.max(0.1, value));
    const top = shown.get(0);
    stage.style.transform = `scale(${zoom})`;
    sizer.style.width = `${top.width * zoom}px`;
    sizer.style.height = `${top.height * zoom}px`;
    byId("zoom-reset").textContent = `${Math.round(zoom * 100)}%`;
  }

  // Selection and panel

  function reveal(number) {
    const holder = parents.get(number);
    if (!holder || shown.has(number)) return;
    reveal(holder.frame);
    setOpen(holder.frame, holder.box, true);
  }

  function show(number, index, focus) {
    if (!shown.has(number)) { reveal(number); layout(); }
    mark(null);
    selected = { frame: number, box: index };
    mark(selected);
    const element = shown.get(number).boxes[index];
    element.scrollIntoView({ block: "center", inline: "center" });
    if (focus) element.focus({ preventScroll: true });
    fillPanel(number, index);
    for (const button of list.querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.key === `${number}:${index}`));
  }

  function mark(chosen) {
    for (const element of stage.querySelectorAll(".selected")) { element.classList.remove("selected"); element.tabIndex = -1; }
    for (const element of stage.querySelectorAll(".lit")) element.classList.remove("lit");
    if (!chosen) return;
    for (const element of stage.querySelectorAll('.box[tabindex="0"]')) element.tabIndex = -1;
    const element = shown.get(chosen.frame).boxes[chosen.box];
    element.classList.add("selected");
    element.tabIndex = 0;
    const toggle = element.querySelector(":scope > .head button");
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
      const other = frame.boxes[end.box], source = title === "Inputs" ? other : null;
      const item = make("li"), button = make("button", "", `${other.name} (${other.title})`);
      button.type = "button";
      button.addEventListener("click", () => show(number, end.box, true));
      item.append(button, [source && source.shape, end.note].filter(Boolean).map((text) => `  ${text}`).join(""));
      items.append(item);
    }
    return ends.length ? [make("h3", "", title), items] : [];
  }

  function fillPanel(number, index) {
    const box = page.frames[number].boxes[index];
    const close = make("button", "close", "Close");
    close.type = "button";
    close.addEventListener("click", hidePanel);
    const parts = [close, make("h2", "", box.name), make("span", `kind c-${box.category}`, box.title)];
    if (box.mark) parts.push(make("h3", "", "Rule"), table([["Wrapped by", box.rule]]));
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
    shown.get(selected.frame).boxes[selected.box].focus({ preventScroll: true });
  }

  // Find

  const entries = [];
  page.frames.forEach((frame, number) => frame.boxes.forEach((box, index) => {
    if (box.kind !== "output") entries.push({ number, index, box, text: `${box.address} ${box.title}`.toLowerCase() });
  }));

  function search() {
    const wanted = find.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const hits = entries.filter((entry) => wanted.every((word) => entry.text.includes(word)));
    byId("found").textContent = `${hits.length.toLocaleString("en")} of ${entries.length.toLocaleString("en")} layers${hits.length > LISTED ? `, the first ${LISTED.toLocaleString("en")} listed` : ""}`;
    list.replaceChildren(...hits.slice(0, LISTED).map((entry) => {
      const item = make("li"), button = make("button");
      button.type = "button";
      button.title = `${entry.box.address} (${entry.box.title})`;
      button.dataset.key = `${entry.number}:${entry.index}`;
      button.append(make("span", "a", entry.box.address), make("span", "t", entry.box.share ? `${entry.box.title} ${entry.box.share}` : entry.box.title));
      button.addEventListener("click", () => show(entry.number, entry.index, false));
      item.append(button);
      return item;
    }));
    for (const element of stage.querySelectorAll(".hit")) element.classList.remove("hit");
    if (wanted.length) for (const hit of hits) if (shown.has(hit.number)) shown.get(hit.number).boxes[hit.index].classList.add("hit");
  }

  find.addEventListener("input", search);
  find.addEventListener("keydown", (event) => {
    const first = list.querySelector("button");
    if (event.key === "Enter" && first) first.click();
    if (event.key === "Escape") { find.value = ""; search(); find.blur(); }
  });

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
    if (event.key === "/" && document.activeElement !== find) { event.preventDefault(); find.focus(); find.select(); }
  });

  // Tools

  for (const input of document.querySelectorAll("[data-show]")) {
    document.body.classList.toggle(`show-${input.dataset.show}`, input.checked); // a browser may have kept its own state
    input.addEventListener("change", () => { document.body.classList.toggle(`show-${input.dataset.show}`, input.checked); layout(); });
  }
  byId("zoom-in").addEventListener("click", () => setZoom(zoom * 1.25));
  byId("zoom-out").addEventListener("click", () => setZoom(zoom / 1.25));
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

  stage.append(makeFrame(0));
  layout();
  if (shown.get(0).boxes.length) shown.get(0).boxes[0].tabIndex = 0;
  search();
  document.documentElement.dataset.ready = "true";
})();
