"use strict";
// Cost against tail latency, one dot for each combination of settings. No text from the data ever
// becomes markup: everything goes through textContent.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const element = (id) => document.getElementById(id);
  const data = JSON.parse(element("data").textContent);
  const points = data.points;
  if (!points.length) return;

  function number(value) {
    if (value === 0) return "0";
    if (!isFinite(value)) return "–";
    const digits = 2 - Math.floor(Math.log10(Math.abs(value)));
    if (digits <= 0) { const unit = 10 ** -digits; return (Math.round(value / unit) * unit).toLocaleString("en-US"); }
    return String(Number(value.toFixed(Math.min(digits, 9))));
  }
  const millis = (v) => v === 0 ? "0 ms" : v < 1 ? number(v * 1e3) + " µs" : v < 1e3 ? number(v) + " ms" : v < 120e3 ? number(v / 1e3) + " s" : number(v / 60e3) + " min";
  const percent = (v) => number(v * 100) + " %";
  const AXES = {
    hours: { name: "instance-hours", show: number }, p99: { name: "p99 latency", show: millis, log: true },
    p50: { name: "p50 latency", show: millis, log: true }, cold: { name: "cold starts", show: percent },
    lost: { name: "lost", show: percent }, idle: { name: "idle", show: percent }, instances: { name: "mean instances", show: number } };

  const make = (name, attributes, parent) => {
    const node = document.createElementNS(NS, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    parent.append(node);
    return node;
  };
  const html = (name, parent, text) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };

  let chosen = points.find((point) => point.best) || points.find((point) => point.front) || points[0];
  const figure = html("figure", element("panels"));
  const svg = make("svg", { class: "panel", role: "img", "aria-label": "Cost against latency" }, figure);

  function roundStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough)), digit = rough / power;
    return (digit <= 1.0001 ? 1 : digit <= 2.0001 ? 2 : digit <= 5.0001 ? 5 : 10) * power;
  }

  function scale(axis, key) {
    const values = points.map((point) => point[key]), most = Math.max(...values);
    const positive = values.filter((value) => value > 0), least = Math.min(...positive);
    if (axis.log && positive.length && most / least > 8) {
      const bottom = 10 ** Math.floor(Math.log10(least)), top = 10 ** Math.ceil(Math.log10(most)), ticks = [];
      for (let v = bottom; v <= top * 1.001; v *= 10) ticks.push(v);
      return { ticks, share: (v) => Math.log10(Math.max(v, bottom) / bottom) / Math.log10(top / bottom) };
    }
    const step = roundStep((most || 1) / 5), top = Math.ceil((most || 1) / step - 1e-9) * step, ticks = [];
    for (let n = 0; n * step <= top * 1.001; n++) ticks.push(n * step);
    return { ticks, share: (v) => v / top };
  }

  function draw() {
    svg.replaceChildren();
    const width = svg.clientWidth || 700, height = Math.max(320, Math.min(620, width * 0.6));
    const left = width < 480 ? 52 : 66, right = 18, top = 16, bottom = 40;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    const across = element("across").value, up = element("up").value;
    const sx = scale(AXES[across], across), sy = scale(AXES[up], up);
    const x = (v) => left + (width - left - right) * sx.share(v), y = (v) => top + (height - top - bottom) * (1 - sy.share(v));
    for (const tick of sy.ticks) {
      make("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }, svg);
      make("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end" }, svg).textContent = AXES[up].show(tick);
    }
    for (const tick of sx.ticks) {
      make("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: height - bottom }, svg);
      make("text", { x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }, svg).textContent = AXES[across].show(tick);
    }
    make("text", { x: width - right, y: height - 6, "text-anchor": "end" }, svg).textContent = AXES[across].name + " →";
    make("text", { x: left + 6, y: top + 10 }, svg).textContent = "↑ " + AXES[up].name;
    front(x, y, across, up);
    for (const point of [...points].sort((a, b) => a.front - b.front)) dot(point, x(point[across]), y(point[up]));
    labels(x, y, across, up, width);
  }

  function stairs(across, up) {
    let best = Infinity;
    return points.filter((point) => point.front).sort((a, b) => a[across] - b[across] || a[up] - b[up])
      .filter((point) => { const better = point[up] < best; best = Math.min(best, point[up]); return better; });
  }

  function front(x, y, across, up) {
    let path = "";
    for (const point of stairs(across, up)) path += path ? `H${x(point[across])}V${y(point[up])}` : `M${x(point[across])} ${y(point[up])}`;
    if (path) make("path", { d: path, fill: "none", stroke: "var(--blue)", "stroke-width": 1.5, "stroke-dasharray": "6 4" }, svg);
  }

  function labels(x, y, across, up, width) {
    const taken = [];
    for (const point of stairs(across, up)) {
      const px = x(point[across]), py = y(point[up]) - 9;
      if (taken.some(([tx, ty]) => Math.abs(tx - px) < 150 && Math.abs(ty - py) < 15)) continue;
      taken.push([px, py]);
      const end = px > width * 0.62;
      const text = make("text", { x: px + (end ? -8 : 8), y: py, "text-anchor": end ? "end" : "start" }, svg);
      // Letters of this size are about six pixels wide.
      const room = Math.max(8, Math.floor((end ? px - 60 : width - px - 20) / 6));
      text.textContent = point.label.length > room ? point.label.slice(0, room - 1) + "…" : point.label;
    }
  }

  function dot(point, cx, cy) {
    const on = point === chosen, ink = point.best ? "green" : point.front ? "blue" : "grey";
    const node = make("circle", { class: "dot", cx, cy, r: on ? 8 : point.front ? 5 : 3.5, fill: `var(--${ink})`,
      "fill-opacity": point.front || on ? 1 : 0.45, stroke: on ? "var(--text)" : "none", "stroke-width": 2 }, svg);
    if (point.front) node.setAttribute("tabindex", 0);
    make("title", {}, node).textContent = point.label;
    const choose = () => { chosen = point; draw(); details(); };
    node.addEventListener("click", choose);
    node.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { choose(); event.preventDefault(); } });
  }

  function details() {
    const aside = element("details");
    aside.replaceChildren();
    html("h2", aside, chosen.best ? "Recommended" : chosen.front ? "On the front" : "Dominated");
    const table = html("table", aside), rows = html("tbody", table);
    const row = (name, value) => { const tr = html("tr", rows); html("th", tr, name); html("td", tr, value); };
    for (const key in chosen.settings) row(key, chosen.settings[key]);
    for (const key in AXES) row(AXES[key].name, AXES[key].show(chosen[key]));
    row("most instances", number(chosen.most));
    const settings = Object.entries(chosen.settings).map(([key, value]) => `--set ${key}=${value}`).join(" ");
    html("p", aside, "Its settings on the command line:").className = "muted";
    html("pre", aside, settings || "(as they are)");
    if (chosen.run) {
      const link = html("a", aside, "Open its run");
      link.href = chosen.run;
    }
  }

  element("tools").hidden = false;
  for (const [id, first] of [["across", "hours"], ["up", "p99"]]) {
    const select = element(id);
    for (const key in AXES) { const option = html("option", select, AXES[key].name); option.value = key; }
    select.value = first;
    select.addEventListener("change", draw);
  }
  draw();
  details();
  new ResizeObserver(draw).observe(element("panels"));
})();
