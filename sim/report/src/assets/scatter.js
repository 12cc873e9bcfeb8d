"use strict";
// Cost against tail latency, one dot for each combination of settings. No text from the data ever
// becomes markup: everything goes through textContent.
const Scatter = (() => {
  const element = (id) => document.getElementById(id);
  const { make, number, units, roundStep } = Chart;
  const { millis, percent } = units;
  const AXES = {
    hours: { name: "instance-hours", show: number }, p99: { name: "p99 latency", show: millis, log: true },
    mean: { name: "mean latency", show: millis, log: true }, p50: { name: "p50 latency", show: millis, log: true },
    p90: { name: "p90 latency", show: millis, log: true }, p95: { name: "p95 latency", show: millis, log: true },
    "p99.9": { name: "p99.9 latency", show: millis, log: true }, max: { name: "longest latency", show: millis, log: true },
    "wait-p99": { name: "p99 wait", show: millis, log: true }, cold: { name: "cold starts", show: percent },
    lost: { name: "lost", show: percent }, idle: { name: "idle", show: percent },
    cost: { name: "cost", show: number }, ready: { name: "mean instances", show: number }, instances: { name: "most instances", show: number } };
  const COMMON = ["hours", "p50", "p99", "cold", "lost", "idle", "ready", "instances"];

  let points = [], limits = [], chosen = null, svg = null, onChoice = null;

  // What points are ranked by: money where all have a price.
  const priced = () => points.every((point) => point.cost !== undefined);
  const price = () => (priced() ? "cost" : "hours");

  const { html } = Chart;

  const name = (point) => point.label || "as it is";
  // Why a dot looks as it does, the strongest reason first.
  const KINDS = [
    ["now", "now", "vermilion", (p) => p.now], ["best", "recommended", "green", (p) => p.best],
    ["asitis", "as it is", "orange", (p) => p.base], ["front", "on the front", "blue", (p) => p.front],
    ["other", "another is better in everything", "grey", () => true]];
  const kind = (point) => KINDS.find((one) => one[3](point));

  // The point nearest to the corner where everything is best, each axis as a share of its span.
  function knee() {
    const front = points.filter((point) => point.front);
    const part = (key) => {
      const values = front.map((point) => point[key]), low = Math.min(...values), span = Math.max(...values) - low || 1;
      return (point) => (point[key] - low) / span;
    };
    const across = part(price()), up = part("p99");
    const far = (point) => across(point) ** 2 + up(point) ** 2;
    return front.reduce((best, point) => (best && far(best) <= far(point) ? best : point), null);
  }

  function scale(axis, key, narrow) {
    const bounds = limits.filter((limit) => limit.axis === key).map((limit) => limit.at_most);
    const values = points.map((point) => point[key]).concat(bounds), most = Math.max(...values);
    const positive = values.filter((value) => value > 0), least = Math.min(...positive);
    if (axis.log && positive.length && most / least > 8) {
      const bottom = 10 ** Math.floor(Math.log10(least)), top = 10 ** Math.ceil(Math.log10(most) + 1e-9), ticks = [];
      for (let v = bottom; v <= top * 1.001; v *= 10) ticks.push(v);
      return { ticks, share: (v) => Math.log10(Math.max(v, bottom) / bottom) / Math.log10(top / bottom) };
    }
    const step = roundStep((most || 1) / (narrow ? 3 : 5)), top = Math.ceil((most || 1) / step - 1e-9) * step, ticks = [];
    for (let n = 0; n * step <= top * 1.001; n++) ticks.push(n * step);
    return { ticks, share: (v) => v / top };
  }

  function draw() {
    if (!points.length) return;
    svg.replaceChildren();
    const width = svg.clientWidth || 700, height = Math.max(300, Math.min(560, width * 0.55)), narrow = width < 480;
    const left = narrow ? 56 : 70, right = 18, top = 30, bottom = 44;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    const across = element("across").value, up = element("up").value;
    const sx = scale(AXES[across], across, narrow), sy = scale(AXES[up], up, false);
    const x = (v) => left + (width - left - right) * sx.share(v), y = (v) => top + (height - top - bottom) * (1 - sy.share(v));
    for (const tick of sy.ticks) {
      make("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }, svg);
      make("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end" }, svg).textContent = AXES[up].show(tick);
    }
    for (const tick of sx.ticks) {
      make("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: height - bottom }, svg);
      make("text", { x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }, svg).textContent = AXES[across].show(tick);
    }
    make("text", { class: "unit", x: width - right, y: height - 8, "text-anchor": "end" }, svg).textContent = AXES[across].name + " →";
    make("text", { class: "unit", x: 4, y: 14 }, svg).textContent = "↑ " + AXES[up].name;
    const taken = bounds(x, y, across, up, { left, right: width - right, top, bottom: height - bottom });
    front(x, y, across, up);
    const rank = (point) => -KINDS.indexOf(kind(point));
    for (const point of [...points].sort((a, b) => rank(a) - rank(b))) dot(point, x(point[across]), y(point[up]));
    labels(x, y, across, up, { left, right: width - right, top: top - 8, bottom: height - bottom }, taken);
  }

  // What must be kept: a line at each bound that lies on one of the axes.
  function bounds(x, y, across, up, plot) {
    const taken = [];
    for (const limit of limits) {
      const line = { class: "bound" };
      let at;
      if (limit.axis === up) {
        const level = y(limit.at_most);
        make("line", { ...line, x1: plot.left, x2: plot.right, y1: level, y2: level }, svg);
        at = { x: plot.right - 4, y: level - 5, "text-anchor": "end" };
      } else if (limit.axis === across) {
        const level = x(limit.at_most);
        make("line", { ...line, y1: plot.top, y2: plot.bottom, x1: level, x2: level }, svg);
        at = { x: level - 5, y: plot.top + 12, "text-anchor": "end" };
      } else continue;
      make("text", { class: "boundname", ...at }, svg).textContent = limit.text;
      const long = limit.text.length * LETTER;
      taken.push([at.x - long, at.y - 11, at.x, at.y + 3]);
    }
    return taken;
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

  // Letters of this size are about six pixels wide.
  const LETTER = 6.2;

  // What sets a point of the front apart from the others of it.
  function apart(among) {
    const keys = Object.keys(among[0]?.settings ?? {});
    const telling = keys.filter((key) => among.some((point) => point.settings[key] !== among[0].settings[key]));
    return (point) => telling.map((key) => `${key}=${point.settings[key]}`).join(" ") || name(point);
  }

  // Labels stand beside their points where there is room, and nowhere else.
  function labels(x, y, across, up, plot, taken) {
    const steps = stairs(across, up), words = apart(steps);
    const marked = points.filter((point) => point.best || point.now || point.base);
    for (const point of points) {
      if (!point.front && !marked.includes(point)) continue;
      const px = x(point[across]), py = y(point[up]);
      taken.push([px - 5, py - 5, px + 5, py + 5]);
    }
    for (const point of [...marked, ...steps.filter((one) => !marked.includes(one))]) {
      const px = x(point[across]), py = y(point[up]);
      const [, what] = kind(point);
      const own = point.best || point.now || point.base ? `${what}${point.label && !point.now ? ": " + words(point) : ""}` : words(point);
      const full = own.length * LETTER, most = Math.min(full, plot.right - plot.left - 24);
      const places = [[px + 9, py - 7], [px - 9 - most, py - 7], [px + 9, py + 15], [px - 9 - most, py + 15], [px - most / 2, py - 12], [px - most / 2, py + 22]];
      const box = ([bx, by]) => [bx, by - 10, bx + most, by + 3];
      const free = places.find((place) => {
        const [l, t, r, b] = box(place);
        return l >= plot.left && r <= plot.right && t >= plot.top && b <= plot.bottom
          && !taken.some((o) => l < o[2] && r > o[0] && t < o[3] && b > o[1]);
      });
      if (!free) continue;
      taken.push(box(free));
      const room = Math.floor(most / LETTER);
      make("text", { class: "label", x: free[0], y: free[1] }, svg).textContent = own.length > room ? own.slice(0, room - 1) + "…" : own;
    }
  }

  function dot(point, cx, cy) {
    const on = point === chosen, [className, , ink] = kind(point), dull = className === "other";
    const node = make("circle", { class: "dot " + className, cx, cy, r: on ? 8 : dull ? 3.5 : 5.5, fill: `var(--${ink})`,
      "fill-opacity": !dull || on ? 1 : 0.7, stroke: on ? "var(--text)" : "var(--panel)", "stroke-width": on ? 2 : 0.8 }, svg);
    if (!dull) node.setAttribute("tabindex", 0);
    make("title", {}, node).textContent = `${name(point)}: ${number(point.hours)} instance-hours, p99 ${millis(point.p99)}`;
    const choose = () => { chosen = point; draw(); details(); };
    node.addEventListener("click", choose);
    node.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { choose(); event.preventDefault(); } });
  }

  function details() {
    const aside = element("details");
    aside.replaceChildren();
    const title = kind(chosen)[1];
    html("h2", aside, title[0].toUpperCase() + title.slice(1));
    const table = html("table", aside), rows = html("tbody", table);
    const row = (key, value) => { const tr = html("tr", rows); html("th", tr, key); html("td", tr, value); return tr; };
    for (const key in chosen.settings) row(key, chosen.settings[key]).className = "differs";
    const shown = (priced() ? ["cost"] : []).concat(COMMON, limits.map((limit) => limit.axis).filter((axis) => axis !== "cost" && !COMMON.includes(axis)));
    for (const key of shown) {
      const missed = limits.some((limit) => limit.axis === key && chosen[key] > limit.at_most);
      row(AXES[key].name, AXES[key].show(chosen[key]) + (missed ? " ✗" : ""));
    }
    if (onChoice) onChoice(aside, chosen);
    const settings = Object.entries(chosen.settings).map(([key, value]) => `--set ${key}=${value}`).join(" ");
    html("pre", aside, settings || "(as it is)");
    if (chosen.run) html("a", aside, "Open its run").href = chosen.run;
  }

  function key() {
    const place = element("marks");
    place.replaceChildren();
    for (const [className, words, ink] of KINDS) {
      if (!points.some((point) => kind(point)[0] === className)) continue;
      const entry = html("span", place);
      const mark = html("i", entry, undefined, "disc");
      mark.style.background = `var(--${ink})`;
      html("span", entry, words);
    }
    if (limits.length) {
      const entry = html("span", place);
      html("i", entry, undefined, "limit");
      html("span", entry, "what must be kept");
    }
  }

  function axes() {
    element("axes").hidden = false;
    const figure = html("figure", element("scatter"));
    svg = make("svg", { class: "panel", role: "img", "aria-label": "Cost against latency" }, figure);
    for (const [id, first] of [["across", price()], ["up", limits.find((limit) => AXES[limit.axis])?.axis ?? "p99"]]) {
      const select = element(id);
      for (const key in AXES) if (key !== "cost" || priced()) html("option", select, AXES[key].name).value = key;
      select.value = first;
      select.addEventListener("change", draw);
    }
    new ResizeObserver(draw).observe(element("scatter"));
  }

  // Draws `data`; `choice`, if there is one, adds to what is said of a point. A second call keeps
  // the axes and, where it is still there, the point.
  function show(data, choice) {
    points = data.points;
    limits = data.bounds.filter((limit) => AXES[limit.axis]);
    onChoice = choice ?? null;
    if (!points.length) return;
    const before = chosen?.label;
    chosen = points.find((point) => point.now) ?? points.find((point) => point.label === before)
      ?? points.find((point) => point.best) ?? knee() ?? points[0];
    if (!svg) axes();
    key();
    draw();
    details();
  }

  return { show };
})();
