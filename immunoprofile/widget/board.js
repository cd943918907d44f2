// Page of the review board: one gate over all samples. Pictures are asked for when they come into view; decisions are
// the kernel's (immunoprofile/widget/board.py). No build step, no dependency, no request. Protocol 1.

const PROTOCOL = 1, SIDE = 150, ANSWER_MS = 4000;
const STOPS = [[255, 255, 255], [199, 219, 235], [107, 163, 204], [26, 92, 148], [5, 33, 74]];
const LUT = Uint8ClampedArray.from({ length: 768 }, (_, k) => {
  const at = Math.floor(k / 3) / 255 * 4, i = Math.min(3, Math.floor(at)), c = k % 3;
  return STOPS[i][c] + (at - i) * (STOPS[i + 1][c] - STOPS[i][c]);
});
const MARKS = { accept: "✓ accepted", edit: "✎ to edit", flag: "⚑ flagged" };
let pages = 0;

const make = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const whole = value => value.toLocaleString("en-US");

function render({ model, el: host }) {
  const page = `${Date.now().toString(36)}-${++pages}-${Math.random().toString(36).slice(2, 8)}`;
  const spec = model.get("spec"), tiles = [], pictures = new Map(), asked = new Set();
  let state = { serial: -1, done: {} }, seq = 0, waiting = [], askTimer = 0, timer = 0, current = null;

  const title = make("h4", { id: `rb-${page}`, textContent: `Review of ${spec.population} in ${spec.parent === "root" ? "all events" : spec.parent} (tube ${spec.tube}), ${whole(spec.items.length)} samples` });
  const alertBox = make("div", { className: "rb-alert", hidden: true });
  alertBox.setAttribute("role", "alert");
  const progress = make("progress", { max: spec.items.length });
  progress.setAttribute("aria-label", "samples decided");
  const told = make("output", { className: "rb-told" });
  const filters = make("div", { className: "rb-filters" });
  const grid = make("ul", { className: "rb-grid" });
  const form = make("form", { className: "rb-form", hidden: true });
  const help = make("p", { className: "rb-help", textContent: "Arrows go from plot to plot. A accepts, E marks for editing, F flags; E and F ask for a reason. The last decision of a sample counts." });
  const words = [!spec.recorded && "Decisions are kept in memory only: say record= to keep them in a file.",
    spec.of_other_gates && `${spec.of_other_gates} earlier decisions were on another gate and do not count.`].filter(Boolean).join(" ");
  const root = make("section", { className: "ip-review-board" }, title, alertBox, make("div", { className: "rb-head" }, progress, told), make("p", { className: "rb-help", textContent: words, hidden: !words }), filters, form, help, grid);
  root.setAttribute("aria-labelledby", title.id);
  // Else JupyterLab takes letters for commands on cells ("D D" deletes one). It looks at the focused element first, so that
  // the attribute on an ancestor would not do.
  root.addEventListener("focusin", event => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  host.append(root);

  const alarm = text => { alertBox.hidden = !text; alertBox.textContent = text; };
  function decide(number, decision, reason) {
    clearTimeout(timer);
    timer = setTimeout(() => alarm("The kernel does not answer: it is busy, or gone. The last decision is not recorded."), ANSWER_MS);
    try { model.send({ type: "decide", page, seq: ++seq, number, decision, reason }); } catch { alarm("The kernel is gone: the decision is not recorded."); }
  }
  function ask(number) { // pictures are asked for together, those in view only
    if (asked.has(number)) return;
    asked.add(number);
    waiting.push(number);
    clearTimeout(askTimer);
    askTimer = setTimeout(() => { for (const part of waiting.splice(0).reduce((parts, n, i) => { (parts[Math.floor(i / 32)] ??= []).push(n); return parts; }, [])) model.send({ type: "tiles", page, numbers: part }); }, 30);
  }

  function paint(tile) {
    const one = pictures.get(tile.number), zoom = Math.max(1, window.devicePixelRatio || 1), size = Math.round(SIDE * zoom);
    if (!one) return;
    tile.canvas.width = tile.canvas.height = size;
    const context = tile.canvas.getContext("2d");
    if (!one.bins) { context.font = `${13 * zoom}px sans-serif`; context.fillStyle = "#404040"; context.fillText("no plot", 10 * zoom, size / 2); return; }
    const { x, y } = spec.frame, px = v => (v - x[0]) / (x[1] - x[0]) * size, py = v => size - (v - y[0]) / (y[1] - y[0]) * size;
    context.imageSmoothingEnabled = false;
    context.drawImage(one.image, px(one.x[0]), py(one.y[1]), px(one.x[1]) - px(one.x[0]), py(one.y[0]) - py(one.y[1]));
    for (const [ink, width] of [["#ffffff", 4], ["#b34700", 2]]) {
      context.strokeStyle = ink; context.lineWidth = width * zoom;
      context.beginPath();
      one.outline.forEach(([a, b], i) => i ? context.lineTo(px(a), py(b)) : context.moveTo(px(a), py(b)));
      context.stroke();
    }
  }
  function picture(bins, bytes) {
    const made = new OffscreenCanvas(bins, bins), pixels = new ImageData(bins, bins);
    for (let r = 0; r < bins; r++) for (let c = 0; c < bins; c++) {
      const v = bytes[r * bins + c], o = ((bins - 1 - r) * bins + c) * 4, q = 3 * (v && Math.max(v, 70));
      pixels.data[o] = LUT[q]; pixels.data[o + 1] = LUT[q + 1]; pixels.data[o + 2] = LUT[q + 2]; pixels.data[o + 3] = 255;
    }
    made.getContext("2d").putImageData(pixels, 0, 0);
    return made;
  }

  spec.items.forEach((item, i) => {
    const number = i + 1, canvas = make("canvas", { width: SIDE, height: SIDE });
    canvas.setAttribute("aria-hidden", "true");
    const name = spec.blinded ? `sample ${number}` : `${item.subject} ${item.visit}`;
    const share = item.n_parent ? `${(100 * item.n / item.n_parent).toFixed(2)} %` : "no events";
    const mark = make("span", { className: "rb-mark" });
    const button = make("button", { type: "button", className: "rb-tile" }, make("strong", { textContent: name }), canvas,
      make("span", { textContent: `${share} (${whole(item.n)} of ${whole(item.n_parent)})` }), ...item.flags.map(flag => make("span", { className: "rb-flag", textContent: `! ${flag}` })), mark);
    const tile = { number, item, canvas, button, mark, name, shown: true, entry: make("li", {}, button) };
    button.tabIndex = i ? -1 : 0;
    button.addEventListener("focus", () => { if (current) current.button.tabIndex = -1; current = tile; button.tabIndex = 0; });
    button.addEventListener("keydown", event => key(event, tile));
    tiles.push(tile);
    grid.append(tile.entry);
  });
  function key(event, tile) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const shown = tiles.filter(one => one.shown), at = shown.indexOf(tile);
    const across = Math.max(1, shown.filter(one => one.entry.offsetTop === shown[0].entry.offsetTop).length);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -at, End: shown.length - 1 - at }[event.key];
    const letter = event.key.toLowerCase();
    if (step !== undefined) shown[Math.max(0, Math.min(shown.length - 1, at + step))].button.focus();
    else if (letter === "a") { decide(tile.number, "accept", ""); shown[Math.min(shown.length - 1, at + 1)].button.focus(); }
    else if (letter === "e" || letter === "f") reasonFor(tile, letter === "e" ? "edit" : "flag");
    else return;
    event.preventDefault(); event.stopPropagation();
  }
  grid.addEventListener("click", event => { const tile = tiles.find(one => one.button.contains(event.target)); if (tile) reasonFor(tile, ""); });
  function reasonFor(tile, decision) {
    const input = make("input", { type: "text", size: 40, id: `rb-${page}-reason` });
    const label = make("label", { textContent: `${tile.name}, reason: ` });
    label.htmlFor = input.id;
    const pick = verdict => make("button", { type: "button", textContent: { accept: "Accept (A)", edit: "Edit (E)", flag: "Flag (F)" }[verdict], onclick: () => finish(verdict) });
    const finish = verdict => {
      if (verdict !== "accept" && !input.value.trim()) { alarm(`'${verdict}' needs a reason`); input.focus(); return; }
      form.hidden = true;
      decide(tile.number, verdict, input.value);
      tile.button.focus();
    };
    form.onsubmit = event => { event.preventDefault(); if (decision) finish(decision); };
    form.onkeydown = event => { if (event.key === "Escape") { form.hidden = true; tile.button.focus(); event.stopPropagation(); } };
    form.replaceChildren(label, input, ...Object.keys(MARKS).map(pick), ...(decision ? [make("span", { textContent: ` Enter: ${decision}` })] : []));
    form.hidden = false;
    input.focus();
  }

  function filter() {
    const [what, subject, batch] = ["what", "subject", "batch"].map(name => filters.querySelector(`[data-name=${name}]`)?.value ?? "");
    for (const tile of tiles) {
      const done = state.done[tile.number];
      const fits = !what || (what === "open" ? !done : what === "flags" ? tile.item.flags.length > 0 : done?.decision === what);
      tile.shown = fits && (!subject || tile.item.subject === subject) && (!batch || tile.item.batch === batch);
      tile.entry.hidden = !tile.shown;
    }
    const first = tiles.find(one => one.shown);
    if (first && !(current && current.shown)) { tiles.forEach(one => { one.button.tabIndex = -1; }); first.button.tabIndex = 0; current = null; }
    status();
  }
  function chooser(name, label, options) {
    const made = make("select", { onchange: filter }, ...options.map(([value, text]) => make("option", { value, textContent: text })));
    made.dataset.name = name;
    filters.append(make("label", {}, `${label} `, made));
  }
  chooser("what", "show", [["", "all"], ["open", "undecided"], ["flags", "with a reason to look"], ["accept", "accepted"], ["edit", "to edit"], ["flag", "flagged"]]);
  if (!spec.blinded) for (const name of ["subject", "batch"]) {
    const values = [...new Set(spec.items.map(item => item[name]).filter(Boolean))].sort();
    if (values.length > 1) chooser(name, name, [["", "all"], ...values.map(value => [value, value])]);
  }

  function status() {
    const done = Object.keys(state.done).length, shown = tiles.filter(one => one.shown).length;
    progress.value = done;
    told.textContent = `${whole(done)} of ${whole(tiles.length)} decided` + (shown < tiles.length ? `, ${whole(shown)} shown` : "");
  }
  function adopt(next) {
    if (next.serial <= state.serial) return;
    if (next.page === page) clearTimeout(timer);
    state = next;
    alarm(next.error ? `Not recorded: ${next.error}` : "");
    for (const tile of tiles) {
      const done = state.done[tile.number];
      tile.mark.textContent = done ? `${MARKS[done.decision]}${done.reason ? `: ${done.reason}` : ""}` : "";
      tile.button.dataset.decision = done?.decision ?? "";
    }
    status();
  }
  function received(message, buffers) {
    if (message.type === "state") return adopt(message);
    if (message.type !== "tiles" || message.page !== page) return;
    let k = 0;
    for (const one of message.tiles) {
      if (one.bins) { const data = buffers[k++]; one.image = picture(one.bins, data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength)); }
      pictures.set(one.number, one);
      paint(tiles[one.number - 1]);
    }
    root.dispatchEvent(new CustomEvent("ip-stat", { detail: { kind: "tiles", count: pictures.size, at: performance.now() } }));
  }
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) { const tile = tiles.find(one => one.canvas === entry.target); ask(tile.number); paint(tile); }
  }, { rootMargin: "300px" });
  tiles.forEach(tile => seen.observe(tile.canvas));
  const onState = () => adopt(model.get("state"));
  if (spec.protocol !== PROTOCOL) alarm("Page and kernel are of different versions: restart the kernel and reload the page.");
  model.on("change:state", onState);
  model.on("msg:custom", received);
  adopt(model.get("state"));
  return () => { seen.disconnect(); clearTimeout(timer); clearTimeout(askTimer); model.off("change:state", onState); model.off("msg:custom", received); };
}

export default { render };
