"use strict";
// Wires the panels together: one time axis, one crosshair, one zoom, one choice of the revision.
const Report = (() => {
  const element = (id) => document.getElementById(id);

  let views, several, panels, zone, end, view, hidden, nodes;
  // The revision that is shown; null is all together.
  let chosen = null, cursor = null;

  function panelsOf(compared) {
    return [
      { id: "demand", title: "Demand", unit: "plain", axis: "requests/s", height: 140, shared: true, marks: [
        { key: "rate", name: "arriving", ink: "sky", area: 0.3, line: true, compare: true }] },
      { id: "concurrency", title: "Concurrency", unit: "plain", axis: "requests at once", height: 160, marks: [
        { key: "conc", name: "in the system", ink: "grey", area: 0.3, line: true, compare: true },
        { key: "stable", name: "stable window", ink: "purple", width: 1.8 },
        { key: "panic", name: "panic window", ink: "vermilion", dash: "dotted" }] },
      { id: "instances", title: "Instances", unit: "plain", axis: "instances", height: 210, bounds: true, decisions: true, marks: [
        { key: "ready", name: "ready", ink: "blue", stack: true, opacity: 0.55, compare: true, steps: compared },
        { key: "starting", name: "starting", ink: "orange", stack: true, opacity: 0.7 },
        { key: "draining", name: "draining", ink: "grey", stack: true, opacity: 0.5 },
        { key: "wanted", name: "wanted", ink: "text", steps: true, width: 1.3 }] },
      { id: "waiting", title: "Waiting requests", unit: "plain", axis: "requests", height: 130, none: "Nothing waited.", marks: [
        { key: "waitingMax", name: "most at once", ink: "vermilion", area: 0.2 },
        { key: "waiting", name: "mean", ink: "vermilion", width: 1.5, compare: true }] },
      { id: "longest", title: "Longest wait", unit: "millis", axis: "time, logarithmic", height: 130, log: true, none: "Nothing waited.", marks: [
        { key: "waitMax", name: "of any request", ink: "vermilion", stems: true, compare: true }] },
      { id: "latency", title: "Latency", unit: "millis", axis: "time, logarithmic", height: 180, log: true, none: "Nothing was answered.", marks: [
        { key: "p99", name: "p99", ink: "vermilion", compare: true },
        { key: "p95", name: "p95", ink: "orange", dash: "dashed" },
        { key: "p50", name: "p50", ink: "green", width: 1.8 }] },
      { id: "idle", title: "Idle share", unit: "percent", axis: "share of ready instances", height: 110, top: 1, none: "None was idle.", marks: [
        { key: "idle", name: "serving nothing", ink: "grey", area: 0.35, line: true, compare: true }] },
    ];
  }

  const { html } = Chart;

  // === data ===

  // Columns come with runs of one value as [value, length], and without their times.
  function unpack(series) {
    if (series.at) return series;
    series.at = Array.from({ length: series.count }, (_, i) => i * series.step);
    for (const key in series.columns) {
      const column = [];
      for (const item of series.columns[key]) {
        if (Array.isArray(item)) for (let n = 0; n < item[1]; n++) column.push(item[0]);
        else column.push(item);
      }
      series[key] = column;
    }
    return series;
  }

  const revisionOf = (one) => one.revisions.find((revision) => revision.name === chosen);

  // What the panels draw: nothing, where a revision has no series of its own.
  function seriesOf(one) {
    const index = chosen === null ? 0 : revisionOf(one)?.series ?? -1;
    return one.series[index] ? unpack(one.series[index]) : null;
  }

  const runs = () => views.map((one) => ({
    name: one.name, series: seriesOf(one), cold: chosen === null ? one.cold : [], bounds: one.bounds }));

  // === panels ===

  function build() {
    nodes = new Map();
    element("panels").replaceChildren();
    for (const panel of panels) {
      const figure = html("figure", element("panels"));
      const caption = html("figcaption", figure);
      const shown = panel.marks.find((mark) => mark.compare);
      html("strong", caption, several && panel.marks.length > 1 ? `${panel.title}, ${shown.name}` : panel.title);
      const keys = html("span", caption, undefined, "keys");
      const svg = Chart.make("svg", { class: "panel", role: "img", tabindex: 0, "aria-label": panel.title }, figure);
      const details = html("details", figure);
      html("summary", details, "Table");
      details.addEventListener("toggle", () => details.open && table(details, panel));
      nodes.set(panel.id, { svg, details, values: legend(keys, panel) });
      wire(svg, panel);
    }
  }

  // Buttons that say what a line is, show its value under the crosshair, and hide it.
  function legend(parent, panel) {
    const values = [];
    const entries = several
      ? views.slice(0, panel.shared ? 1 : undefined).map((run, index) => ({ run: index, name: panel.shared ? "the same for all" : run.name, ink: panel.shared ? "sky" : Chart.RUN_INKS[index % 6], dash: index % 2 && "dashed", mark: panel.marks.find((m) => m.compare) }))
      : panel.marks.map((mark) => ({ run: 0, name: mark.name, ink: mark.ink, dash: mark.dash, box: mark.stack || (mark.area && !mark.line), mark }));
    for (const entry of entries) {
      const button = html("button", parent);
      button.type = "button";
      const swatch = html("span", button, undefined, "swatch " + (entry.box ? "box" : entry.dash || ""));
      swatch.style.borderColor = `var(--${entry.ink})`;
      if (entry.box) {
        swatch.style.background = `var(--${entry.ink})`;
        swatch.style.opacity = entry.mark.opacity || 0.35;
      }
      html("span", button, entry.name);
      const value = html("b", button);
      if (!several) {
        const off = hidden.get(panel.id);
        button.setAttribute("aria-pressed", String(!off.has(entry.mark.key)));
        button.addEventListener("click", () => {
          off.has(entry.mark.key) ? off.delete(entry.mark.key) : off.add(entry.mark.key);
          button.setAttribute("aria-pressed", String(!off.has(entry.mark.key)));
          drawOne(panel);
        });
      }
      values.push({ entry, value });
    }
    return values;
  }

  function table(details, panel) {
    details.querySelector("table")?.remove();
    const all = runs(), grid = html("table", details), head = html("tr", html("thead", grid));
    html("th", head, "time");
    const columns = several
      ? all.map((run) => ({ run, mark: panel.marks.find((m) => m.compare), name: run.name }))
      : panel.marks.map((mark) => ({ run: all[0], mark, name: mark.name }));
    for (const column of columns) html("th", head, column.name);
    const body = html("tbody", grid), at = all[0].series.at;
    const inside = at.map((time, i) => i).filter((i) => at[i] >= view.from && at[i] < view.to);
    const stride = Math.ceil(inside.length / 40);
    for (let n = 0; n < inside.length; n += stride) {
      const i = inside[n], row = html("tr", body);
      html("th", row, Chart.clock(at[i], 1));
      for (const column of columns) html("td", row, Chart.units[panel.unit](column.run.series[column.mark.key][i] ?? null));
    }
  }

  function drawOne(panel) {
    const node = nodes.get(panel.id);
    node.map = Chart.draw(node.svg, panel, runs(), view, hidden.get(panel.id));
    if (panel.decisions && !several) Decisions.mark(node, view);
    node.brush = null;
    node.cross = Chart.make("line", { class: "cross", y1: 4, y2: node.map.bottom, visibility: "hidden" }, node.svg);
    if (node.details.open) table(node.details, panel);
  }

  function drawAll() {
    const missing = runs().some((run) => !run.series);
    element("panels").hidden = missing;
    element("missing").hidden = !missing;
    element("reset").disabled = view.from === 0 && view.to === end;
    if (missing) return;
    for (const panel of panels) drawOne(panel);
    showCursor();
  }

  // === crosshair and zoom ===

  function indexAt(series, time) {
    let low = 0, high = series.at.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      series.at[middle] <= time ? (low = middle) : (high = middle - 1);
    }
    return low;
  }

  const HELP = "Drag across a chart to zoom; arrow keys move, + and − zoom, 0 resets. ";

  function showCursor() {
    const all = runs(), outside = cursor === null || cursor < view.from || cursor > view.to;
    for (const panel of panels) {
      const node = nodes.get(panel.id);
      node.cross.setAttribute("visibility", outside ? "hidden" : "visible");
      if (!outside) {
        const px = node.map.x(cursor);
        node.cross.setAttribute("x1", px);
        node.cross.setAttribute("x2", px);
      }
      for (const { entry, value } of node.values) {
        const series = all[entry.run].series;
        value.textContent = outside ? "" : Chart.units[panel.unit](series[entry.mark.key][indexAt(series, cursor)] ?? null);
      }
    }
    element("hint").textContent = cursor === null
      ? HELP + (zone ? `Times are yours${zone}.` : "Times are h:mm:ss since the beginning.")
      : "at " + Chart.clock(cursor, 1) + zone;
    if (!several) Decisions.follow(cursor);
  }

  function setCursor(time) {
    cursor = time === null ? null : Math.min(view.to, Math.max(view.from, time));
    if (!element("panels").hidden) showCursor();
  }

  function zoom(from, to) {
    const least = Math.min(end, 1);
    view.from = Math.max(0, Math.min(from, end - least));
    view.to = Math.min(end, Math.max(to, view.from + least));
    drawAll();
  }

  function wire(svg, panel) {
    let start = null;
    const at = (event) => {
      const box = svg.getBoundingClientRect(), map = nodes.get(panel.id).map;
      return map.time((event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width));
    };
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = at(event);
      if (event.pointerType === "mouse") svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      setCursor(at(event));
      if (start !== null && event.pointerType === "mouse") brush(panel, start, at(event));
      if (panel.decisions && !several) Decisions.tip(event, at(event));
    });
    svg.addEventListener("pointerup", (event) => {
      const from = start, to = at(event);
      start = null;
      brush(panel, 0, 0);
      const map = nodes.get(panel.id).map;
      if (from !== null && Math.abs(map.x(from) - map.x(to)) > 6) zoom(Math.min(from, to), Math.max(from, to));
    });
    svg.addEventListener("pointerleave", () => {
      if (start === null) setCursor(null);
      if (!several) Decisions.tip(null);
    });
    svg.addEventListener("dblclick", () => zoom(0, end));
    svg.addEventListener("keydown", (event) => {
      const width = view.to - view.from, middle = cursor ?? (view.from + view.to) / 2, step = width / 100;
      const keys = {
        ArrowLeft: () => move(middle - step), ArrowRight: () => move(middle + step),
        "+": () => zoom(middle - width / 4, middle + width / 4), "=": () => zoom(middle - width / 4, middle + width / 4),
        "-": () => zoom(middle - width, middle + width), 0: () => zoom(0, end), Escape: () => setCursor(null) };
      if (keys[event.key]) { keys[event.key](); event.preventDefault(); }
    });
  }

  function move(time) {
    const width = view.to - view.from;
    if (time < view.from && view.from > 0) zoom(view.from - width / 4, view.to - width / 4);
    if (time > view.to && view.to < end) zoom(view.from + width / 4, view.to + width / 4);
    setCursor(time);
  }

  function brush(panel, from, to) {
    for (const one of panels) {
      const node = nodes.get(one.id);
      node.brush ??= Chart.make("rect", { class: "brush", y: 0, height: node.map.bottom }, node.svg);
      const left = Math.min(node.map.x(from), node.map.x(to));
      node.brush.setAttribute("x", left);
      node.brush.setAttribute("width", from === to ? 0 : Math.abs(node.map.x(to) - node.map.x(from)));
    }
  }

  // === the revision that is shown ===

  // The cards of the revision, or of all together.
  function cards() {
    const place = element("cards");
    if (!place || several) return;
    const one = views[0], values = chosen === null ? one.all : revisionOf(one).cards;
    if (place.children.length !== one.cards.length) {
      place.replaceChildren();
      for (const name of one.cards) {
        const card = html("div", place);
        html("dt", card, name);
        html("dd", card);
        html("dd", card, undefined, "muted");
      }
    }
    [...place.children].forEach((card, index) => {
      const [value, note] = values[index], [first, second] = card.querySelectorAll("dd");
      first.textContent = value;
      second.textContent = note;
    });
  }

  function choose(name) {
    chosen = name;
    cards();
    if (!several) Decisions.list(views[0].decisions, chosen, setCursor);
    else element("decisions").replaceChildren();
    key();
    drawAll();
  }

  // The whole name that was typed, or else the busiest revision whose name holds what was typed.
  function search(text) {
    const known = views[0].revisions;
    if (!text) return null;
    return (known.find((one) => one.name === text) ?? known.find((one) => one.name.includes(text)))?.name;
  }

  function searchable() {
    const input = element("revision"), label = input.parentNode, known = views[0].revisions;
    const none = several || known.length < 2;
    label.style.display = none ? "none" : "";
    element("everything").style.display = none ? "none" : "";
    const list = element("names");
    list.replaceChildren();
    for (const one of none ? [] : known) html("option", list).value = one.name;
    const take = () => {
      const name = search(input.value.trim());
      input.setCustomValidity(name === undefined ? "no revision has such a name" : "");
      if (name === undefined) { input.reportValidity(); return; }
      input.value = name ?? "";
      if (name !== chosen) choose(name);
    };
    input.onchange = take;
    // A name taken from the list is chosen at once.
    input.oninput = () => {
      input.setCustomValidity("");
      if (!input.value || known.some((one) => one.name === input.value)) take();
    };
    element("everything").onclick = () => { input.value = ""; take(); };
  }

  // What is drawn through all panels and has no line of its own.
  function key() {
    const place = element("key");
    place.replaceChildren();
    if (several) return;
    const series = runs()[0].series;
    const has = (column) => series && series[column].some((value) => value > 0);
    const entries = [
      ["panic", "panic mode", has("mode")], ["cold", "cold starts", has("cold")],
      ["decision", "a decision", Decisions.some()]];
    for (const [className, name, there] of entries) {
      if (!there) continue;
      const entry = html("span", place);
      html("i", entry, undefined, className);
      html("span", entry, name);
    }
  }

  // Draws `data`. A second call keeps the zoom and the revision where they still make sense.
  function show(data) {
    const usable = data.views.filter((one) => one.series.length && one.series[0].count);
    if (!usable.length) return;
    const whole = view && view.from === 0 && view.to === end;
    views = usable;
    several = views.length > 1;
    const before = hidden;
    panels = panelsOf(several);
    hidden = new Map(panels.map((panel) => [panel.id, before?.get(panel.id) ?? new Set()]));
    Chart.setOrigin(data.origin ?? null);
    const offset = -new Date((data.origin ?? 0) * 1000).getTimezoneOffset(), pad = (n) => String(n).padStart(2, "0");
    zone = data.origin == null ? "" : ` (UTC${offset < 0 ? "−" : "+"}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)})`;
    end = Math.max(...views.map((one) => one.series[0].end)) || 1;
    if (!view || whole || view.from >= end) view = { from: 0, to: end };
    view.to = Math.min(view.to, end);
    if (chosen !== null && !revisionOf(views[0])) chosen = null;
    cursor = null;
    const first = !nodes;
    build();
    searchable();
    element("tools").hidden = false;
    choose(chosen);
    if (!first) return;
    element("reset").addEventListener("click", () => zoom(0, end));
    new ResizeObserver(() => drawAll()).observe(element("panels"));
    matchMedia("print").addEventListener("change", drawAll);
  }

  // Draws the page's own data once its figures are on the screen.
  function start() {
    const draw = () => show(JSON.parse(element("data").textContent));
    if (document.hidden) draw();
    else requestAnimationFrame(() => setTimeout(draw));
  }

  return { show, start };
})();
