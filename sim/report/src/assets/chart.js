"use strict";
// Draws one panel into an SVG. Everything goes through createElementNS and textContent, so nothing
// from the data can become markup.
const Chart = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const LEFT = 58, RIGHT = 10, TOP = 22, BOTTOM = 22;

  function make(name, attributes, parent) {
    const node = document.createElementNS(NS, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (parent) parent.append(node);
    return node;
  }

  // An element of the page with a text, at the end of its parent.
  function html(name, parent, text, className) {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    if (parent) parent.append(node);
    return node;
  }

  // Three significant figures, no needless zeros, commas between thousands.
  function number(value) {
    if (value === null || !isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e15) return value.toExponential(2);
    const digits = 2 - Math.floor(Math.log10(size));
    if (digits <= 0) {
      const unit = 10 ** -digits;
      return (Math.round(value / unit) * unit).toLocaleString("en-US");
    }
    return String(Number(value.toFixed(Math.min(digits, 9))));
  }

  function millis(value) {
    if (value === null || !isFinite(value)) return "–";
    if (value === 0) return "0 ms";
    if (value < 1) return number(value * 1e3) + " µs";
    if (value < 1e3) return number(value) + " ms";
    if (value < 120e3) return number(value / 1e3) + " s";
    return number(value / 60e3) + " min";
  }

  const percent = (value) => number(value * 100) + " %";
  const units = { plain: number, millis, percent };

  // When time zero was, for traffic that knows the calendar.
  let origin = null;
  const setOrigin = (seconds) => { origin = seconds; };

  // The reader's own time where the calendar is known; else m:ss below an hour, h:mm:ss above, so
  // that no two labels can be confused.
  function clock(at, step) {
    if (origin !== null) {
      const date = new Date((origin + at) * 1000), pad = (n) => String(n).padStart(2, "0");
      const time = pad(date.getHours()) + ":" + pad(date.getMinutes());
      if (step >= 86400) return pad(date.getDate()) + "." + pad(date.getMonth() + 1) + ".";
      return step >= 60 ? time : time + ":" + pad(date.getSeconds()) + (step < 1 ? "." + Math.floor(date.getMilliseconds() / 100) : "");
    }
    if (step < 1) return at.toFixed(step < 0.1 ? 2 : 1) + " s";
    const whole = Math.floor(at + 1e-6), two = (n) => String(n).padStart(2, "0");
    const days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24, minutes = Math.floor(whole / 60) % 60;
    const tail = (days || hours ? hours + ":" + two(minutes) : minutes) + ":" + two(whole % 60);
    return days ? days + "d " + tail : tail;
  }

  function roundStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough)), digit = rough / power;
    return (digit <= 1.0001 ? 1 : digit <= 2.0001 ? 2 : digit <= 5.0001 ? 5 : 10) * power;
  }

  function roundTime(rough) {
    const round = [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];
    return round.find((step) => step >= rough) || roundStep(rough / 86400) * 86400;
  }

  // The steps of a series that lie in the visible time, with one more on each side.
  function visible(series, view) {
    let from = 0, to = series.at.length;
    while (from < to - 1 && series.at[from + 1] <= view.from) from++;
    while (to > from + 1 && series.at[to - 1] > view.to) to--;
    return [from, to];
  }

  function scaleOf(panel, runs, view, hidden) {
    let least = Infinity, most = 0;
    for (const run of runs) {
      const [from, to] = visible(run.series, view);
      for (let i = from; i < to; i++) {
        let sum = 0;
        for (const mark of panel.marks) {
          if (hidden.has(mark.key) || (runs.length > 1 && !mark.compare)) continue;
          const value = run.series[mark.key][i] || 0;
          if (mark.stack) sum += value;
          if (value > most) most = value;
          if (value > 0 && value < least) least = value;
        }
        if (sum > most) most = sum;
      }
    }
    if (panel.top) most = panel.top;
    if (panel.log) return logScale(panel, least, most);
    const step = roundStep((most || 1) / 4), top = panel.top || Math.ceil((most || 1) / step - 1e-9) * step;
    const ticks = [];
    for (let n = 0; n * step <= top * 1.001; n++) ticks.push(n * step);
    return { ticks, share: (v) => Math.min(1, Math.max(0, v / top)) };
  }

  // Round values on a logarithmic axis: decades, and above a minute what clocks have.
  const DECADES = Array.from({ length: 25 }, (_, n) => 10 ** (n - 9));
  const CLOCK = [...DECADES.filter((v) => v <= 1e4), 6e4, 6e5, 3.6e6, 3.6e7, 3.6e8, 3.6e9];

  function logScale(panel, least, most) {
    if (!isFinite(least)) { least = 1; most = 10; }
    const round = panel.unit === "millis" ? CLOCK : DECADES;
    let low = round.findLastIndex((v) => v <= least), high = round.findIndex((v) => v >= most);
    low = Math.max(0, low);
    // What lies on the lower edge would not be seen.
    if (least < round[low] * 1.3 && low > 0) low--;
    if (high < 0) high = round.length - 1;
    if (high <= low) high = low + 1;
    const stride = Math.floor((high - low) / 5) + 1, bottom = round[low], top = round[high];
    const ticks = round.slice(low, high + 1).filter((_, n) => n % stride === 0);
    const span = Math.log10(top / bottom);
    return { ticks, share: (v) => Math.min(1, Math.max(0, Math.log10(Math.max(v, bottom) / bottom) / span)) };
  }

  const fix = (value) => Math.round(value * 10) / 10;

  // A path through one column; `low` gives the other side of an area.
  function trace(run, view, x, y, value, low, steps) {
    const [from, to] = visible(run.series, view), at = run.series.at;
    const middle = (i) => steps ? at[i] : (at[i] + (i + 1 < at.length ? at[i + 1] : run.series.end)) / 2;
    let path = "", open = false, back = [];
    for (let i = from; i < to; i++) {
      const v = value(i);
      if (v === null || !isFinite(v)) { open = false; continue; }
      const px = fix(x(middle(i))), py = fix(y(v));
      path += open ? (steps ? `H${px}V${py}` : `L${px} ${py}`) : `M${px} ${py}`;
      open = true;
      if (low) back.push([px, fix(y(low(i)))]);
    }
    if (steps && open) path += "H" + fix(x(run.series.end));
    if (low && back.length) path += back.reverse().map((p) => `L${p[0]} ${p[1]}`).join("") + "Z";
    return path;
  }

  // Draws `panel` for `runs` and returns what maps pixels and times.
  function draw(svg, panel, runs, view, hidden) {
    svg.replaceChildren();
    const width = svg.clientWidth || 600, narrow = width < 480;
    const height = panel.height * (narrow ? 0.85 : 1);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    make("title", {}, svg).textContent = panel.title;
    make("desc", {}, svg).textContent = panel.marks.map((mark) => mark.name).join(", ") + " over time";
    const left = narrow ? 46 : LEFT, plotWidth = Math.max(10, width - left - RIGHT), bottom = height - BOTTOM;
    const scale = scaleOf(panel, runs, view, hidden);
    const x = (at) => left + plotWidth * (at - view.from) / (view.to - view.from);
    const y = (value) => TOP + (bottom - TOP) * (1 - scale.share(value));
    const clip = "clip-" + panel.id;
    const clipPath = make("clipPath", { id: clip }, make("defs", {}, svg));
    make("rect", { x: left, y: 0, width: plotWidth, height: bottom + 1 }, clipPath);
    const body = make("g", { "clip-path": `url(#${clip})` }, svg);
    if (runs.length === 1) shade(body, runs[0], view, x, bottom);
    for (const tick of scale.ticks) {
      make("line", { class: "grid", x1: left, x2: left + plotWidth, y1: fix(y(tick)), y2: fix(y(tick)) }, svg);
      const label = make("text", { x: left - 6, y: fix(y(tick)) + 4, "text-anchor": "end" }, svg);
      label.textContent = units[panel.unit](tick);
    }
    make("text", { class: "unit", x: 2, y: 11 }, svg).textContent = panel.axis;
    svg.append(body);
    timeAxis(svg, view, x, bottom, plotWidth, left);
    // What all runs have in common is drawn once, as if there were one run.
    const drawn = panel.shared ? runs.slice(0, 1) : runs;
    drawn.forEach((run, index) => marks(body, panel, run, index, drawn.length > 1, view, x, y, hidden));
    if (panel.none && !anything(panel, drawn, view)) {
      make("text", { class: "none", x: left + plotWidth / 2, y: (TOP + bottom) / 2 + 4, "text-anchor": "middle" }, svg).textContent = panel.none;
    }
    if (panel.bounds && runs.length === 1) bounds(body, runs[0].bounds, y, left, plotWidth, scale);
    if (runs.length === 1) coldStarts(svg, runs[0], view, x, bottom);
    return { x, y, left, plotWidth, height, top: TOP, bottom, time: (px) => view.from + (px - left) / plotWidth * (view.to - view.from) };
  }

  // Whether there is anything to see in the visible time.
  function anything(panel, runs, view) {
    return runs.some((run) => {
      const [from, to] = visible(run.series, view);
      return panel.marks.some((mark) => run.series[mark.key].slice(from, to).some((value) => value > 0));
    });
  }

  function shade(body, run, view, x, bottom) {
    const series = run.series, [from, to] = visible(series, view);
    for (let i = from; i < to; i++) {
      if (!(series.mode[i] > 0)) continue;
      const end = i + 1 < series.at.length ? series.at[i + 1] : series.end;
      make("rect", { x: fix(x(series.at[i])), y: TOP, width: Math.max(0.7, fix(x(end) - x(series.at[i]))),
        height: bottom - TOP, fill: "var(--vermilion)", "fill-opacity": 0.13 * series.mode[i] }, body);
    }
  }

  function timeAxis(svg, view, x, bottom, plotWidth, left) {
    const step = roundTime((view.to - view.from) * 80 / plotWidth);
    // Labels stand at round times of the reader's day, not of the trace.
    const shift = origin === null ? 0 : (origin - new Date(origin * 1000).getTimezoneOffset() * 60) % step;
    for (let at = Math.ceil((view.from + shift) / step) * step - shift; at <= view.to * (1 + 1e-9); at += step) {
      const px = fix(x(at));
      make("line", { class: "axis", x1: px, x2: px, y1: bottom, y2: bottom + 4 }, svg);
      const anchor = px > left + plotWidth - 14 ? "end" : "middle";
      make("text", { x: px, y: bottom + 17, "text-anchor": anchor }, svg).textContent = clock(at, step);
    }
  }

  const RUN_INKS = ["blue", "vermilion", "green", "purple", "orange", "sky"];
  const DASHES = { dashed: "6 4", dotted: "2 3" };

  function marks(body, panel, run, index, several, view, x, y, hidden) {
    let base = null;
    for (const mark of panel.marks) {
      if (hidden.has(mark.key) || (several && !mark.compare)) continue;
      const column = run.series[mark.key];
      const value = panel.log ? (i) => (column[i] > 0 ? column[i] : NaN) : (i) => column[i];
      const ink = `var(--${several ? RUN_INKS[index % 6] : mark.ink})`;
      if (several) {
        const dash = index % 2 ? { "stroke-dasharray": index === 5 ? "2 3" : "6 3" } : {};
        make("path", { d: trace(run, view, x, y, value, null, mark.steps), fill: "none", stroke: ink,
          "stroke-width": 1.7, "stroke-linejoin": "round", ...dash }, body);
        continue;
      }
      if (mark.stack) {
        const low = base || (() => 0), high = (i) => low(i) + (column[i] || 0);
        make("path", { d: trace(run, view, x, y, high, low), fill: ink, "fill-opacity": mark.opacity }, body);
        base = high;
        continue;
      }
      if (mark.stems && !several) {
        stems(body, run, view, x, y, value, ink);
        continue;
      }
      if (mark.area) {
        make("path", { d: trace(run, view, x, y, value, () => 0), fill: ink, "fill-opacity": mark.area }, body);
      }
      if (mark.area === undefined || mark.line) {
        const dash = mark.dash ? { "stroke-dasharray": DASHES[mark.dash] } : {};
        make("path", { d: trace(run, view, x, y, value, null, mark.steps), fill: "none", stroke: ink,
          "stroke-width": mark.width || 1.5, "stroke-linejoin": "round", ...dash }, body);
      }
    }
  }

  // One upright line for each step: what is there now and then would vanish as a line.
  function stems(body, run, view, x, y, value, ink) {
    const [from, to] = visible(run.series, view), at = run.series.at;
    let path = "";
    for (let i = from; i < to; i++) {
      if (!(value(i) > 0)) continue;
      const end = i + 1 < at.length ? at[i + 1] : run.series.end;
      path += `M${fix(x((at[i] + end) / 2))} ${fix(y(0))}V${fix(y(value(i)))}`;
    }
    const width = Math.max(1, Math.min(6, 0.7 * (x(at[Math.min(from + 1, at.length - 1)]) - x(at[from]))));
    if (path) make("path", { d: path, stroke: ink, "stroke-width": fix(width), "stroke-opacity": 0.8 }, body);
  }

  function bounds(body, limits, y, left, plotWidth, scale) {
    for (const name of ["min", "max"]) {
      const bound = limits[name];
      if (bound === null || bound > scale.ticks[scale.ticks.length - 1]) continue;
      make("line", { x1: left, x2: left + plotWidth, y1: fix(y(bound)), y2: fix(y(bound)), stroke: "var(--grey)",
        "stroke-dasharray": "1 4" }, body);
      // Above its line, or below it where the marks of decisions are.
      const at = fix(y(bound)) + (y(bound) < TOP + 16 ? 12 : -4);
      const label = make("text", { x: left + plotWidth - 4, y: at, "text-anchor": "end" }, body);
      label.textContent = name + " " + bound;
    }
  }

  // Above this many, single ticks would merge into a bar; how many there were is then its strength.
  const TICKS_MAX = 250;

  function coldStarts(svg, run, view, x, bottom) {
    const series = run.series, [from, to] = visible(series, view);
    let all = 0, most = 0;
    for (let i = from; i < to; i++) { all += series.cold[i]; most = Math.max(most, series.cold[i]); }
    if (!all) return;
    const strip = make("g", { fill: "var(--orange)" }, svg);
    make("title", {}, strip).textContent = number(all) + " cold starts";
    const seen = run.cold.filter((at) => at >= view.from && at <= view.to);
    if (all <= TICKS_MAX && seen.length >= all) {
      for (const at of seen) make("rect", { x: fix(x(at)) - 0.6, y: bottom, width: 1.2, height: 6 }, strip);
      return;
    }
    for (let i = from; i < to; i++) {
      if (!series.cold[i]) continue;
      const start = Math.max(view.from, series.at[i]), end = Math.min(view.to, i + 1 < series.at.length ? series.at[i + 1] : series.end);
      make("rect", { x: fix(x(start)), y: bottom, width: Math.max(1, fix(x(end) - x(start))), height: 5,
        "fill-opacity": fix(0.15 + 0.85 * series.cold[i] / most) }, strip);
    }
  }

  return { make, html, draw, setOrigin, number, units, clock, roundStep, RUN_INKS };
})();
