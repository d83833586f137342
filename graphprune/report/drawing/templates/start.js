const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const stage = byId("stage"), sizer = byId("sizer"), canvas = byId("canvas"), panel = byId("panel"), find = byId("find"), list = byId("list");
const GAP = 28, BEND = 6, ROW_GAP = 46, BACK = 20, LEVEL = 12, LEVELS = 8, LISTED = 2000, READABLE = 0.7, PAPER = 680, SVG = "http://www.w3.org/2000/svg";
const shown = new Map(); // frame number -> {element, boxes, wires}
const parents = new Map(); // frame number -> {frame, box} of the model that holds it
const rows = new Map(); // "frame:box" -> the layer's row in the table
for (const row of document.querySelectorAll("#table tbody tr")) rows.set(row.dataset.key, row);
let zoom = 1, selected = null;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function breakable(tag, className, text) {
  const element = make(tag, className);
  for (const part of text.split(/(?<=[_/:.-])/)) element.append(part, make("wbr")); // long names break where a reader would
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

page.frames.forEach((frame, number) => frame.boxes.forEach((box, index) => { if (box.frame !== undefined) parents.set(box.frame, { frame: number, box: index }); }));
