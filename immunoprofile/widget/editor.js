// Page of the gate editor: draws what the kernel says, counts approximately while a hand moves, and sends shapes.
// The kernel holds truth, revisions and exact counts (immunoprofile/widget/session.py). No build step, no dependency,
// no request. Protocol 1, see docs/gate-editor.md.

const PROTOCOL = 1;
const W = 470, M = { l: 62, r: 12, t: 12, b: 46 }, PW = W - M.l - M.r;
const ANSWER_MS = 4000;
const DASHES = ["", "6 3", "2 3", "8 3 2 3"], INKS = ["#000000", "#a8326e", "#004f7c", "#7a4b1e"];
const VIRIDIS = ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"]
  .map(h => [0, 2, 4].map(i => parseInt(h.slice(i, i + 2), 16)));
const LUT = Uint8ClampedArray.from({ length: 768 }, (_, k) => {
  const at = Math.floor(k / 3) / 255 * 9, i = Math.min(8, Math.floor(at)), c = k % 3;
  return VIRIDIS[i][c] + (at - i) * (VIRIDIS[i + 1][c] - VIRIDIS[i][c]);
});
let pages = 0;

const svgEl = (name, attributes = {}) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return made;
};
const htmlEl = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const clone = value => JSON.parse(JSON.stringify(value));
const number = value => {
  const size = Math.abs(value);
  if (size >= 1000) return Number(value.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 0 });
  return size < 1e-9 ? "0" : String(Number(value.toPrecision(3)));
};
const asPython = value => JSON.stringify(value).replace(/([[,:])null(?=[\],}])/g, "$1None");
const whole = value => value.toLocaleString("en-US");
const integers = data => new Uint32Array(data instanceof ArrayBuffer ? data : data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)); // hosts differ

// ---- counting on the raster: only ever shown with "≈" ---------------------------------------------------------------

export function summed(counts, bins, rows) {
  const sums = new Float64Array(rows * (bins + 1));
  for (let r = 0; r < rows; r++) for (let c = 0; c < bins; c++) sums[r * (bins + 1) + c + 1] = sums[r * (bins + 1) + c] + counts[r * bins + c];
  return sums;
}

function cellsBetween(low, high, extent, bins) { // cells whose centre lies in [low, high)
  const step = (extent[1] - extent[0]) / bins;
  const cell = value => Math.max(0, Math.min(bins, Math.ceil((value - extent[0]) / step - 0.5)));
  return [low === null ? 0 : cell(low), high === null ? bins : cell(high)];
}

export function boxCount(sums, bins, extents, limits) {
  const [a, b] = cellsBetween(limits[0][0], limits[0][1], extents[0], bins);
  if (extents.length === 1) return b > a ? sums[b] - sums[a] : 0;
  const [low, high] = cellsBetween(limits[1][0], limits[1][1], extents[1], bins);
  let total = 0;
  if (b > a) for (let r = low; r < high; r++) total += sums[r * (bins + 1) + b] - sums[r * (bins + 1) + a];
  return total;
}

export function polygonCount(sums, bins, extents, corners) {
  const [ex, ey] = extents, step = (ey[1] - ey[0]) / bins;
  const lows = corners.map(p => p[1]);
  const [first, last] = cellsBetween(Math.min(...lows), Math.max(...lows), ey, bins);
  let total = 0;
  for (let r = first; r < last; r++) {
    const y = ey[0] + (r + 0.5) * step, crossings = [];
    for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
      const [ax, ay] = corners[i], [bx, by] = corners[j];
      if ((ay > y) !== (by > y)) crossings.push((bx - ax) * (y - ay) / (by - ay) + ax);
    }
    crossings.sort((p, q) => p - q);
    for (let k = 0; k + 1 < crossings.length; k += 2) {
      const [a, b] = cellsBetween(crossings[k], crossings[k + 1], ex, bins);
      if (b > a) total += sums[r * (bins + 1) + b] - sums[r * (bins + 1) + a];
    }
  }
  return total;
}

function approximate(shape, spec, sums) { // population -> count, or null where only the kernel can tell
  if (spec.hidden.length || shape.kind === "empty") return null;
  const extents = spec.axes.map(axis => axis.extent), bins = spec.bins, name = spec.populations[0];
  let found;
  if (shape.kind === "quadrant") {
    return Object.fromEntries(Object.entries(shape.cells).map(([population, cell]) => [population,
      boxCount(sums, bins, extents, cell.map(([low, high], axis) => [low === null ? null : shape.dividers[axis][low],
        high === null ? null : shape.dividers[axis][high]]))]));
  }
  if (shape.kind === "rectangle") found = boxCount(sums, bins, extents, shape.limits);
  else found = polygonCount(sums, bins, extents, shape.vertices || shape.outline);
  return { [name]: spec.complement ? boxCount(sums, bins, extents, extents.map(() => [null, null])) - found : found };
}

// ---- one page ---------------------------------------------------------------------------------------------------------

