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
  const lines = labelLines(frame, count);
  let y = 0;
  for (const [index, row] of frame.rows.entries()) {
    const most = (side, nodes) => Math.max(1, ...nodes.filter((node) => node < count).map((node) => side[node]));
    placeRow(row, feeds, x, (node) => (node < count ? width[node] : BEND), count);
    const tall = Math.max(0, ...row.filter((node) => node < count).map((node) => height[node]));
    for (const node of row) { tops.set(node, y); deep.set(node, tall); }
    y += tall + ROW_GAP + LEVEL * (most(lines.below, row) + most(lines.above, frame.rows[index + 1] || []) - 2);
  }
  let left = Infinity, right = 0;
  for (const [node, middle] of x) left = Math.min(left, middle - (node < count ? width[node] : BEND) / 2);
  for (const [node, middle] of x) {
    x.set(node, middle - left);
    right = Math.max(right, middle - left + (node < count ? width[node] : BEND) / 2);
  }
  const sideOf = (wire) => BACK + Math.max(...[wire.source, wire.target].map((node) => x.get(node) + width[node] / 2));
  for (const wire of frame.wires) if (tops.get(wire.target) <= tops.get(wire.source)) right = Math.max(right, sideOf(wire));
  const places = placeWires(frame, x, width, count);
  frame.wires.forEach((wire, index) => { right = Math.max(right, (wire.alone ? places[index].start : places[index].end) + 12 + 6.4 * wire.label.length); });
  view.width = right;
  view.height = Math.max(0, y - ROW_GAP);
  view.element.style.width = `${view.width}px`;
  view.element.style.height = `${view.height}px`;
  view.boxes.forEach((box, index) => { box.style.left = `${x.get(index) - width[index] / 2}px`; box.style.top = `${tops.get(index)}px`; });
  drawWires(frame, view, x, tops, deep, height, sideOf, places);
}

function labelLines(frame, count) {
  const lines = { below: Array(count).fill(0), above: Array(count).fill(0) };
  for (const wire of frame.wires) {
    const [side, box] = wire.alone ? [lines.below, wire.source] : [lines.above, wire.target];
    if (wire.label) side[box] = Math.min(side[box] + 1, LEVELS);
  }
  return lines;
}

// Where wires leave and meet their boxes: each tensor from its own place, each use at its own, labels of one box on lines of their own
function placeWires(frame, x, width, count) {
  const offset = (place, total, wide) => (place - (total - 1) / 2) * Math.min(24, (0.7 * wide) / Math.max(total - 1, 1));
  const ports = Array(count).fill(1), into = new Map(), order = [], places = [], below = Array(count).fill(0), above = Array(count).fill(0);
  frame.wires.forEach((wire, index) => {
    ports[wire.source] = Math.max(ports[wire.source], wire.port + 1);
    if (!into.has(wire.target)) into.set(wire.target, []);
    into.get(wire.target).push(index);
  });
  const from = (index) => x.get(frame.wires[index].path[frame.wires[index].path.length - 2]);
  for (const [target, wires] of into) {
    wires.sort((a, b) => from(a) - from(b) || frame.wires[a].port - frame.wires[b].port || a - b);
    wires.forEach((index, place) => {
      const wire = frame.wires[index];
      places[index] = { start: x.get(wire.source) + offset(wire.port, ports[wire.source], width[wire.source]), end: x.get(target) + offset(place, wires.length, width[target]) };
    });
    order.push(...[...wires].reverse()); // the rightmost label stands nearest to the box, so that no wire crosses it
  }
  for (const index of order) {
    const wire = frame.wires[index], [side, box] = wire.alone ? [below, wire.source] : [above, wire.target];
    places[index].level = side[box] % LEVELS;
    if (wire.label) side[box] += 1;
  }
  return places;
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

function drawWires(frame, view, x, tops, deep, height, sideOf, places) {
  const parts = [], labels = [];
  view.wires = frame.wires.map((wire, index) => {
    const place = places[index];
    const { source, target } = wire, back = tops.get(target) <= tops.get(source);
    const points = [[place.start, tops.get(source) + height[source]]];
    for (const bend of wire.path.slice(1, -1)) points.push([x.get(bend), tops.get(bend)], [x.get(bend), tops.get(bend) + deep.get(bend)]);
    points.push([place.end, tops.get(target) - 1]);
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
    if (wire.label) {
      const left = wire.alone ? place.start : place.end, bottom = wire.alone ? points[0][1] + 15 + LEVEL * place.level : ty - 9 - LEVEL * place.level;
      const text = draw("text", { class: "shape", x: left + 6, y: bottom });
      text.textContent = wire.label;
      labels.push(text);
    }
    return line;
  });
  parts.push(...labels);
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
