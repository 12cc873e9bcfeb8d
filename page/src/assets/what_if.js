"use strict";
// What would other settings have done with the last hour? The server simulates; both are drawn.
const WhatIfView = (() => {
  const { make, draw, byId, say, set, number, millis, clock } = Elements;
  const HEIGHT = 170, LEFT = 50, RIGHT = 8, TOP = 8, BOTTOM = 20, SECONDS_BELOW_MS = 600e3;
  const FIELDS = [
    ["concurrency", "Limit of an instance", "10"], ["target", "Target", "7"], ["stable-window", "Stable window", "60s"],
    ["min-scale", "Fewest instances", "1"], ["max-scale", "Most instances", "20"], ["scale-down-delay", "Scale-down delay", "30s"],
    ["panic-threshold-percentage", "Panic from (%)", "200"], ["start-up", "Start-up", "2s"]];
  const FIGURES = [
    ["Requests", (of) => number(of.requests)], ["Cold starts", (of) => number(of.cold_starts)], ["Without a response", (of) => number(of.lost)],
    ["Half take at most", (of) => millis(of.p50_ms)], ["99 % take at most", (of) => millis(of.p99_ms)],
    ["Ready instances, mean", (of) => number(of.ready_mean)], ["Ready instances, most", (of) => number(of.ready_max)],
    ["Instance-hours", (of) => number(of.instance_hours)]];
  const LINES = [["seen", "seen", "grey", "area"], ["present", "simulated as it is", "blue", "line"], ["other", "with these settings", "vermilion", "line dashed"]];
  let ask = null, of = "", series = null, asked = 0, answered = null;

  // `onAsk` gives the answer of the server; without one there is no box.
  function start(onAsk) {
    ask = onAsk;
    byId("what-if").hidden = !ask;
    if (!ask || byId("what-if-fields").children.length) return;
    for (const [key, title, example] of FIELDS) {
      byId("what-if-fields").append(make("label", {}, title + " ", make("input", { name: key, placeholder: example, maxlength: "40", size: "7", autocomplete: "off" })));
    }
    byId("what-if-fields").append(make("label", {}, "More ", make("input", { name: "more", placeholder: "KEY=VALUE KEY=VALUE", maxlength: "400", size: "26", autocomplete: "off", spellcheck: "false" })));
    byId("what-if-form").addEventListener("submit", (event) => { event.preventDefault(); question(); });
    addEventListener("resize", () => { if (answered) show(answered); });
  }

  function open(name, seen) {
    of = name;
    series = seen;
    answered = null;
    asked++;
    byId("what-if-answer").hidden = true;
    say(byId("what-if-state"), "");
  }

  async function question() {
    const parameters = new URLSearchParams({ of }), form = byId("what-if-form"), mine = ++asked;
    for (const [key] of FIELDS) {
      const value = form.elements[key].value.trim();
      if (value) parameters.append("set", key + "=" + value);
    }
    for (const pair of form.elements.more.value.split(/\s+/).filter(Boolean)) parameters.append("set", pair);
    say(byId("what-if-state"), "simulating …");
    byId("what-if-ask").disabled = true;
    try {
      const told = await ask(parameters);
      if (mine !== asked) return;
      answered = told;
      say(byId("what-if-state"), "");
      show(told);
    } catch (error) {
      if (mine === asked) say(byId("what-if-state"), String(error.message || error));
    } finally {
      byId("what-if-ask").disabled = false;
    }
  }

  function show(told) {
    byId("what-if-answer").hidden = false;
    say(byId("what-if-words"), words(told));
    say(byId("what-if-assumed"), told.assumed);
    picture(told);
    const table = byId("what-if-table");
    if (!table.tHead) {
      const heads = ["", "as it is", "with these settings"].map((name) => make("th", { scope: "col" }, name));
      table.append(make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}));
    }
    const build = () => make("tr", {}, make("th", { scope: "row" }), make("td", {}), make("td", {}));
    Elements.rows(table.tBodies[0], FIGURES, build, (row, [title, text]) => {
      say(row.children[0], title);
      say(row.children[1], text(told.present));
      say(row.children[2], text(told.other));
    });
  }

  // The difference in words first.
  function words({ present, other }) {
    if (JSON.stringify(present) === JSON.stringify(other)) return "No difference.";
    const share = (a, b) => {
      if (a === b) return "as many";
      return a ? number(Math.abs(b / a - 1) * 100) + (b < a ? " % fewer" : " % more") : b ? "more" : "as many";
    };
    const tail = other.p99_ms - present.p99_ms, starts = other.cold_starts - present.cold_starts;
    return `${share(present.instance_hours, other.instance_hours)} instance-hours, p99 ${tail < 0 ? "−" : "+"}${millis(Math.abs(tail))}, ` +
      (starts ? `${number(Math.abs(starts))} cold starts ${starts < 0 ? "fewer" : "more"}.` : "as many cold starts.");
  }

  function picture(told) {
    const svg = byId("what-if-chart"), width = svg.clientWidth || 700, bottom = HEIGHT - BOTTOM;
    const steps = told.present.steps, from = steps.length ? steps[0].at : 0;
    const to = steps.length > 1 ? steps[steps.length - 1].at + steps[1].at - steps[0].at : from + 1;
    const seen = [];
    const at = series.columns.at || [];
    for (let i = Math.max(0, series.index(from)); i < at.length && at[i] < to; i++) seen.push({ at: Math.max(from, at[i]), ready: series.value("ready", i) });
    const all = { seen, present: told.present.steps, other: told.other.steps };
    const top = Math.max(1, ...Object.values(all).map((line) => line.reduce((most, step) => Math.max(most, step.ready), 0)));
    const x = (time) => LEFT + (time - from) / (to - from) * (width - LEFT - RIGHT), y = (value) => bottom - value / top * (bottom - TOP);
    svg.replaceChildren(draw("title", {}, "Ready instances: seen, simulated as it is, and simulated with these settings"));
    set(svg, "viewBox", `0 0 ${width} ${HEIGHT}`);
    set(svg, "height", String(HEIGHT));
    for (const value of [0, top / 2, top]) {
      svg.append(draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        draw("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, number(value)));
    }
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle";
      svg.append(draw("text", { x: LEFT + share * (width - LEFT - RIGHT), y: bottom + 15, "text-anchor": anchor }, clock(from + share * (to - from)).slice(0, to - from < SECONDS_BELOW_MS ? 8 : 5)));
    }
    for (const [key, , ink, shape] of LINES) {
      const line = all[key];
      if (!line.length) continue;
      let path = `M${x(line[0].at).toFixed(1)} ${y(line[0].ready).toFixed(1)}`;
      for (const step of line.slice(1)) path += `H${x(step.at).toFixed(1)}V${y(step.ready).toFixed(1)}`;
      path += `H${x(to).toFixed(1)}`;
      svg.append(draw("path", { class: ink + " " + shape, d: shape === "area" ? path + `V${bottom}H${x(line[0].at).toFixed(1)}Z` : path }));
    }
    byId("what-if-key").replaceChildren(...LINES.map(([, name, ink, shape]) => make("span", { class: "key" },
      draw("svg", { class: "swatch", viewBox: "0 0 15 10", "aria-hidden": "true" }, shape === "area"
        ? draw("rect", { class: ink + " area", width: 15, height: 10 }) : draw("line", { class: ink + " " + shape, x1: 0, x2: 15, y1: 5, y2: 5 })), name)));
  }

  return { start, open };
})();
