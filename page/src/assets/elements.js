"use strict";
// Elements, and texts for numbers and times. Everything that comes from outside goes through
// textContent or an attribute that is no address of a script, so that nothing can become markup.
const Elements = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(node, attributes, children) {
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    node.append(...children);
    return node;
  }

  const make = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const draw = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
  const byId = (id) => document.getElementById(id);

  // Sets a text only where it differs, so that a page without news is left alone.
  function say(node, text) {
    if (node.firstChild && node.childNodes.length === 1 && node.firstChild.nodeType === 3) {
      if (node.firstChild.data !== text) node.firstChild.data = text;
    } else if (node.textContent !== text || node.childNodes.length > 1) {
      node.textContent = text;
    }
  }

  function set(node, name, value) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }

  // Three significant figures, and commas between thousands.
  function number(value) {
    if (value === null || value === undefined || !isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e15) return value.toExponential(2);
    if (Number.isInteger(value)) return value.toLocaleString("en-US");
    const digits = Math.min(9, Math.max(0, 2 - Math.floor(Math.log10(size))));
    return Number(value.toFixed(digits)).toLocaleString("en-US", { maximumFractionDigits: digits });
  }

  function millis(ms) {
    if (ms === 0) return "0 ms";
    if (ms < 1) return number(ms * 1e3) + " µs";
    if (ms < 1e3) return number(ms) + " ms";
    return ms < 120e3 ? number(ms / 1e3) + " s" : number(ms / 60e3) + " min";
  }

  const two = (n) => String(n).padStart(2, "0");

  // The reader's own time.
  function clock(ms) {
    const at = new Date(ms);
    return two(at.getHours()) + ":" + two(at.getMinutes()) + ":" + two(at.getSeconds());
  }

  function zone() {
    const east = -new Date().getTimezoneOffset(), size = Math.abs(east);
    return "UTC" + (east < 0 ? "−" : "+") + two(Math.floor(size / 60)) + ":" + two(size % 60);
  }

  // A card for each of `named`, which `show` fills.
  function cards(list, named) {
    const all = named.map(([name, title]) => {
      const value = make("dd", {}, "–");
      list.append(make("div", title ? { title } : {}, make("dt", {}, name), value));
      return value;
    });
    return (values, alarms) => values.forEach((value, n) => {
      say(all[n], typeof value === "string" ? value : number(value));
      all[n].parentNode.classList.toggle("alarm", !!(alarms && alarms[n]));
    });
  }

  // The body of a table with as many rows as there are values; rows are kept and filled anew.
  function rows(body, values, build, show) {
    while (body.children.length > values.length) body.lastElementChild.remove();
    while (body.children.length < values.length) body.append(build());
    values.forEach((value, n) => show(body.children[n], value));
  }

  return { make, draw, byId, say, set, number, millis, clock, zone, cards, rows };
})();