function render({ model, el: host }) {
  const page = `${Date.now().toString(36)}-${++pages}-${Math.random().toString(36).slice(2, 8)}`;
  const id = name => `ip-${page}-${name}`;
  const stat = (kind, ms) => root.dispatchEvent(new CustomEvent("ip-stat", { detail: { kind, ms } }));
  let spec, state = { serial: -1, rev: 0 }, shape = { kind: "empty" }, base = 0, seq = 0;
  let view = [], sums, counts, image, detail = null, selected = null, drawing = null, mode = null, dragging = false;
  let inflight = null, timer = 0, queue = [], viewTimer = 0, followTimer = 0, late = false;
  const overlays = new Map();

  // -- parts of the page
  const title = htmlEl("h4", { id: id("title") });
  const told = htmlEl("output", { className: "ip-counts", id: id("counts") });
  told.setAttribute("aria-live", "polite");
  const alertBox = htmlEl("div", { className: "ip-alert", hidden: true });
  alertBox.setAttribute("role", "alert");
  const note = htmlEl("p", { className: "ip-note" });
  const button = (text, name, act, className = "") => {
    const made = htmlEl("button", { type: "button", textContent: text, title: name, className });
    made.setAttribute("aria-label", name);
    made.addEventListener("click", act);
    return made;
  };
  const undo = button("Undo", "Undo the last change (Ctrl+Z)", () => send({ type: "undo" }));
  const redo = button("Redo", "Redo (Ctrl+Y)", () => send({ type: "redo" }));
  const reset = button("Reset", "Reset to the gate as it was found", () => send({ type: "reset" }));
  const template = button("Template", "Return to the gate of the template", () => send({ type: "reset", to: "template" }));
  const convert = button("To polygon", "Turn the shape into a polygon", () => send({ type: "convert" }));
  const tools = htmlEl("div", { className: "ip-tools" }, undo, redo, reset, template, convert);
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Gate");
  const zoomTools = htmlEl("div", { className: "ip-tools" },
    button("+", "Zoom in", () => zoom(0.5)), button("−", "Zoom out", () => zoom(2)), button("Fit", "Show the whole plot", fit),
    button("◀", "Pan left", () => pan(-0.2, 0)), button("▶", "Pan right", () => pan(0.2, 0)),
    button("▲", "Pan up", () => pan(0, 0.2)), button("▼", "Pan down", () => pan(0, -0.2)));
  zoomTools.setAttribute("role", "toolbar");
  zoomTools.setAttribute("aria-label", "View");
  const names = htmlEl("form", { className: "ip-names", hidden: true });
  names.setAttribute("aria-label", "Names of the quadrants");
  const drawTools = htmlEl("div", { className: "ip-tools", hidden: true });
  drawTools.setAttribute("role", "toolbar");
  drawTools.setAttribute("aria-label", "Draw");
  const axisTools = htmlEl("div", { className: "ip-axes", hidden: true });
  const canvas = htmlEl("canvas", {});
  canvas.setAttribute("aria-hidden", "true");
  const svg = svgEl("svg", { role: "group", "aria-labelledby": id("title") });
  const plot = htmlEl("div", { className: "ip-plot" }, canvas, svg);
  const readout = htmlEl("p", { className: "ip-readout" });
  const typed = htmlEl("form", { className: "ip-typed", hidden: true });
  const layers = htmlEl("fieldset", { className: "ip-layers" });
  const help = htmlEl("details", { className: "ip-help" }, htmlEl("summary", { textContent: "Mouse and keyboard" }), htmlEl("p", {
    textContent: "Drag a handle, or the inside of a gate. Double-click a side to insert a corner. Drag the background to pan, Ctrl and wheel to zoom. "
      + "Tab goes from handle to handle; arrows move it by a pixel, with Shift by ten; Insert or I adds a corner behind it; Delete removes a corner or opens a limit; Enter goes to its value in data units, Escape back; "
      + "Ctrl+Z undoes, Ctrl+Y redoes. “≈” is an estimate of the page, “=” the exact count of the kernel.",
  }));
  const side = htmlEl("div", { className: "ip-side" }, told, note, tools, zoomTools, drawTools, axisTools, names, typed, readout, layers, help);
  const root = htmlEl("section", { className: "ip-gate-editor" }, title, alertBox, htmlEl("div", { className: "ip-both" }, plot, side));
  root.setAttribute("aria-labelledby", id("title"));
  // Else JupyterLab takes letters for commands on cells ("D D" deletes one). It looks at the focused element first, so that
  // the attribute on an ancestor would not do.
  root.addEventListener("focusin", event => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  host.append(root);

  // -- coordinates
  const flat = () => spec.axes.length === 1;
  const PH = () => flat() ? 230 : PW;
  const H = () => PH() + M.t + M.b;
  const inView = extent => JSON.stringify(extent) === JSON.stringify(view); // what was asked for may be of another view by now
  const yRange = () => flat() ? [0, 1] : view[1];
  const sx = v => M.l + (v - view[0][0]) / (view[0][1] - view[0][0]) * PW;
  const sy = v => M.t + PH() - (v - yRange()[0]) / (yRange()[1] - yRange()[0]) * PH();
  const ix = p => view[0][0] + (p - M.l) / PW * (view[0][1] - view[0][0]);
  const iy = p => yRange()[0] + (M.t + PH() - p) / PH() * (yRange()[1] - yRange()[0]);
  const at = event => { // place of the pointer on the scales
    const box = svg.getBoundingClientRect();
    return [ix((event.clientX - box.left) * W / box.width), iy((event.clientY - box.top) * H() / box.height)];
  };
  const linear = (axis, place) => {
    const { linear: table, extent } = spec.axes[axis];
    if (!table) return place;
    const t = Math.max(0, Math.min(1, (place - extent[0]) / (extent[1] - extent[0]))) * (table.length - 1);
    const i = Math.min(table.length - 2, Math.floor(t));
    return table[i] + (t - i) * (table[i + 1] - table[i]);
  };

  // -- messages: one in flight, the rest waits; changes that wait are replaced by the next one
  function send(message) {
    if (state.closed) return;
    if (message.type === "change" && queue.length && queue[queue.length - 1].type === "change") queue.pop();
    queue.push(message);
    pump();
  }
  function pump() {
    if (inflight || !queue.length) return;
    const message = queue.shift();
    inflight = { seq: ++seq, since: performance.now(), type: message.type, message };
    clearTimeout(timer);
    timer = setTimeout(silent, ANSWER_MS);
    try { model.send({ ...message, page, seq, base }); } catch { silent(); }
  }
  function silent() {
    late = true;
    alarm("The kernel does not answer: it is busy, or gone. What you drew since the last “=” is not recorded. "
      + "If it is gone: restart it, run ip.widget.edit again, and then this line:", `ed.change(${asPython(shape)})`);
  }
  function alarm(text, code = "") {
    alertBox.hidden = !text;
    alertBox.replaceChildren(...(text ? [htmlEl("p", { textContent: text })] : []));
    if (code) {
      const area = htmlEl("textarea", { readOnly: true, rows: 3, value: code });
      area.setAttribute("aria-label", "Line of Python that brings the shape back");
      alertBox.append(area);
    }
  }
  function received(message, buffers) {
    if (message.type === "overlay" && message.page === page) {
      const values = integers(buffers[0]);
      overlays.set(message.id, { ...overlays.get(message.id), lines: message.lines, n: message.n, counts: values, rev: message.rev });
      labelLayers(); paint();
    } else if (message.type === "view" && message.page === page) {
      if (inView(message.extent)) { detail = { extent: message.extent, image: picture(integers(buffers[0])), lines: message.lines, counts: integers(buffers[0]) }; paint(); }
    } else if (message.type === "state") adopt(message);
  }
  function adopt(next) {
    if (next.serial <= state.serial) return; // stale
    const answer = inflight && next.page === page && next.seq === inflight.seq;
    if (answer) {
      clearTimeout(timer);
      stat("answer", performance.now() - inflight.since);
      if (inflight.type === "change" || next.rev !== state.rev) base = next.rev;
      inflight = null; late = false;
    }
    state = next;
    if (next.error) { queue = []; alarm(`Not recorded: ${next.error}`); } else if (!late && (answer || alertBox.hidden)) alarm("");
    if (!dragging && !queue.length && !inflight) { shape = clone(next.shape); base = next.rev; }
    draw(); counted(!queue.length && !inflight && !dragging); controls();
    if (next.error && selected?.isConnected && !typed.hidden) showTyped(selected.handle);
    if (!queue.length && !inflight) follow();
    pump();
  }

  // -- the count
  const populations = () => spec.kind === "new" && shape.kind === "quadrant" ? Object.keys(shape.cells) : spec.populations;
  function counted(exact) {
    const mark = exact ? "=" : "≈", start = performance.now();
    const lines = [];
    state.counts?.forEach((file, k) => {
      const n = exact ? file.n : k === 0 ? approximate(shape, spec, sums) : {};
      const parent = spec.parent === "root" ? "all events" : spec.parent;
      for (const population of populations()) {
        const value = n?.[population];
        const share = value === undefined ? "" : file.n_parent ? ` (${(100 * value / file.n_parent).toFixed(2)} %)` : "";
        const text = value === undefined ? (shape.kind === "empty" ? "not drawn yet" : "counting …") : `${mark} ${whole(value)} of ${whole(file.n_parent)} ${parent}${share}`;
        lines.push(htmlEl("div", { className: k ? "ip-other" : "" }, `${state.counts.length > 1 ? `${file.label}, ` : ""}${population}: `, htmlEl("strong", { textContent: text })));
        if (k === 0 && population === populations()[0]) told.dataset.count = value ?? "";
      }
    });
    told.dataset.state = exact ? "exact" : "preview";
    told.dataset.rev = state.rev;
    told.replaceChildren(...lines);
    if (!exact) stat("preview", performance.now() - start);
  }

  // -- handles: what can be moved, by mouse and by keyboard
  function handles() {
    const label = axis => spec.axes[axis].marker, found = [];
    if (shape.kind === "polygon") shape.vertices.forEach((p, i) => found.push({ name: `corner ${i + 1} of ${shape.vertices.length}`, at: p, paths: [["vertices", i, 0], ["vertices", i, 1]], corner: i }));
    if (shape.kind === "rectangle") {
      const middle = axis => { if (flat() && axis === 1) return 0.5; const e = axis ? view[1] : view[0]; const [a, b] = shape.limits[axis] || [null, null]; return ((a ?? e[0]) + (b ?? e[1])) / 2; };
      shape.limits.forEach((pair, axis) => pair.forEach((value, end) => {
        const open = value === null, edge = view[axis][end];
        const place = axis === 0 ? [open ? edge : value, middle(1)] : [middle(0), open ? edge : value];
        const path = ["limits", axis, end];
        found.push({ name: `${label(axis)} ${end ? "upper" : "lower"} limit`, open, at: place, paths: axis === 0 ? [path, null] : [null, path], limit: [axis, end] });
      }));
    }
    if (shape.kind === "quadrant") {
      const first = shape.dividers[1]?.[0] ?? 0.5, other = shape.dividers[0][0];
      shape.dividers.forEach((places, axis) => places.forEach((value, i) => {
        const path = ["dividers", axis, i], far = axis === 0 ? (flat() ? 0.85 : view[1][0] + 0.85 * (view[1][1] - view[1][0])) : view[0][0] + 0.85 * (view[0][1] - view[0][0]);
        found.push({ name: `${label(axis)} divider${places.length > 1 ? ` ${i + 1}` : ""}`, at: axis === 0 ? [value, far] : [far, value], paths: axis === 0 ? [path, null] : [null, path] });
      }));
      if (!flat() && shape.dividers.every(one => one.length === 1)) found.push({ name: "centre of the quadrants", at: [other, first], paths: [["dividers", 0, 0], ["dividers", 1, 0]] });
    }
    if (shape.kind === "polygon") {
      const n = shape.vertices.length, centre = [0, 1].map(a => shape.vertices.reduce((s, p) => s + p[a], 0) / n);
      found.push({ name: "whole gate", at: centre, all: true, paths: [null, null] });
    } else if (shape.kind === "rectangle" && shape.limits.every(pair => pair.every(v => v !== null))) {
      found.push({ name: "whole gate", at: flat() ? [(shape.limits[0][0] + shape.limits[0][1]) / 2, 0.3] : shape.limits.map(([a, b]) => (a + b) / 2), all: true, paths: [null, null] });
    }
    return found;
  }
  const read = path => path.reduce((value, key) => value[key], shape);
  function write(path, value) {
    const last = path[path.length - 1];
    path.slice(0, -1).reduce((inner, key) => inner[key], shape)[last] = value;
  }
  function moveBy(handle, dx, dy) { // on the scales; what does not move keeps its bits
    if (handle.all) {
      if (shape.kind === "polygon") shape.vertices = shape.vertices.map(([x, y]) => [dx ? x + dx : x, dy ? y + dy : y]);
      else shape.limits = shape.limits.map(([a, b], axis) => { const d = axis ? dy : dx; return d ? [a + d, b + d] : [a, b]; });
      return;
    }
    [dx, dy].forEach((d, axis) => { const path = handle.paths[axis]; if (path && d) write(path, (read(path) ?? handle.at[axis]) + d); });
  }
  function moveTo(handle, place) {
    handle.paths.forEach((path, axis) => { if (path) write(path, Math.max(view[axis][0], Math.min(view[axis][1], place[axis]))); });
  }
  function insertAfter(i, place) {
    const a = shape.vertices[i], b = shape.vertices[(i + 1) % shape.vertices.length];
    shape.vertices.splice(i + 1, 0, place || [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
  }
  function remove(handle) {
    if (handle.corner !== undefined && shape.vertices.length > 3) shape.vertices.splice(handle.corner, 1);
    else if (handle.limit && !handle.open && shape.limits.flat().filter(v => v !== null).length > 1) shape.limits[handle.limit[0]][handle.limit[1]] = null;
    else return false;
    return true;
  }
  function changed(now = true) { draw(); counted(false); if (now) send({ type: "change", shape: clone(shape) }); }

  // -- the picture
  function picture(values) {
    const bins = spec.bins, rows = flat() ? 1 : bins, made = new OffscreenCanvas(bins, rows), pixels = new ImageData(bins, rows);
    let most = 1;
    for (const v of values) if (v > most) most = v;
    const top = Math.log1p(most);
    for (let r = 0; r < rows; r++) for (let c = 0; c < bins; c++) {
      const v = values[r * bins + c], o = ((rows - 1 - r) * bins + c) * 4;
      if (!v) continue;
      const q = 3 * Math.round(Math.log1p(v) / top * 255);
      pixels.data[o] = LUT[q]; pixels.data[o + 1] = LUT[q + 1]; pixels.data[o + 2] = LUT[q + 2]; pixels.data[o + 3] = 255;
    }
    made.getContext("2d").putImageData(pixels, 0, 0);
    return made;
  }
  function dots(values, ink) {
    const bins = spec.bins, made = new OffscreenCanvas(bins, bins), pixels = new ImageData(bins, bins);
    const [r0, g0, b0] = [1, 3, 5].map(i => parseInt(ink.slice(i, i + 2), 16));
    for (let r = 0; r < bins; r++) for (let c = 0; c < bins; c++) if (values[r * bins + c]) pixels.data.set([r0, g0, b0, 255], ((bins - 1 - r) * bins + c) * 4);
    made.getContext("2d").putImageData(pixels, 0, 0);
    return made;
  }
  function bars(values, extent) { // a histogram, in 128 bars of the view
    const n = 128, bins = spec.bins, [low, high] = extent, found = new Float64Array(n);
    for (let c = 0; c < bins; c++) {
      const k = Math.floor(((low + (c + 0.5) * (high - low) / bins) - view[0][0]) / (view[0][1] - view[0][0]) * n);
      if (k >= 0 && k < n) found[k] += values[c];
    }
    return found;
  }
  function paint() {
    if (!image) return;
    const zoom = Math.max(1, window.devicePixelRatio || 1), w = Math.round(PW * zoom), h = Math.round(PH() * zoom);
    canvas.width = w; canvas.height = h;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const shown = [...overlays.values()].filter(one => one.on && one.counts);
    if (flat()) return paintBars(context, w, h, shown);
    const onto = (source, extent) => {
      const [[a, b], [c, d]] = extent, n = spec.bins;
      const px = v => (v - view[0][0]) / (view[0][1] - view[0][0]) * w, py = v => h - (v - view[1][0]) / (view[1][1] - view[1][0]) * h;
      context.drawImage(source, 0, 0, n, n, px(a), py(d), px(b) - px(a), py(c) - py(d));
    };
    context.globalAlpha = shown.some(one => one.kind === "dots" || one.id !== "density") ? 0.55 : 1;
    const full = spec.axes.map(axis => axis.extent);
    const fine = inView(detail?.extent) && detail;
    if (fine) onto(fine.image, fine.extent); else onto(image, full);
    context.globalAlpha = 1;
    shown.filter(one => one.kind === "dots").forEach(one => onto(dots(one.counts, one.ink), full));
    for (const one of shown.filter(one => one.kind === "lines")) {
      const lines = one.id === "density" && fine && fine.lines.length ? fine.lines : one.lines;
      for (const [ink, width, dash] of [["#ffffff", 3, ""], [one.ink, 1.4, one.dash]]) {
        context.strokeStyle = ink; context.lineWidth = width * zoom;
        context.setLineDash(dash.split(" ").filter(Boolean).map(v => v * zoom));
        context.beginPath();
        for (const line of lines) for (let i = 0; i < line.length; i += 2) {
          const x = (line[i] - view[0][0]) / (view[0][1] - view[0][0]) * w, y = h - (line[i + 1] - view[1][0]) / (view[1][1] - view[1][0]) * h;
          if (i) context.lineTo(x, y); else context.moveTo(x, y);
        }
        context.stroke();
      }
    }
    context.setLineDash([]);
  }
  function paintBars(context, w, h, shown) {
    const full = spec.axes[0].extent, fine = inView(detail?.extent) && detail;
    const own = fine ? bars(fine.counts, view[0]) : bars(counts, full), top = Math.max(...own, 1);
    const y = value => h - value / top * h * 0.92, step = w / own.length;
    context.fillStyle = "#9fc7e3";
    own.forEach((value, k) => context.fillRect(k * step, y(value), step + 0.5, h - y(value)));
    for (const one of shown) {
      const other = bars(one.counts, full), scale = one.kind === "dots" ? 1 : top / Math.max(...other, 1);
      context.strokeStyle = one.ink; context.lineWidth = 2 * (window.devicePixelRatio || 1);
      context.setLineDash(one.dash.split(" ").filter(Boolean).map(Number));
      context.beginPath();
      other.forEach((value, k) => context.lineTo((k + 0.5) * step, y(value * scale)));
      context.stroke();
    }
    context.setLineDash([]);
  }

  function ticksOf(axis) {
    const [low, high] = view[axis], inside = spec.axes[axis].ticks.filter(([v]) => v >= low && v <= high);
    if (inside.length >= 2) return inside;
    return [0.1, 0.37, 0.63, 0.9].map(t => { const v = low + t * (high - low); return [v, number(linear(axis, v))]; });
  }
  const frame = svgEl("g"), others = svgEl("g"), body = svgEl("g"), grips = svgEl("g");
  const clip = svgEl("clipPath", { id: id("clip") });
  svg.append(clip, frame, others, body, grips);
  function drawFrame() {
    svg.setAttribute("viewBox", `0 0 ${W} ${H()}`);
    plot.style.aspectRatio = `${W} / ${H()}`;
    Object.assign(canvas.style, { left: `${100 * M.l / W}%`, top: `${100 * M.t / H()}%`, width: `${100 * PW / W}%`, height: `${100 * PH() / H()}%` });
    clip.replaceChildren(svgEl("rect", { x: M.l, y: M.t, width: PW, height: PH() }));
    const parts = [svgEl("rect", { x: M.l, y: M.t, width: PW, height: PH(), class: "ip-frame" })];
    const text = (words, attributes) => { const made = svgEl("text", attributes); made.textContent = words; parts.push(made); };
    for (const [v, words] of ticksOf(0)) { parts.push(svgEl("line", { x1: sx(v), x2: sx(v), y1: M.t + PH(), y2: M.t + PH() + 5, class: "ip-tick" })); text(words, { x: sx(v), y: M.t + PH() + 18, "text-anchor": "middle" }); }
    text(`${spec.axes[0].label}, ${spec.axes[0].words}`, { x: M.l + PW / 2, y: H() - 8, "text-anchor": "middle", class: "ip-axis" });
    const left = { transform: `rotate(-90 14 ${M.t + PH() / 2})`, x: 14, y: M.t + PH() / 2, "text-anchor": "middle", class: "ip-axis" };
    if (flat()) text("events", left);
    else {
      for (const [v, words] of ticksOf(1)) { parts.push(svgEl("line", { x1: M.l - 5, x2: M.l, y1: sy(v), y2: sy(v), class: "ip-tick" })); text(words, { x: M.l - 8, y: sy(v) + 4, "text-anchor": "end" }); }
      text(`${spec.axes[1].label}, ${spec.axes[1].words}`, left);
    }
    frame.replaceChildren(...parts);
  }
  function outline(one, className) { // SVG of a shape, inside the frame
    const inside = { "clip-path": `url(#${id("clip")})`, class: className };
    const corners = one.vertices || one.outline;
    if (corners) return [svgEl("polygon", { points: corners.map(([x, y]) => `${sx(x)},${sy(y)}`).join(" "), ...inside })];
    if (one.kind === "quadrant") return one.dividers.flatMap((places, axis) => places.map(v => axis === 0
      ? svgEl("line", { x1: sx(v), x2: sx(v), y1: M.t, y2: M.t + PH(), ...inside }) : svgEl("line", { x1: M.l, x2: M.l + PW, y1: sy(v), y2: sy(v), ...inside })));
    if (one.kind !== "rectangle") return [];
    const ends = one.limits.map(([a, b], axis) => [a ?? view[axis][0], b ?? view[axis][1]]);
    if (flat()) ends.push([0, 1]);
    const [[a, b], [c, d]] = ends, x = sx(Math.min(a, b)), y = sy(Math.max(c, d));
    return [svgEl("rect", { x, y, width: Math.abs(sx(b) - sx(a)), height: Math.abs(sy(c) - sy(d)), ...inside })];
  }
  const valueText = handle => handle.open ? "open" : handle.at.slice(0, spec.axes.length).map((v, axis) => handle.paths[axis] || handle.all ? `${spec.axes[axis].marker} ${number(linear(axis, v))}` : "").filter(Boolean).join("; ");
  function draw() {
    if (!spec) return;
    others.replaceChildren(...spec.siblings.flatMap(one => outline(one.shape, "ip-sibling")));
    const parts = [...outline(shape, "ip-halo"), ...outline(shape, "ip-gate")];
    if (drawing?.length) parts.push(svgEl("polyline", { points: drawing.map(([x, y]) => `${sx(x)},${sy(y)}`).join(" "), class: "ip-gate" }), ...drawing.map(([x, y]) => svgEl("circle", { cx: sx(x), cy: sy(y), r: 4, class: "ip-corner" })));
    body.replaceChildren(...parts);
    const found = state.closed ? [] : handles(); // elements are kept, so that focus and a drag survive
    while (grips.childNodes.length > found.length) grips.lastChild.remove();
    found.forEach((handle, i) => {
      let grip = grips.childNodes[i];
      if (!grip) { grip = svgEl("path", { tabindex: 0, role: "slider" }); bind(grip); grips.append(grip); }
      const x = Math.max(M.l, Math.min(M.l + PW, sx(handle.at[0]))), y = Math.max(M.t, Math.min(M.t + PH(), sy(handle.at[1])));
      const off = Math.abs(x - sx(handle.at[0])) + Math.abs(y - sy(handle.at[1])) > 0.5;
      grip.handle = handle;
      grip.setAttribute("class", `ip-handle${handle.open ? " ip-open" : ""}${off ? " ip-off" : ""}`);
      grip.setAttribute("d", handle.all ? `M${x - 7},${y}H${x + 7}M${x},${y - 7}V${y + 7}M${x - 5},${y - 5}h10v10h-10z` : `M${x - 6},${y}a6,6 0 1,0 12,0a6,6 0 1,0 -12,0z`);
      grip.setAttribute("aria-label", handle.name);
      const axis = handle.paths[0] || handle.all ? 0 : 1;
      grip.setAttribute("aria-orientation", axis ? "vertical" : "horizontal");
      grip.setAttribute("aria-valuemin", spec.axes[axis].extent[0]);
      grip.setAttribute("aria-valuemax", spec.axes[axis].extent[1]);
      grip.setAttribute("aria-valuenow", handle.at[axis]);
      grip.setAttribute("aria-valuetext", valueText(handle));
    });
  }

  // -- hands
  function bind(grip) {
    grip.addEventListener("pointerdown", event => { event.preventDefault(); event.stopPropagation(); grip.focus(); drag(event, grip, () => grip.handle); });
    grip.addEventListener("focus", () => { selected = grip; showTyped(grip.handle); });
    grip.addEventListener("keydown", event => {
      const handle = grip.handle, far = event.shiftKey ? 10 : 1;
      const dx = (view[0][1] - view[0][0]) / PW * far, dy = (yRange()[1] - yRange()[0]) / PH() * far;
      const step = { ArrowLeft: [-dx, 0], ArrowRight: [dx, 0], ArrowUp: [0, dy], ArrowDown: [0, -dy] }[event.key];
      if (step) {
        if (flat() && step[1] || !handle.all && !handle.paths[step[0] ? 0 : 1]) return;
        moveBy(handle, ...step);
      } else if (event.key === "Enter") { // to the value in data units; Tab would go over handles that have none
        const field = typed.hidden ? null : typed.querySelector("input");
        if (!field) return;
        event.preventDefault(); event.stopPropagation();
        field.focus(); field.select();
        return;
      } else if ((event.key === "Insert" || event.key === "i") && handle.corner !== undefined && !event.ctrlKey) insertAfter(handle.corner);
      else if (event.key === "Delete" || event.key === "Backspace") { if (!remove(handle)) return; } else return;
      event.preventDefault(); event.stopPropagation();
      changed();
      showTyped(grip.isConnected ? grip.handle : null);
    });
  }
  function drag(start, captor, which) {
    dragging = true;
    captor.setPointerCapture(start.pointerId);
    let last = at(start), moved = false;
    const move = event => {
      const now = at(event), handle = which();
      moved = true;
      if (handle.all) moveBy(handle, now[0] - last[0], flat() ? 0 : now[1] - last[1]); else moveTo(handle, now);
      last = now;
      changed(false);
      showTyped(handle);
    };
    const up = () => {
      captor.removeEventListener("pointermove", move); captor.removeEventListener("pointerup", up); captor.removeEventListener("pointercancel", up);
      dragging = false;
      if (moved) changed(); else { adoptAgain(); }
    };
    captor.addEventListener("pointermove", move); captor.addEventListener("pointerup", up); captor.addEventListener("pointercancel", up);
  }
  function adoptAgain() { if (!queue.length && !inflight) { shape = clone(state.shape); base = state.rev; draw(); counted(true); } }
  body.addEventListener("pointerdown", event => {
    if (state.closed || mode || !["polygon", "rectangle"].includes(shape.kind)) return;
    const whole = handles().find(handle => handle.all);
    if (!whole) return;
    event.preventDefault(); event.stopPropagation();
    drag(event, svg, () => handles().find(handle => handle.all));
  });
  svg.addEventListener("dblclick", event => {
    if (state.closed || mode || shape.kind !== "polygon") return;
    const p = at(event), near = { far: Infinity };
    shape.vertices.forEach((a, i) => { // nearest side, measured in pixels
      const b = shape.vertices[(i + 1) % shape.vertices.length], [px, py, ax, ay, bx, by] = [sx(p[0]), sy(p[1]), sx(a[0]), sy(a[1]), sx(b[0]), sy(b[1])];
      const length = (bx - ax) ** 2 + (by - ay) ** 2 || 1, t = Math.max(0, Math.min(1, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length));
      const far = Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay));
      if (far < near.far) Object.assign(near, { far, i });
    });
    if (near.far < 12) { insertAfter(near.i, p); changed(); }
  });
  svg.addEventListener("pointerdown", event => {
    if (event.button || state.closed) return;
    const p = at(event);
    if (mode === "polygon" || mode === "quadrant") return; // corners and crosses come with clicks
    if (mode === "box") return box(event, p);
    if (!isZoomed()) return;
    event.preventDefault();
    const from = view.map(one => [...one]), box0 = svg.getBoundingClientRect();
    svg.setPointerCapture(event.pointerId);
    const move = e => shift((event.clientX - e.clientX) * W / box0.width / PW * (from[0][1] - from[0][0]), flat() ? 0 : (e.clientY - event.clientY) * H() / box0.height / PH() * (from[1][1] - from[1][0]), from);
    const up = () => { svg.removeEventListener("pointermove", move); svg.removeEventListener("pointerup", up); };
    svg.addEventListener("pointermove", move); svg.addEventListener("pointerup", up);
  });
  svg.addEventListener("pointermove", event => {
    const p = at(event);
    readout.textContent = `pointer: ${spec.axes.map((axis, a) => `${axis.marker} ${number(linear(a, p[a]))}`).join(" · ")}`;
  });
  svg.addEventListener("wheel", event => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 0.8 : 1.25, at(event));
  }, { passive: false });
  root.addEventListener("keydown", event => {
    if (event.target.tagName === "INPUT" || event.target.tagName === "TEXTAREA") return;
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key === "z") send({ type: event.shiftKey ? "redo" : "undo" });
    else if ((event.ctrlKey || event.metaKey) && key === "y") send({ type: "redo" });
    else if (key === "enter" && drawing?.length >= 3 && event.target.tagName !== "BUTTON") closePolygon();
    else if (key === "escape" && drawing?.length) { drawing.pop(); draw(); } else return;
    event.preventDefault(); event.stopPropagation();
  });

  // -- a new population
  function closePolygon() {
    shape = { kind: "polygon", vertices: drawing };
    drawing = null; mode = null;
    changed(); controls();
  }
  function cross(place) { // four quadrants, under the names that the kernel proposes
    shape = { kind: "quadrant", dividers: [[place[0]], [place[1]]], cells: clone(spec.quadrants) };
    mode = null;
    changed(); controls();
  }
  svg.addEventListener("click", event => {
    if (state.closed) return;
    const p = at(event);
    if (mode === "quadrant") return cross(p);
    if (mode !== "polygon") return;
    if (flat()) { shape = { kind: "rectangle", limits: [[p[0], null]] }; mode = null; changed(); controls(); return; }
    drawing ??= [];
    const near = q => Math.hypot(sx(q[0]) - sx(p[0]), sy(q[1]) - sy(p[1]));
    if (drawing.length >= 3 && (near(drawing[0]) < 10 || event.detail > 1)) return closePolygon();
    if (!drawing.length || near(drawing[drawing.length - 1]) > 3) drawing.push(p);
    draw();
  });
  function box(event, from) {
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    const move = e => {
      const p = at(e);
      shape = { kind: "rectangle", limits: spec.axes.map((_, a) => [Math.min(from[a], p[a]), Math.max(from[a], p[a])]) };
      changed(false);
    };
    const up = () => {
      svg.removeEventListener("pointermove", move); svg.removeEventListener("pointerup", up);
      if (shape.kind === "rectangle") { mode = null; changed(); controls(); }
    };
    svg.addEventListener("pointermove", move); svg.addEventListener("pointerup", up);
  }
  function begin(next) { mode = next; drawing = null; draw(); controls(); }
  function middle(kind) {
    const third = (axis, t) => view[axis][0] + t * (view[axis][1] - view[axis][0]);
    if (kind === "quadrant") { cross([third(0, 0.5), third(1, 0.5)]); grips.firstChild?.focus(); return; }
    if (kind === "threshold") shape = { kind: "rectangle", limits: [[third(0, 0.5), null]] };
    else if (kind === "box") shape = { kind: "rectangle", limits: spec.axes.map((_, a) => [third(a, 0.4), third(a, 0.6)]) };
    else shape = { kind: "polygon", vertices: [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]].map(([x, y]) => [third(0, x), third(1, y)]) };
    mode = null;
    changed(); controls();
    grips.firstChild?.focus(); // the button that was pressed is gone
  }

  // -- view
  const isZoomed = () => spec.axes.some((axis, a) => view[a][0] !== axis.extent[0] || view[a][1] !== axis.extent[1]);
  function shift(dx, dy, from = view) {
    view = spec.axes.map((axis, a) => {
      const d = a ? dy : dx, span = from[a][1] - from[a][0];
      const low = Math.max(axis.extent[0], Math.min(axis.extent[1] - span, from[a][0] + d));
      return [low, low + span];
    });
    viewChanged();
  }
  const pan = (x, y) => shift(x * (view[0][1] - view[0][0]), flat() ? 0 : y * (view[1][1] - view[1][0]));
  function fit() { view = spec.axes.map(axis => [...axis.extent]); viewChanged(); }
  function zoom(factor, around) {
    const whole = handles().find(handle => handle.all), to = around || selected?.isConnected && selected.handle?.at || whole?.at || view.map(([a, b]) => (a + b) / 2);
    view = spec.axes.map((axis, a) => {
      const full = axis.extent[1] - axis.extent[0], span = Math.max(full / 64, Math.min(full, (view[a][1] - view[a][0]) * factor));
      if (span === full) return [...axis.extent];
      const share = around ? (to[a] - view[a][0]) / (view[a][1] - view[a][0]) : 0.5;
      const low = Math.max(axis.extent[0], Math.min(axis.extent[1] - span, to[a] - share * span));
      return [low, low + span];
    });
    viewChanged();
  }
  function viewChanged() {
    drawFrame(); draw(); paint();
    clearTimeout(viewTimer);
    if (isZoomed()) viewTimer = setTimeout(() => send({ type: "view", extent: view }), 250);
  }

  // -- controls
  function showTyped(handle) {
    typed.hidden = !handle || handle.all || state.closed;
    if (typed.hidden) return;
    const axes = [0, 1].filter(axis => handle.paths[axis]);
    if (typed.dataset.name !== handle.name) {
      typed.dataset.name = handle.name;
      typed.replaceChildren(htmlEl("span", { textContent: `${handle.name}: ` }), ...axes.map(axis => {
        const input = htmlEl("input", { type: "text", inputMode: "decimal", size: 9 });
        input.dataset.axis = axis;
        return htmlEl("label", {}, `${spec.axes[axis].marker} `, input);
      }), htmlEl("button", { type: "submit", textContent: "Set" }));
    }
    typed.handle = handle;
    typed.querySelectorAll("input").forEach(input => { if (document.activeElement !== input) { input.value = handle.open ? "" : number(linear(+input.dataset.axis, handle.at[+input.dataset.axis])); input.dataset.was = input.value; } });
  }
  typed.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    selected?.focus();
  });
  typed.addEventListener("submit", event => {
    event.preventDefault();
    typed.querySelectorAll("input").forEach(input => {
      if (input.value === input.dataset.was) return; // not typed: keeps its bits
      const value = Number(input.value.replaceAll(",", "").replace("−", "-"));
      if (input.value.trim() === "" || !Number.isFinite(value)) { alarm(`“${input.value}” is no number`); return; }
      input.dataset.was = input.value;
      send({ type: "place", axis: +input.dataset.axis, path: typed.handle.paths[+input.dataset.axis], value });
    });
  });
  function showNames() { // of quadrants that are drawn anew; what was typed and not yet taken stays
    const cells = spec.kind === "new" && shape.kind === "quadrant" && !state.closed ? Object.entries(shape.cells) : [];
    names.hidden = !cells.length;
    if (names.hidden) return names.replaceChildren();
    const where = cell => cell.map(([low], axis) => `${spec.axes[axis].marker}${low === null ? "−" : "+"}`).join(" ");
    if (!names.firstChild) {
      names.replaceChildren(...cells.map(([, cell]) => htmlEl("label", {}, `${where(cell)} `, htmlEl("input", { type: "text", size: 20, spellcheck: false }))),
        htmlEl("button", { type: "submit", textContent: "Rename" }));
    }
    names.querySelectorAll("input").forEach((input, i) => {
      const [name] = cells[i];
      if (input.dataset.was === undefined || input.value === input.dataset.was || name !== input.dataset.was) input.value = name;
      input.dataset.was = name;
    });
  }
  names.addEventListener("submit", event => {
    event.preventDefault();
    const said = [...names.querySelectorAll("input")].map(input => input.value.trim()), cells = Object.values(shape.cells);
    const twice = said.find((name, i) => said.indexOf(name) !== i);
    if (twice !== undefined) return alarm(`Not recorded: two quadrants cannot both be called “${twice}”.`);
    if (said.join() === Object.keys(shape.cells).join()) return;
    shape.cells = Object.fromEntries(said.map((name, i) => [name, cells[i]]));
    changed();
  });
  function askFor(name) {
    overlays.get(name).rev = state.rev;
    send({ type: "overlay", id: name });
  }
  function follow() { // events below a moved gate are others: they are asked for again when the hand rests
    clearTimeout(followTimer);
    const due = () => [...overlays.values()].filter(one => one.on && one.follows && one.rev !== state.rev);
    if (due().length) followTimer = setTimeout(() => { if (!dragging) due().forEach(one => askFor(one.id)); }, 300);
  }
  function labelLayers() {
    layers.querySelectorAll("label").forEach(label => {
      const one = overlays.get(label.dataset.id);
      label.querySelector("span").textContent = `${one.label}${one.n === undefined ? "" : ` (${whole(one.n)})`}`;
    });
  }
  function makeLayers() {
    overlays.clear();
    layers.replaceChildren(htmlEl("legend", { textContent: "Lay over the plot" }));
    let k = 0;
    for (const one of spec.overlays) {
      if (flat() && one.id === "density") continue;
      const entry = { ...one, on: false, ink: INKS[k % INKS.length], dash: DASHES[k % DASHES.length] };
      k++;
      overlays.set(one.id, entry);
      const tick = htmlEl("input", { type: "checkbox" });
      tick.addEventListener("change", () => {
        Object.assign(overlays.get(one.id), { on: tick.checked });
        if (tick.checked && (!overlays.get(one.id).counts || one.follows && overlays.get(one.id).rev !== state.rev)) askFor(one.id);
        paint();
      });
      const sign = svgEl("svg", { viewBox: "0 0 26 10", class: "ip-sign", "aria-hidden": "true" });
      sign.append(entry.kind === "dots" && !flat() ? svgEl("path", { d: "M4,5h4M12,3h4M18,7h4", stroke: entry.ink, "stroke-width": 4 }) : svgEl("path", { d: "M1,5H25", stroke: entry.ink, "stroke-width": 2, "stroke-dasharray": entry.dash, fill: "none" }));
      const label = htmlEl("label", {}, tick, sign, htmlEl("span", { textContent: one.label }));
      label.dataset.id = one.id;
      layers.append(label);
    }
    layers.hidden = !overlays.size;
  }
  function makeAxes() {
    axisTools.hidden = spec.kind !== "new";
    if (axisTools.hidden) return;
    const chooser = (axis, name) => {
      const made = htmlEl("select", {});
      if (axis === 1) made.append(htmlEl("option", { value: "", textContent: "none (histogram)" }));
      for (const [value, label] of spec.channels) made.append(htmlEl("option", { value, textContent: label }));
      made.value = spec.axes[axis]?.marker ?? "";
      made.addEventListener("change", () => send({ type: "axes", markers: [...axisTools.querySelectorAll("select")].map(one => one.value).filter(Boolean) }));
      return htmlEl("label", {}, `${name} `, made);
    };
    axisTools.replaceChildren(chooser(0, "x axis"), chooser(1, "y axis"));
  }
  function controls() {
    undo.disabled = !state.can_undo; redo.disabled = !state.can_redo; reset.disabled = !state.can_undo;
    convert.hidden = !state.convertible;
    template.hidden = !spec.template;
    if (state.closed) {
      for (const one of [undo, redo, reset, template, convert]) one.disabled = true;
      typed.hidden = layers.hidden = true; // nothing is asked of the kernel any more
    }
    const empty = spec.kind === "new" && shape.kind === "empty" && !state.closed;
    drawTools.hidden = !empty;
    if (empty) {
      mode ??= "polygon";
      if (flat() && mode === "quadrant") mode = "polygon"; // the second axis was taken away
      const press = (text, name, next) => { const made = button(text, name, () => begin(next)); made.setAttribute("aria-pressed", mode === next); return made; };
      drawTools.replaceChildren(...flat() ? [button("Threshold in the middle", "Put a threshold in the middle", () => middle("threshold")), press("Click a threshold", "Click sets a threshold", "polygon"), press("Drag a range", "Drag a range", "box")]
        : [press("Click corners", "Click corners of a polygon", "polygon"), press("Drag a box", "Drag a rectangle", "box"), press("Click a cross", "Click places the cross of four quadrants", "quadrant"), button("Polygon in the middle", "Put a polygon in the middle", () => middle("polygon")), button("Box in the middle", "Put a rectangle in the middle", () => middle("box")), button("Cross in the middle", "Put quadrants in the middle", () => middle("quadrant"))]);
    } else mode = null;
    showNames();
    const words = [state.closed && `The edit is over: ${state.closed}.`, state.notice,
      empty && (flat() ? "Click sets a threshold; or drag a range." : mode === "quadrant" ? "Click places the cross: four populations, named by both markers." : mode === "box" ? "Drag from corner to corner." : "Click corner after corner; double-click or Enter closes, Esc takes one back."),
      spec.hidden.length && `Also limited on ${spec.hidden.join(", ")}, which this plot does not show.`,
      shape.kind === "ellipsoid" && (state.convertible ? "An ellipse is shown; turn it into a polygon to move it." : "An ellipsoid on more than two channels is shown where it cuts this plot; it cannot be moved here."),
      spec.complement && "The population is what lies outside the shape.", ...spec.problems];
    note.textContent = words.filter(Boolean).join(" ");
    svg.classList.toggle("ip-drawing", Boolean(mode));
  }

  // -- the model
  function begin_plot() {
    const start = performance.now();
    spec = model.get("spec");
    if (spec.protocol !== PROTOCOL) return alarm(`This page speaks version ${PROTOCOL} of the editor, the kernel version ${spec.protocol}: restart the kernel and reload the page.`);
    counts = integers(model.get("raster"));
    const rows = spec.axes.length === 1 ? 1 : spec.bins;
    if (counts.length !== rows * spec.bins) return; // the raster of these axes is still on its way
    sums = summed(counts, spec.bins, rows);
    image = picture(counts);
    view = spec.axes.map(axis => [...axis.extent]);
    detail = null; drawing = null; selected = null; typed.hidden = true;
    const parent = spec.parent === "root" ? "all events" : spec.parent;
    title.textContent = `${spec.populations.join(", ")} in ${parent}: ${spec.file} (tube ${spec.tube})`;
    drawFrame(); makeLayers(); makeAxes(); draw(); paint();
    stat("paint", performance.now() - start);
  }
  const onSpec = () => { begin_plot(); if (state.serial >= 0) { draw(); counted(!inflight); controls(); } };
  const onState = () => adopt(model.get("state"));
  model.on("change:spec", onSpec);
  model.on("change:raster", onSpec);
  model.on("change:state", onState);
  model.on("msg:custom", received);
  begin_plot();
  adopt(model.get("state"));
  // The picture is there; what the first exact count needs is computed while a person looks at it.
  requestAnimationFrame(() => setTimeout(() => send({ type: "prepare" })));
  // A page that was away from the document, or hidden by the notebook's windowing, may have lost its pixels.
  const seen = new IntersectionObserver(entries => { if (entries.some(one => one.isIntersecting)) paint(); });
  seen.observe(canvas);
  return () => {
    seen.disconnect(); clearTimeout(timer); clearTimeout(viewTimer); clearTimeout(followTimer);
    model.off("change:spec", onSpec); model.off("change:raster", onSpec); model.off("change:state", onState); model.off("msg:custom", received);
  };
}

export default { render };
