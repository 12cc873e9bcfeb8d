"use strict";
// All revisions: figures, charts, and a page of a table that is searched and sorted by the server.
const FleetView = (() => {
  const { make, draw, byId, say, set, number, clock } = Elements;
  const ROWS = 50, TYPING_MS = 200;
  // Title, key for sorting, and whether narrow screens leave it out.
  const COLUMNS = [
    ["Revision", "name", false], ["Site", "site", false], ["In flight", "in_flight", false], ["Last minute", null, true], ["Waiting", "waiting", false],
    ["Ended/s", "rate", true], ["Failed/s", "failed", true], ["Wanted", "wanted", false], ["Ready", "ready", false],
    ["Starting", "starting", true], ["Draining", "draining", true], ["State", null, false]];

  const query = { search: "", site: "", only: "all", sort: "in_flight", direction: "down", from: 0, count: ROWS };
  let changed = () => {}, heads = [], body = null, charts = null, showCards = null, found = 0;

  function sort(key) {
    const flip = { up: "down", down: "up" };
    query.direction = query.sort === key ? flip[query.direction] : key === "name" || key === "site" ? "up" : "down";
    query.sort = key;
    query.from = 0;
    changed();
  }

  const kind = (title, wide) =>
    (wide ? "wide" : "") + (title === "State" ? " text" : "") + (title === "Site" ? " text of-site" : "");

  function buildHead() {
    heads = COLUMNS.map(([title, key, wide]) => {
      const head = make("th", { scope: "col", class: kind(title, wide) });
      if (!key) { head.append(title); return head; }
      const button = make("button", { type: "button" }, title);
      button.addEventListener("click", () => sort(key));
      head.append(button);
      return head;
    });
    body = make("tbody", {});
    byId("rows").append(make("thead", {}, make("tr", {}, ...heads)), body);
  }

  function buildRow() {
    const cells = COLUMNS.slice(1).map(([title, , wide]) =>
      make("td", { class: kind(title, wide) }));
    cells[2].append(draw("svg", { viewBox: "0 0 60 16", "aria-hidden": "true", preserveAspectRatio: "none" },
      draw("path", { class: "sky area" })));
    return make("tr", {}, make("th", { scope: "row" }, make("a", {})), ...cells);
  }

  function spark(values) {
    const most = Math.max(1, ...values), step = 60 / Math.max(1, values.length);
    let path = "M0 16";
    values.forEach((value, n) => {
      path += `V${(16 - 15 * value / most).toFixed(1)}H${((n + 1) * step).toFixed(1)}`;
    });
    return path + "V16Z";
  }

  function state(row) {
    if (row.is_old) return "old";
    if (row.is_hindered) return "starts fail";
    if (row.in_panic) return "panic";
    if (row.desired < 0) return "undecided";
    if (row.desired === 0 && row.ready === 0) return "at zero";
    return row.starting ? "starting" : row.draining ? "draining" : "steady";
  }

  function showRow(node, row) {
    const link = node.children[0].firstChild, name = row.namespace + "/" + row.name;
    say(link, name);
    const parts = row.site ? [row.site, row.namespace, row.name] : [row.namespace, row.name];
    set(link, "href", "#/revision/" + parts.map(encodeURIComponent).join("/"));
    set(node.children[0], "title", name);
    const cells = node.children;
    say(cells[1], row.site || "");
    say(cells[2], number(row.in_flight));
    set(cells[3].firstChild.firstChild, "d", spark(row.spark));
    const rest = [row.waiting, row.rate, row.failed, Math.max(0, row.desired), row.ready, row.starting, row.draining];
    rest.forEach((value, n) => say(cells[n + 4], number(value)));
    say(cells[11], state(row));
    node.classList.toggle("alarm", row.in_panic || row.is_hindered);
    node.classList.toggle("old", !!row.is_old);
  }

  // What there is to say of a site: whether it answers, since when not, and why.
  function siteWords(site) {
    const more = site.left_out ? `; ${number(site.left_out)} more revisions are not shown` : "";
    if (site.link === "up") return site.name + " answers" + more;
    if (site.link === "awaited") return site.name + " was not heard of yet";
    const told = site.told ? `, its rows are of ${clock(site.told)}` : "";
    return `${site.name}: no answer since ${clock(site.since)}${told}: ${site.why}`;
  }

  function showSites(sites) {
    document.body.toggleAttribute("data-sites", sites.length > 0);
    const list = byId("sites"), choice = byId("site");
    Elements.rows(list, sites, () => make("li", {}), (node, site) => {
      say(node, siteWords(site));
      node.className = site.link;
    });
    const names = ["", ...sites.map((site) => site.name)];
    if (choice.children.length === names.length && names.every((name, n) => choice.children[n].value === name)) return;
    choice.replaceChildren(...names.map((name) => make("option", { value: name }, name || "all sites")));
    choice.value = names.includes(query.site) ? query.site : "";
  }

  function start(onChange) {
    changed = onChange;
    buildHead();
    charts = new Charts.Group(byId("fleet-charts"), byId("fleet-ranges"), Charts.specs.fleet, null);
    showCards = Elements.cards(byId("fleet-cards"), [["Revisions"], ["In flight"], ["Waiting"],
      ["Ended a second"], ["Failed a second"], ["Wanted", "Instances wanted"], ["Ready"], ["Starting"], ["Draining"], ["Frozen", "Instances that stand still"], ["In panic", "Revisions in panic"]]);
    let typing = null;
    byId("search").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => { query.search = byId("search").value.trim(); query.from = 0; changed(); }, TYPING_MS);
    });
    byId("only").addEventListener("change", () => { query.only = byId("only").value; query.from = 0; changed(); });
    byId("site").addEventListener("change", () => { query.site = byId("site").value; query.from = 0; changed(); });
    byId("previous").addEventListener("click", () => { query.from = Math.max(0, query.from - ROWS); changed(); });
    byId("next").addEventListener("click", () => { if (query.from + ROWS < found) { query.from += ROWS; changed(); } });
  }

  // What to ask the server for.
  const parameters = () => new URLSearchParams({ view: "fleet", ...query });

  function show(told) {
    found = told.found;
    query.from = told.from;
    charts.series.add(told.now, told.past, told.point);
    const last = charts.series.index(told.now), value = (key) => charts.series.value(key, last) || 0;
    showCards([told.all, value("in_flight"), value("waiting"), value("rate"), value("failed"), value("wanted"), value("ready"),
      value("starting"), value("draining"), value("frozen"), value("panicking")],
      [0, 0, value("waiting") > 0, 0, value("failed") > 0, 0, 0, 0, 0, 0, value("panicking") > 0]);
    charts.show();
    showSites(told.sites || []);
    Elements.rows(body, told.rows, buildRow, showRow);
    COLUMNS.forEach(([, key], n) => {
      if (key === query.sort) set(heads[n], "aria-sort", query.direction === "up" ? "ascending" : "descending");
      else heads[n].removeAttribute("aria-sort");
    });
    const end = told.from + told.rows.length;
    say(byId("found"), told.found ? `${number(told.from + 1)}–${number(end)} of ${number(told.found)}` : "none found");
    byId("previous").disabled = told.from === 0;
    byId("next").disabled = end >= told.found;
  }

  return { start, show, parameters, siteWords, clear: () => charts.clear() };
})();
