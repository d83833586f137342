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
  if ((event.key === "+" || event.key === "-") && !event.ctrlKey && !event.metaKey && !inTable() && document.activeElement !== find) zoomBy(event.key === "+" ? 1.25 : 1 / 1.25);
});

// Zoom at the pointer with Ctrl and the wheel, and move the drawing by dragging the paper

function zoomAt(value, x, y) {
  const left = sizer.offsetLeft, top = sizer.offsetTop, old = zoom;
  const across = (canvas.scrollLeft + x - left) / old, down = (canvas.scrollTop + y - top) / old;
  setZoom(value);
  canvas.scrollLeft = across * zoom + sizer.offsetLeft - x;
  canvas.scrollTop = down * zoom + sizer.offsetTop - y;
}

const zoomBy = (factor) => zoomAt(zoom * factor, canvas.clientWidth / 2, canvas.clientHeight / 2);

canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  const place = canvas.getBoundingClientRect();
  zoomAt(zoom * Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 300), event.clientX - place.left, event.clientY - place.top);
}, { passive: false });

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.pointerType !== "mouse" || (boxOf(event.target) && !event.target.classList.contains("inside") && !event.target.classList.contains("frame"))) return;
  const place = canvas.getBoundingClientRect();
  if (event.clientX - place.left > canvas.clientWidth || event.clientY - place.top > canvas.clientHeight) return; // on a scroll bar
  const start = { x: event.clientX + canvas.scrollLeft, y: event.clientY + canvas.scrollTop };
  const move = (next) => { canvas.scrollLeft = start.x - next.clientX; canvas.scrollTop = start.y - next.clientY; };
  const end = () => {
    canvas.classList.remove("dragged");
    window.removeEventListener("pointermove", move);
    window.removeEventListener("pointerup", end);
  };
  canvas.classList.add("dragged");
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", end);
});

// Tools

for (const input of document.querySelectorAll("[data-show]")) {
  document.body.classList.toggle(`show-${input.dataset.show}`, input.checked); // a browser may have kept its own state
  input.addEventListener("change", () => { document.body.classList.toggle(`show-${input.dataset.show}`, input.checked); layout(); });
}
byId("zoom-in").addEventListener("click", () => zoomBy(1.25));
byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.25));
byId("zoom-fit").addEventListener("click", () => setZoom(fit()));
byId("zoom-reset").addEventListener("click", () => zoomBy(1 / zoom));
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
  if (!table && selected) show(selected.frame, selected.box, false);
});

// Paper has no scroll bars: a graph is printed at the width of a page where it is readable so, else the table is

const before = { zoom: 1, table: false };
window.addEventListener("beforeprint", () => {
  Object.assign(before, { zoom, table: inTable() });
  const value = Math.min(1, PAPER / shown.get(0).width);
  if (value < READABLE / 2) document.body.classList.add("as-table");
  else setZoom(value);
});
window.addEventListener("afterprint", () => {
  document.body.classList.toggle("as-table", before.table);
  setZoom(before.zoom);
});

// The page opens with the first row in view: the whole width where it is readable so, else the middle of that row

const fit = () => Math.min(1, (canvas.clientWidth - 24) / shown.get(0).width);

function open() {
  stage.append(makeFrame(0));
  layout();
  search();
  const frame = page.frames[0], view = shown.get(0), first = (frame.rows[0] || []).filter((node) => node < frame.boxes.length);
  if (first.length) {
    view.boxes[first[0]].tabIndex = 0;
    setZoom(fit() < READABLE ? 1 : fit());
    const middle = (node) => view.boxes[node].offsetLeft + view.boxes[node].offsetWidth / 2;
    canvas.scrollLeft = sizer.offsetLeft + ((middle(first[0]) + middle(first[first.length - 1])) / 2) * zoom - canvas.clientWidth / 2;
  }
  canvas.scrollTop = 0;
  document.documentElement.dataset.ready = "true";
}

open();
