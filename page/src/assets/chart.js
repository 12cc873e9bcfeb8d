"use strict";
// Charts of one time axis. Their nodes are made once and changed in place, so that a page that is
// open for a day holds what it held after a minute.
const Charts = (() => {
  const { make, draw, say, set, number, clock } = Elements;
  const LEFT = 50, RIGHT = 8, TOP = 8, BOTTOM = 20, TICKS = 4, TABLE_ROWS = 30, WIDE = 2200;
  const DECISIONS_MAX = 120, KEPT_MS = 3600e3, KEPT_POINTS = 4000;
  const RANGES = [[60e3, "1 min"], [300e3, "5 min"], [900e3, "15 min"], [3600e3, "1 h"]];

  // What was seen, column by column; the newest value holds until `now`.
  class Series {
    constructor() { this.clear(); }

    clear() { this.columns = {}; this.now = 0; }

    // The whole past, or one more point.
    add(now, past, point) {
      this.now = now;
      if (past) { this.columns = past; return; }
      if (!point) return;
      for (const key in point) {
        const column = this.columns[key] || (this.columns[key] = []);
        for (const value of point[key]) column.push(value);
      }
      this.forget();
    }

    // In pieces, so that forgetting costs little.
    forget() {
      const at = this.columns.at || [];
      if (at.length < 2) return;
      const old = at[1] < this.now - KEPT_MS - 60e3 || at.length > KEPT_POINTS;
      if (!old) return;
      let count = at.findIndex((t) => t > this.now - KEPT_MS) - 1;
      if (at.length - count > KEPT_POINTS - 200) count = at.length - KEPT_POINTS + 200;
      if (count > 0) for (const key in this.columns) this.columns[key].splice(0, count);
    }

    // Which point holds at a time; -1 before the first.
    index(time) {
      const at = this.columns.at || [];
      let low = 0, high = at.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (at[middle] <= time) low = middle + 1; else high = middle;
      }
      return low - 1;
    }

    value(key, index) {
      const column = this.columns[key];
      return column && index >= 0 ? column[index] : null;
    }
  }

  function round(rough) {
    const power = 10 ** Math.floor(Math.log10(rough)), digit = rough / power;
    return (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10) * power;
  }

  const TIME_STEPS = [10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3];

  // One panel: `marks` say which columns it shows and how.
  class Panel {
    constructor(parent, group, spec) {
      this.spec = spec;
      this.group = group;
      this.values = spec.marks.map(() => make("b", {}, "–"));
      const legend = spec.marks.map((mark, n) => make("span", {}, swatch(mark), mark.name, this.values[n]));
      this.title = draw("title", {}, document.createTextNode(spec.title));
      this.back = draw("g", {});
      this.axis = draw("g", {});
      this.paths = spec.marks.map((mark) => draw("path", { class: mark.ink + " " + mark.shape }));
      this.front = draw("g", {});
      this.cross = draw("line", { class: "cross", y1: TOP, visibility: "hidden" });
      this.svg = draw("svg", { class: "panel", role: "img", tabindex: "0" },
        this.title, this.back, this.axis, ...this.paths, this.front, this.cross);
      this.body = make("tbody", {});
      const heads = ["Time", ...spec.marks.map((mark) => mark.name)].map((name) => make("th", { scope: "col" }, name));
      const table = make("table", {}, make("caption", { class: "unseen" }, spec.title), make("thead", {}, make("tr", {}, ...heads)), this.body);
      this.details = make("details", {}, make("summary", {}, "Table"), make("div", { class: "scroll", tabindex: "0" }, table));
      this.details.addEventListener("toggle", () => this.tabulate());
      parent.append(make("figure", {}, make("figcaption", {}, make("strong", {}, spec.title), ...legend), this.svg, this.details));
      this.listen();
    }

    listen() {
      this.svg.addEventListener("pointermove", (event) => this.group.point(this.time(event.offsetX)));
      this.svg.addEventListener("pointerleave", () => this.group.point(null));
      this.svg.addEventListener("keydown", (event) => this.group.key(event));
      this.svg.addEventListener("blur", () => this.group.point(null));
    }

    time(x) {
      const { from, to } = this.group;
      return from + (x - LEFT) / Math.max(1, this.width - LEFT - RIGHT) * (to - from);
    }

    show() {
      const { from, to, series } = this.group;
      this.width = this.svg.clientWidth || 600;
      const height = this.height = Math.round(this.spec.height * (innerWidth > WIDE ? 1.5 : 1)), bottom = height - BOTTOM;
      set(this.svg, "viewBox", `0 0 ${this.width} ${height}`);
      set(this.svg, "height", String(height));
      const first = Math.max(0, series.index(from)), last = series.index(to);
      const top = this.top(first, last);
      this.x = (time) => LEFT + (Math.min(to, Math.max(from, time)) - from) / (to - from) * (this.width - LEFT - RIGHT);
      this.y = (value) => bottom - Math.min(1, value / top) * (bottom - TOP);
      this.grid(top, bottom);
      this.behind(first, last, bottom);
      let stack = null;
      this.spec.marks.forEach((mark, n) => {
        const low = mark.stack ? stack : null;
        const high = (i) => (low ? low(i) : 0) + (series.value(mark.key, i) || 0);
        set(this.paths[n], "d", this.path(mark, first, last, high, low));
        if (mark.stack) stack = high;
      });
      this.before(bottom);
      this.point(this.group.at);
      this.tabulate();
    }

    // The upper end of the axis, at a round value.
    top(first, last) {
      let most = 0;
      const { series } = this.group;
      for (let i = first; i <= last; i++) {
        let sum = 0;
        for (const mark of this.spec.marks) {
          const value = series.value(mark.key, i) || 0;
          if (mark.stack) sum += value;
          most = Math.max(most, value, sum);
        }
      }
      const step = round(Math.max(most, this.spec.least || 1) / TICKS);
      return Math.max(1, Math.ceil(most / step - 1e-9)) * step;
    }

    grid(top, bottom) {
      const { from, to } = this.group, count = Math.max(1, Math.round(top / round(top / TICKS)));
      const lines = [];
      for (let n = 0; n <= count; n++) {
        const value = top * n / count, y = Math.round(this.y(value)) + 0.5;
        lines.push(["line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }]);
        lines.push(["text", { x: LEFT - 5, y: y + 4, "text-anchor": "end" }, number(value)]);
      }
      const room = Math.max(2, Math.floor((this.width - LEFT) / 78));
      const step = TIME_STEPS.find((s) => (to - from) / s <= room) || 3600e3;
      for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
        const x = this.x(t), anchor = x > this.width - 34 ? "end" : "middle";
        lines.push(["text", { x: Math.round(x), y: bottom + 15, "text-anchor": anchor },
          step % 60e3 ? clock(t) : clock(t).slice(0, 5)]);
      }
      replace(this.axis, lines);
    }

    // Panic, and the bounds of the scale.
    behind(first, last, bottom) {
      const { series, to, bounds } = this.group, nodes = [];
      let since = null;
      for (let i = first; i <= last + 1; i++) {
        const on = i <= last && series.value("panicking", i) > 0;
        const at = i <= last ? series.value("at", i) : to;
        if (on && since === null) since = at;
        if (!on && since !== null) {
          const x = this.x(since);
          nodes.push(["rect", { class: "panic", x, y: TOP, width: Math.max(1, this.x(at) - x), height: bottom - TOP }]);
          since = null;
        }
      }
      if (this.spec.bounds && bounds) {
        for (const [name, value] of bounds) {
          const y = this.y(value);
          if (!value || y <= TOP) continue;
          nodes.push(["line", { class: "bound", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }]);
          nodes.push(["text", { x: this.width - RIGHT - 2, y: y - 3, "text-anchor": "end" }, name + " " + number(value)]);
        }
      }
      replace(this.back, nodes);
    }

    // Cold starts on the axis, and decisions that change something above.
    before(bottom) {
      const { from, to, cold, decisions } = this.group, nodes = [];
      for (const at of cold) {
        if (at >= from && at <= to) nodes.push(["rect", { class: "cold", x: this.x(at) - 1, y: bottom, width: 2, height: 6 }]);
      }
      let count = 0;
      for (const decision of decisions) {
        if (decision.before === decision.after || decision.at < from || decision.at > to) continue;
        if (++count > DECISIONS_MAX) break;
        const x = Math.round(this.x(decision.at));
        nodes.push(["path", { class: "decision", d: `M${x - 4} ${TOP - 7}h8l-4 7z` }]);
      }
      replace(this.front, nodes);
    }

    // A path in steps; of points in one column of the screen, the highest.
    path(mark, first, last, high, low) {
      const { series, to } = this.group;
      const out = [], back = [];
      let column = NaN, most = 0;
      for (let i = first; i <= last; i++) {
        const x = Math.round(this.x(series.value("at", i))), value = high(i);
        if (x === column) { if (value <= most) continue; out.pop(); back.pop(); }
        column = x; most = value;
        out.push([x, value]);
        back.push(low ? low(i) : 0);
      }
      if (!out.length) return "";
      const end = Math.round(this.x(to)), fix = (v) => Math.round(v * 10) / 10;
      let path = `M${out[0][0]} ${fix(this.y(out[0][1]))}`;
      for (let i = 1; i < out.length; i++) path += `H${out[i][0]}V${fix(this.y(out[i][1]))}`;
      path += `H${end}`;
      if (mark.shape.includes("line")) return path;
      for (let i = out.length - 1; i >= 0; i--) path += `V${fix(this.y(back[i]))}H${out[i][0]}`;
      return path + "Z";
    }

    // The values at a time, or the newest.
    point(at) {
      const { series, to } = this.group, index = series.index(at === null ? to : at);
      this.spec.marks.forEach((mark, n) => say(this.values[n], number(series.value(mark.key, index))));
      set(this.cross, "visibility", at === null ? "hidden" : "visible");
      if (at !== null && this.x) {
        const x = this.x(at), bottom = this.height - BOTTOM;
        set(this.cross, "x1", String(x)); set(this.cross, "x2", String(x)); set(this.cross, "y2", String(bottom));
      }
      const said = this.spec.marks.map((mark, n) => mark.name + " " + this.values[n].textContent).join(", ");
      set(this.svg, "aria-label", this.spec.title + ": " + said);
      return said;
    }

    tabulate() {
      if (!this.details.open) return;
      const { from, to, series } = this.group, times = [];
      for (let n = TABLE_ROWS; n >= 0; n--) times.push(from + (to - from) * n / TABLE_ROWS);
      const build = () => make("tr", {}, make("th", { scope: "row" }), ...this.spec.marks.map(() => make("td", {})));
      Elements.rows(this.body, times, build, (row, time) => {
        const index = series.index(time);
        say(row.children[0], clock(time));
        this.spec.marks.forEach((mark, n) => say(row.children[n + 1], number(series.value(mark.key, index))));
      });
    }
  }

  function swatch(mark) {
    const shape = mark.shape.includes("line")
      ? draw("line", { class: mark.ink + " " + mark.shape, x1: 0, x2: 15, y1: 5, y2: 5 })
      : draw("rect", { class: mark.ink + " area", width: 15, height: 10 });
    return draw("svg", { class: "swatch", viewBox: "0 0 15 10", "aria-hidden": "true" }, shape);
  }

  // The children of a group, made to be those of `nodes`: kept where their kind is the same.
  function replace(group, nodes) {
    while (group.children.length > nodes.length) group.lastElementChild.remove();
    nodes.forEach(([name, attributes, text], n) => {
      let node = group.children[n];
      if (!node || node.tagName !== name || node.getAttribute("class") !== (attributes.class || null)) {
        const made = draw(name, attributes);
        if (node) node.replaceWith(made); else group.append(made);
        node = made;
      } else {
        for (const key in attributes) set(node, key, String(attributes[key]));
      }
      if (text !== undefined) say(node, text);
    });
  }

  // Panels that share their time axis and their crosshair.
  class Group {
    constructor(parent, ranges, specs, onPoint) {
      this.series = new Series();
      this.range = null;
      this.at = null;
      this.cold = [];
      this.decisions = [];
      this.bounds = null;
      this.onPoint = onPoint;
      this.panels = specs.map((spec) => new Panel(parent, this, spec));
      this.buttons = RANGES.map(([ms, name]) => {
        const button = make("button", { type: "button" }, name);
        button.addEventListener("click", () => { this.range = ms; this.show(); });
        ranges.append(button);
        return button;
      });
      ranges.append(make("span", { class: "muted" }, "times in " + Elements.zone()));
      addEventListener("resize", () => this.show());
    }

    show() {
      this.to = this.series.now;
      const range = this.range || this.usual();
      this.from = this.to - range;
      if (!this.to) return;
      this.buttons.forEach((button, n) => set(button, "aria-pressed", String(RANGES[n][0] === range)));
      for (const panel of this.panels) panel.show();
    }

    // Until somebody chooses: five minutes, or less where less was seen.
    usual() {
      const seen = this.to - (this.series.columns.at || [this.to])[0];
      return seen < RANGES[0][0] ? RANGES[0][0] : RANGES[1][0];
    }

    point(at) {
      this.at = at === null ? null : Math.min(this.to, Math.max(this.from, at));
      const said = this.panels.map((panel) => panel.spec.title + ": " + panel.point(this.at));
      if (this.onPoint) this.onPoint(this.at);
      return said;
    }

    key(event) {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
      if (event.key === "Escape") { this.point(null); return; }
      let at = null;
      if (event.key in steps) at = (this.at === null ? this.to : this.at) + steps[event.key] * (this.to - this.from) / 60;
      if (event.key === "Home") at = this.from;
      if (event.key === "End") at = this.to;
      if (at === null) return;
      event.preventDefault();
      const said = this.point(at);
      say(Elements.byId("announced"), clock(this.at) + ". " + said.join(". "));
    }

    clear() { this.series.clear(); this.cold = []; this.decisions = []; this.at = null; }
  }

  const DEMAND = { key: "in_flight", name: "in flight", ink: "sky", shape: "area" };
  const INSTANCES = { title: "Instances", height: 150, bounds: true, marks: [
    { key: "ready", name: "ready", ink: "green", shape: "area", stack: true },
    { key: "starting", name: "starting", ink: "orange", shape: "area", stack: true },
    { key: "draining", name: "draining", ink: "grey", shape: "area", stack: true },
    { key: "frozen", name: "frozen", ink: "sky", shape: "area", stack: true },
    { key: "wanted", name: "wanted", ink: "black", shape: "line" }] };
  const WAITING = { title: "Requests that wait", height: 92, marks: [
    { key: "waiting", name: "in queues", ink: "vermilion", shape: "area" }] };
  const ENDED = { title: "Requests that ended, a second", height: 104, marks: [
    { key: "rate", name: "all", ink: "blue", shape: "line" },
    { key: "failed", name: "failed", ink: "vermilion", shape: "line dashed" }] };
  const PANICKING = { key: "panicking", name: "revisions in panic", ink: "purple", shape: "line dotted" };

  const fleet = [
    { title: "Requests in flight", height: 150, marks: [DEMAND] },
    INSTANCES,
    { ...WAITING, height: 150, marks: [...WAITING.marks, PANICKING], title: "Requests that wait, revisions in panic" }];
  const revision = [
    { title: "Demand", height: 150, marks: [DEMAND,
      { key: "stable", name: "stable window", ink: "blue", shape: "line" },
      { key: "panic", name: "panic window", ink: "purple", shape: "line dashed" }] },
    INSTANCES, WAITING, ENDED];

  return { Group, specs: { fleet, revision } };
})();
