"use strict";
// Wires the panels together: one time axis, one crosshair, one zoom; decisions beside them.
(() => {
  const element = (id) => document.getElementById(id);
  const data = JSON.parse(element("data").textContent);
  const usable = data.views.filter((view) => view.series.length && view.series[0].at.length);
  if (!usable.length) return;

  Chart.setOrigin(data.origin ?? null);
  const offset = -new Date((data.origin ?? 0) * 1000).getTimezoneOffset();
  const zone = data.origin == null ? "" : ` (UTC${offset < 0 ? "−" : "+"}${String(Math.floor(Math.abs(offset) / 60)).padStart(2, "0")}:${String(Math.abs(offset) % 60).padStart(2, "0")})`;

  const several = usable.length > 1;
  const PANELS = [
    { id: "demand", title: "Demand", unit: "plain", height: 130, shared: true, marks: [
      { key: "rate", name: "requests/s", ink: "sky", area: 0.3, line: true, compare: true }] },
    { id: "concurrency", title: "Concurrency", unit: "plain", height: 150, marks: [
      { key: "conc", name: "in the system", ink: "grey", area: 0.3, line: true, compare: true },
      { key: "stable", name: "stable window", ink: "purple", width: 1.8 },
      { key: "panic", name: "panic window", ink: "vermilion", dash: "dotted" }] },
    { id: "instances", title: "Instances", unit: "plain", height: 200, bounds: true, decisions: true, marks: [
      { key: "ready", name: "ready", ink: "blue", stack: true, opacity: 0.55, compare: true, steps: several },
      { key: "starting", name: "starting", ink: "orange", stack: true, opacity: 0.7 },
      { key: "draining", name: "draining", ink: "grey", stack: true, opacity: 0.5 },
      { key: "wanted", name: "wanted", ink: "text", steps: true, width: 1.3 }] },
    { id: "waiting", title: "Waiting requests", unit: "plain", height: 120, marks: [
      { key: "waitingMax", name: "most at once", ink: "vermilion", area: 0.2 },
      { key: "waiting", name: "mean", ink: "vermilion", width: 1.5, compare: true }] },
    { id: "longest", title: "Longest wait", unit: "millis", height: 120, log: true, marks: [
      { key: "waitMax", name: "longest wait", ink: "vermilion", stems: true, compare: true }] },
    { id: "latency", title: "Latency", unit: "millis", height: 170, log: true, marks: [
      { key: "p99", name: "p99", ink: "vermilion", compare: true },
      { key: "p95", name: "p95", ink: "orange", dash: "dashed" },
      { key: "p50", name: "p50", ink: "green", width: 1.8 }] },
    { id: "idle", title: several ? "Idle share" : "Idle share of ready instances", unit: "percent", height: 100, top: 1, marks: [
      { key: "idle", name: "idle", ink: "grey", area: 0.35, line: true, compare: true }] },
  ];

  let chosen = 0;
  const end = Math.max(...usable.map((view) => view.series[0].end)) || 1;
  const view = { from: 0, to: end };
  const hidden = new Map(PANELS.map((panel) => [panel.id, new Set()]));
  const nodes = new Map();
  let cursor = null;

  const runs = () => usable.map((one) => ({
    name: one.name, series: one.series[chosen] || one.series[0], cold: chosen ? [] : one.cold, bounds: one.bounds }));

  function html(name, parent, text, className) {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    if (parent) parent.append(node);
    return node;
  }

  // === panels ===

  function build() {
    for (const panel of PANELS) {
      const figure = html("figure", element("panels"));
      const caption = html("figcaption", figure);
      const shown = panel.marks.find((mark) => mark.compare);
      html("strong", caption, several && panel.marks.length > 1 ? `${panel.title}, ${shown.name}` : panel.title);
      const keys = html("span", caption, undefined, "keys");
      const svg = Chart.make("svg", { class: "panel", role: "img", tabindex: 0, "aria-label": panel.title }, figure);
      const details = html("details", figure);
      html("summary", details, "Table");
      details.addEventListener("toggle", () => details.open && table(details, panel));
      nodes.set(panel.id, { svg, keys, values: legend(keys, panel), details });
      wire(svg, panel);
    }
  }

  // Buttons that say what a line is, show its value under the crosshair, and hide it.
  function legend(parent, panel) {
    const values = [];
    const entries = several
      ? runs().slice(0, panel.shared ? 1 : undefined).map((run, index) => ({ run: index, name: panel.shared ? "the same for all" : run.name, ink: panel.shared ? "sky" : Chart.RUN_INKS[index % 6], dash: index % 2 && "dashed", mark: panel.marks.find((m) => m.compare) }))
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
        button.setAttribute("aria-pressed", "true");
        button.addEventListener("click", () => {
          const off = hidden.get(panel.id);
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
    if (panel.decisions && !several) markDecisions(node);
    node.brush = null;
    node.cross = Chart.make("line", { class: "cross", y1: 4, y2: node.map.bottom, visibility: "hidden" }, node.svg);
    if (node.details.open) table(node.details, panel);
  }

  function drawAll() {
    for (const panel of PANELS) drawOne(panel);
    element("reset").disabled = view.from === 0 && view.to === end;
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

  function showCursor() {
    const all = runs();
    for (const panel of PANELS) {
      const node = nodes.get(panel.id);
      const outside = cursor === null || cursor < view.from || cursor > view.to;
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
      ? "Drag across a chart to zoom; arrow keys move, + and − zoom, 0 resets." + (zone && " Times are yours" + zone + ".")
      : "at " + Chart.clock(cursor, 1) + zone;
    followDecisions();
  }

  function setCursor(time) {
    cursor = time === null ? null : Math.min(view.to, Math.max(view.from, time));
    showCursor();
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
      if (panel.decisions && !several) tip(event, at(event));
    });
    svg.addEventListener("pointerup", (event) => {
      const from = start, to = at(event);
      start = null;
      brush(panel, 0, 0);
      const map = nodes.get(panel.id).map;
      if (from !== null && Math.abs(map.x(from) - map.x(to)) > 6) zoom(Math.min(from, to), Math.max(from, to));
    });
    svg.addEventListener("pointerleave", () => { if (start === null) setCursor(null); tip(null); });
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
    for (const one of PANELS) {
      const node = nodes.get(one.id);
      node.brush ??= Chart.make("rect", { class: "brush", y: 0, height: node.map.bottom }, node.svg);
      const left = Math.min(node.map.x(from), node.map.x(to));
      node.brush.setAttribute("x", left);
      node.brush.setAttribute("width", from === to ? 0 : Math.abs(node.map.x(to) - node.map.x(from)));
    }
  }

  // === decisions ===

  const decisions = usable[0].decisions;
  const order = decisions.at.map((_, i) => i);
  let listed = [], items = [], current = -1;

  function listDecisions() {
    const name = usable[0].series[chosen]?.name;
    listed = order.filter((i) => !chosen || decisions.names[decisions.revision[i]] === name);
    const aside = element("decisions");
    aside.replaceChildren();
    if (several || !listed.length) return;
    html("h2", aside, `Decisions (${listed.length.toLocaleString("en-US")})`);
    if (decisions.left_out) html("p", aside, `${decisions.left_out.toLocaleString("en-US")} smaller ones are left out`, "muted").style.margin = "0";
    const list = html("ol", aside);
    list.tabIndex = 0;
    const fragment = document.createDocumentFragment();
    items = listed.map((i) => {
      const item = html("li", fragment, undefined, decisions.panicking[i] ? "panic" : "");
      html("time", item, Chart.clock(decisions.at[i], 1));
      const revision = decisions.names.length > 1 && !chosen ? decisions.names[decisions.revision[i]] + ": " : "";
      html("b", item, `${revision}${decisions.wanted[i]} wanted, ${decisions.ready[i]} ready`);
      html("div", item, decisions.reason[i], "muted");
      item.addEventListener("click", () => setCursor(decisions.at[i]));
      return item;
    });
    list.append(fragment);
    current = -1;
  }

  function markDecisions(node) {
    let path = "";
    for (const i of listed) {
      const at = decisions.at[i];
      if (at < view.from || at > view.to) continue;
      const px = Math.round(node.map.x(at) * 10) / 10;
      path += `M${px - 3} 0h6l-3 6z`;
    }
    if (path) Chart.make("path", { class: "decision", d: path }, node.svg);
  }

  // The decision in force at a time: the last one before it.
  function decisionAt(time) {
    let found = -1;
    for (let n = 0; n < listed.length && decisions.at[listed[n]] <= time; n++) found = n;
    return found;
  }

  function followDecisions() {
    if (several || !items.length) return;
    const found = cursor === null ? -1 : decisionAt(cursor);
    if (found === current) return;
    items[current]?.classList.remove("at");
    current = found;
    const item = items[found];
    if (!item) return;
    item.classList.add("at");
    const list = item.parentNode;
    list.scrollTop = item.offsetTop - list.offsetTop - list.clientHeight / 3;
  }

  const tooltip = html("div", document.body);
  tooltip.id = "tip";
  tooltip.hidden = true;

  function tip(event, time) {
    const found = event ? decisionAt(time) : -1;
    tooltip.hidden = found < 0;
    if (found < 0) return;
    const i = listed[found];
    tooltip.replaceChildren();
    html("b", tooltip, `${Chart.clock(decisions.at[i], 1)}: ${decisions.wanted[i]} wanted, ${decisions.ready[i]} ready`);
    html("div", tooltip, decisions.reason[i]);
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    tooltip.style.top = Math.max(8, Math.min(event.clientY + 18, innerHeight - box.height - 8)) + "px";
  }

  // === tools ===

  function tools() {
    element("tools").hidden = false;
    const select = element("revision"), series = usable[0].series;
    series.forEach((one, index) => { html("option", select, one.name ?? "all together").value = index; });
    select.parentNode.hidden = several || series.length < 2;
    select.parentNode.style.display = several || series.length < 2 ? "none" : "";
    select.addEventListener("change", () => { chosen = Number(select.value); listDecisions(); drawAll(); });
    element("reset").addEventListener("click", () => zoom(0, end));
  }

  tools();
  build();
  listDecisions();
  drawAll();
  new ResizeObserver(() => drawAll()).observe(element("panels"));
  matchMedia("print").addEventListener("change", drawAll);
})();
