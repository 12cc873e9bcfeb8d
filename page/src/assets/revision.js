"use strict";
// One revision: figures, charts, decisions with their reasons, cold starts, instances, settings.
const RevisionView = (() => {
  const { make, draw, byId, say, set, number, millis, clock } = Elements;
  const DECISIONS_MAX = 400, LISTED_MAX = 120;
  const INKS = { decide: "purple", actuate: "black", start: "blue", listen: "sky", ready: "green", forward: "yellow", respond: "orange" };
  const SETTINGS = [
    ["metric", "Decided by", (v) => v], ["target", "Target of an instance", number], ["total", "Limit of an instance", number],
    ["stable_window_ms", "Stable window", millis], ["panic_threshold", "Panic from", (v) => number(v) + " times what is ready"],
    ["max_scale_up_rate", "Grows at most", (v) => number(v) + " fold"], ["max_scale_down_rate", "Shrinks at most", (v) => number(v) + " fold"],
    ["scale_down_delay_ms", "Scale-down delay", millis], ["target_burst_capacity", "Target burst capacity", number], ["activation_scale", "Activation scale", number]];

  let charts = null, showCards = null, showColds = null, of = null, listed = "";

  function start() {
    charts = new Charts.Group(byId("revision-charts"), byId("revision-ranges"), Charts.specs.revision, point);
    showCards = Elements.cards(byId("revision-cards"), [["In flight"], ["Waiting"], ["Ended a second"], ["Failed a second"],
      ["Wanted", "Instances wanted"], ["Ready"], ["Starting"], ["Draining"], ["Frozen", "Instances that stand still"], ["Stable window", "Average over the stable window"],
      ["Panic window", "Average over the panic window"], ["Target", "What one instance should carry"], ["Scale", "Fewest to most instances"],
      ["Limit", "Requests that one instance takes at a time"], ["State"]]);
    byId("changes-only").addEventListener("change", () => { listed = ""; list(); });
    byId("revision-ranges").append(key("panic", "panic"), key("cold", "cold start"), key("decision", "decision that changes something"));
    buildTables();
    showColds = buildColds();
  }

  function key(kind, name) {
    const shape = kind === "decision" ? draw("path", { class: kind, d: "M3 1h8l-4 7z" }) : draw("rect", { class: kind, x: kind === "cold" ? 6 : 0, width: kind === "cold" ? 3 : 15, height: 10 });
    return make("span", { class: "key" }, draw("svg", { class: "swatch", viewBox: "0 0 15 10", "aria-hidden": "true" }, shape), " " + name);
  }

  function buildTables() {
    const head = (names) => make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name))));
    byId("instances").append(head(["Instance", "In flight", "Phase"]), make("tbody", {}));
    byId("settings").append(make("tbody", {}));
  }

  function buildColds() {
    const parent = byId("cold-starts"), body = make("tbody", {}), names = Object.keys(INKS);
    const svg = draw("svg", { role: "img", "aria-label": "Cold starts, a row each, with a bar for each phase" });
    const legend = names.map((name) => make("span", {}, draw("svg", { class: "swatch", viewBox: "0 0 15 10", "aria-hidden": "true" },
      draw("rect", { class: INKS[name] + " area", width: 15, height: 10 })), name));
    const head = ["Arrived", "Instance", "Total", ...names].map((name) => make("th", { scope: "col" }, name));
    const table = make("div", { class: "scroll", tabindex: "0" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), body));
    const figure = make("figure", {}, make("figcaption", {}, make("strong", {}, "The last requests that met no ready instance"), ...legend), svg,
      make("details", {}, make("summary", {}, "Table"), table));
    const title = make("h2", {}, "Cold starts");
    parent.append(title, figure);
    return (starts) => {
      parent.hidden = !starts.length;
      waterfall(svg, starts);
      const build = () => make("tr", {}, make("th", { scope: "row" }), ...head.slice(1).map(() => make("td", {})));
      Elements.rows(body, starts, build, (row, start) => {
        const us = (name) => (start.phases.find((phase) => phase.name === name) || {}).length_us;
        const cells = [clock(start.at), start.instance, millis(start.total_us / 1e3),
          ...names.map((name) => us(name) === undefined ? "–" : millis(us(name) / 1e3))];
        cells.forEach((text, n) => say(row.children[n], text));
      });
    };
  }

  function waterfall(svg, starts) {
    const width = Math.max(320, svg.clientWidth || 900), left = width < 600 ? 66 : 210, right = 74, row = 20;
    const longest = Math.max(1, ...starts.map((start) => start.total_us));
    svg.replaceChildren();
    set(svg, "viewBox", `0 0 ${width} ${starts.length * row + 4}`);
    set(svg, "height", String(starts.length * row + 4));
    starts.forEach((start, n) => {
      const y = n * row + 2, x = (us) => left + (width - left - right) * us / longest;
      const name = width < 600 ? clock(start.at) : clock(start.at) + "  " + start.instance.slice(0, 22);
      svg.append(draw("text", { x: 0, y: y + 13 }, name));
      for (const phase of start.phases) {
        const bar = draw("rect", { class: (INKS[phase.name] || "grey") + " area", x: x(phase.from_us), y: y + 1, height: 14,
          width: Math.max(1, x(phase.from_us + phase.length_us) - x(phase.from_us)) });
        bar.append(draw("title", {}, `${phase.name} ${millis(phase.length_us / 1e3)}: ${phase.meaning}`));
        svg.append(bar);
      }
      svg.append(draw("text", { x: x(start.total_us) + 5, y: y + 13 }, millis(start.total_us / 1e3)));
    });
  }

  function open(site, namespace, name) {
    of = (site ? site + ":" : "") + namespace + "/" + name;
    byId("revision-site").hidden = true;
    charts.clear();
    listed = "";
    byId("decisions").replaceChildren();
    byId("revision-gone").hidden = true;
    showColds([]);
    Elements.rows(byId("instances").tBodies[0], [], null, null);
    say(byId("revision-title"), of);
    WhatIfView.open(of, charts.series);
  }

  const parameters = () => new URLSearchParams({ view: "revision", of });

  function show(told) {
    byId("revision-gone").hidden = !told.gone;
    byId("revision-body").hidden = !!told.gone;
    if (told.gone) return;
    const site = told.state;
    byId("revision-site").hidden = !site || site.link === "up";
    if (site) say(byId("revision-site"), FleetView.siteWords(site));
    const figures = told.figures;
    charts.series.add(told.now, told.past, told.point);
    charts.bounds = [["min", figures.min], ["max", figures.max]];
    if (told.past) charts.decisions = [];
    charts.decisions = told.decisions.concat(charts.decisions).slice(0, DECISIONS_MAX);
    const scale = figures.min + " – " + (figures.max || "∞") + (figures.is_pinned ? " set" : "");
    const state = figures.is_hindered ? "starts fail" : figures.in_panic ? "panic" : figures.desired < 0 ? "undecided" : "calm";
    showCards([figures.in_flight, figures.waiting, figures.rate, figures.failed, Math.max(0, figures.desired), figures.ready, figures.starting,
      figures.draining, figures.frozen, figures.stable, figures.panic, figures.target, scale, figures.container_concurrency || "none", state],
      [0, figures.waiting > 0, 0, figures.failed > 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, figures.in_panic || figures.is_hindered]);
    if (told.cold_starts) { charts.cold = told.cold_starts.map((start) => start.at); showColds(told.cold_starts); }
    if (told.instances) instances(told.instances);
    if (told.settings) settings(told.settings);
    charts.show();
    list();
  }

  function list() {
    const only = byId("changes-only").checked;
    const shown = charts.decisions.filter((decision) => !only || decision.before !== decision.after).slice(0, LISTED_MAX);
    // One that is read is not moved away: nothing is done where nothing is new.
    const now = shown.map((decision) => decision.number).join();
    if (now === listed) return;
    listed = now;
    const build = () => make("li", {}, make("time", {}), make("span", {}));
    Elements.rows(byId("decisions"), shown, build, (item, decision) => {
      say(item.children[0], clock(decision.at));
      const change = decision.before === decision.after ? "" : `${decision.before} → ${decision.after}. `;
      say(item.children[1], change + decision.reason);
      item.classList.toggle("panic", decision.in_panic);
      item.classList.remove("at");
      item.dataset.at = decision.at;
    });
  }

  // Marks the decision in force at a time, and scrolls to it.
  function point(at) {
    let marked = null;
    for (const item of byId("decisions").children) {
      const is = at !== null && !marked && Number(item.dataset.at) <= at;
      item.classList.toggle("at", is);
      if (is) marked = item;
    }
    if (marked) {
      const box = byId("decisions");
      box.scrollTop = marked.offsetTop - box.offsetTop - box.clientHeight / 3;
    }
  }

  function instances(told) {
    const build = () => make("tr", {}, make("th", { scope: "row" }), make("td", {}), make("td", {}));
    Elements.rows(byId("instances").tBodies[0], told.told, build, (row, instance) => {
      say(row.children[0], instance.name);
      say(row.children[1], number(instance.in_flight));
      say(row.children[2], instance.phase);
    });
    say(byId("more-instances"), told.more ? `and ${number(told.more)} more` : told.told.length ? "" : "There is none.");
  }

  function settings(told) {
    const build = () => make("tr", {}, make("th", { scope: "row" }), make("td", {}));
    Elements.rows(byId("settings").tBodies[0], told ? SETTINGS : [], build, (row, [name, title, text]) => {
      say(row.children[0], title);
      say(row.children[1], text(told[name]));
    });
  }

  return { start, open, show, parameters };
})();
