"use strict";
// Decisions beside the panels: a list that follows the crosshair, marks, and what a mark says.
const Decisions = (() => {
  // Entries made at once: more than fit into the list, few enough to be there in an instant.
  const BATCH = 200;
  let all, listed = [], items = [], place = null, named = false, current = -1, jump = () => {};

  const { html } = Chart;

  const counts = (i) => `${all.wanted[i]} wanted, ${all.ready[i]} ready`;

  // Lists the decisions of the revision called `name`, or of all when it is null.
  function list(data, name, to) {
    all = data;
    jump = to;
    current = -1;
    items = [];
    const only = name === null ? -1 : all.names.indexOf(name);
    listed = all.at.map((_, i) => i).filter((i) => name === null || all.revision[i] === only);
    const aside = document.getElementById("decisions");
    aside.replaceChildren();
    if (!listed.length) return;
    html("h2", aside, `Decisions (${listed.length.toLocaleString("en-US")})`);
    const left = name === null ? all.left_out : all.left_out_of[only] ?? 0;
    if (left) html("p", aside, `and ${left.toLocaleString("en-US")} more, evenly left out`, "muted").style.margin = "0";
    const list = html("ol", aside);
    list.tabIndex = 0;
    place = list;
    named = all.names.length > 1 && name === null;
    extend(BATCH);
    list.addEventListener("scroll", () => {
      if (list.scrollTop + 2 * list.clientHeight > list.scrollHeight) extend(items.length + BATCH);
    });
  }

  // Makes entries until there are so many.
  function extend(count) {
    const fragment = document.createDocumentFragment();
    for (const i of listed.slice(items.length, count)) {
      const item = html("li", fragment, undefined, all.panicking[i] ? "panic" : "");
      html("time", item, Chart.clock(all.at[i], 1));
      html("b", item, (named ? all.names[all.revision[i]] + ": " : "") + counts(i));
      html("div", item, all.reasons[all.reason[i]], "muted");
      item.addEventListener("click", () => jump(all.at[i]));
      items.push(item);
    }
    place.append(fragment);
  }

  function mark(node, view) {
    let path = "";
    for (const i of listed) {
      const at = all.at[i];
      if (at < view.from || at > view.to) continue;
      const px = Math.round(node.map.x(at) * 10) / 10, top = node.map.top;
      path += `M${px - 3} ${top - 6}h6l-3 6z`;
    }
    if (path) Chart.make("path", { class: "decision", d: path }, node.svg);
  }

  // The decision in force at a time: the last one before it.
  function at(time) {
    let low = -1, high = listed.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      all.at[listed[middle]] <= time ? (low = middle) : (high = middle - 1);
    }
    return low;
  }

  function follow(cursor) {
    if (!items.length) return;
    const found = cursor === null ? -1 : at(cursor);
    if (found === current) return;
    items[current]?.classList.remove("at");
    current = found;
    if (found >= items.length) extend(found + BATCH);
    const item = items[found];
    if (!item) return;
    item.classList.add("at");
    const list = item.parentNode;
    list.scrollTop = item.offsetTop - list.offsetTop - list.clientHeight / 3;
  }

  let tooltip = null;

  function tip(event, time) {
    if (!tooltip) {
      tooltip = html("div", document.body);
      tooltip.id = "tip";
    }
    const found = event ? at(time) : -1;
    tooltip.hidden = found < 0;
    if (found < 0) return;
    const i = listed[found];
    tooltip.replaceChildren();
    html("b", tooltip, `${Chart.clock(all.at[i], 1)}: ${counts(i)}`);
    html("div", tooltip, all.reasons[all.reason[i]]);
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    tooltip.style.top = Math.max(8, Math.min(event.clientY + 18, innerHeight - box.height - 8)) + "px";
  }

  return { list, mark, follow, tip, some: () => listed.length > 0 };
})();
