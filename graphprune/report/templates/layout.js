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
  const sideOf = (wire) => BACK + Math.max(...[wire.source, wire.target].map((node) => x.get(node) + width[node] / 2));
  for (const wire of frame.wires) if (tops.get(wire.target) <= tops.get(wire.source)) right = Math.max(right, sideOf(wire));
  view.width = right;
  view.height = Math.max(0, y - ROW_GAP);
  view.element.style.width = `${view.width}px`;
  view.element.style.height = `${view.height}px`;
  view.boxes.forEach((box, index) => { box.style.left = `${x.get(index) - width[index] / 2}px`; box.style.top = `${tops.get(index)}px`; });
  drawWires(frame, view, x, tops, deep, height, sideOf);
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

function drawWires(frame, view, x, tops, deep, height, sideOf) {
  const parts = [];
  view.wires = frame.wires.map((wire) => {
    const { source, target } = wire, back = tops.get(target) <= tops.get(source);
    const points = [[x.get(source), tops.get(source) + height[source]]];
    for (const bend of wire.path.slice(1, -1)) points.push([x.get(bend), tops.get(bend)], [x.get(bend), tops.get(bend) + deep.get(bend)]);
    points.push([x.get(target), tops.get(target) - 1]);
    let path = `M${points[0]}`;
    if (back) {
      const [[sx, sy], [tx, ty]] = points, side = (sideOf(wire) - (sx + tx) / 8) / 0.75; // control points of a curve whose middle is beside the boxes
      path += `C${side} ${sy + 60} ${side} ${ty - 60} ${tx} ${ty}`;
    } else {
      for (let i = 1; i < points.length; i += 1) {
        const [[ax, ay], [bx, by]] = [points[i - 1], points[i]], half = (ay + by) / 2;
        path += ax === bx ? `L${bx} ${by}` : `C${ax} ${half} ${bx} ${half} ${bx} ${by}`;
      }
    }
    const [tx, ty] = points[points.length - 1];
    const line = draw("path", { class: `wire${back ? " back" : ""}${wire.change ? ` ${wire.change}` : ""}`, d: path });
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
