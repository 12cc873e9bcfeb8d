"use strict";
// Routes: where requests go, how far rollouts are, and orders where the page takes any.
const RoutesView = (() => {
  const { make, draw, byId, say, set, number, clock } = Elements;
  const INKS = ["blue", "orange", "green", "purple", "sky", "vermilion", "grey"];
  const ORDERS = {
    pause: ["Pause", "It stays where it is. A new revision that fails is still returned."],
    resume: ["Resume", "It goes on."],
    promote: ["Promote", "All requests go to the new revision at once."],
    abort: ["Abort", "All requests go back to the stable revision at once."],
    restart: ["Restart", "It begins anew, whatever it has ended with."] };
  const OFFERED = { progressing: ["pause", "promote", "abort"], paused: ["resume", "promote", "abort"], waiting: [],
    promoted: ["abort", "restart"], returned: ["restart", "promote"], aborted: ["restart", "promote"] };
  let order = null, asked = null, shown = "";

  // `onOrder` is null where the page takes no orders.
  function start(onOrder) {
    order = onOrder;
    byId("confirm").addEventListener("close", answered);
  }

  const parameters = () => new URLSearchParams({ view: "routes" });

  function show(told) {
    byId("no-routes").hidden = told.all > 0;
    say(byId("more-routes"), told.all > told.routes.length ? `and ${number(told.all - told.routes.length)} more` : "");
    const now = JSON.stringify(told.routes);
    if (now === shown) return;
    shown = now;
    const focused = document.activeElement && document.activeElement.dataset.order;
    byId("route-list").replaceChildren(...told.routes.map(card));
    if (focused) {
      const again = [...document.querySelectorAll("[data-order]")].find((button) => button.dataset.order === focused);
      if (again) again.focus();
    }
  }

  function card(route) {
    const hosts = route.hosts.length ? route.hosts.join(", ") : "every host";
    const parts = [make("h2", {}, route.name), make("p", { class: "muted" }, hosts + " " + route.path)];
    if (route.answer) parts.push(make("p", {}, "Requests are " + route.answer + "."));
    if (route.shares.length) parts.push(bar(route.shares), make("ul", {}, ...route.shares.map(share)));
    if (route.rollout) parts.push(...rollout(route));
    return make("article", { class: "route" }, ...parts);
  }

  const percent = (millionths) => number(millionths / 1e4) + " %";

  function bar(shares) {
    const svg = draw("svg", { class: "shares", viewBox: "0 0 1000 16", preserveAspectRatio: "none", "aria-hidden": "true" });
    let x = 0;
    shares.forEach((share, n) => {
      const width = share.millionths / 1e3;
      svg.append(draw("rect", { class: INKS[n % INKS.length] + " area", x, width, height: 16 }));
      x += width;
    });
    return svg;
  }

  function share(of, n) {
    const [namespace, name] = of.revision.split("/");
    const href = "#/revision/" + encodeURIComponent(namespace || "") + "/" + encodeURIComponent(name || "");
    return make("li", {}, draw("svg", { class: "swatch", viewBox: "0 0 15 10", "aria-hidden": "true" },
      draw("rect", { class: INKS[n % INKS.length] + " area", width: 15, height: 10 })),
      make("a", { href }, of.revision), make("strong", {}, percent(of.millionths)));
  }

  function rollout(route) {
    const { phase, progress, last_change } = route.rollout;
    const kind = phase === "promoted" ? "good" : phase === "returned" || phase === "aborted" ? "bad" : "";
    const parts = [make("p", {}, make("span", { class: "badge " + kind }, phase), " " + progress)];
    if (last_change) parts.push(make("p", { class: "muted" }, clock(last_change[0]) + " " + last_change[1]));
    const offered = OFFERED[phase] || [];
    if (order && offered.length) {
      const buttons = offered.map((name) => {
        const button = make("button", { type: "button", "data-order": route.name + " " + name }, ORDERS[name][0]);
        button.setAttribute("aria-label", ORDERS[name][0] + " the rollout of " + route.name);
        button.addEventListener("click", () => ask(route.name, name));
        return button;
      });
      parts.push(make("div", { class: "tools", role: "group", "aria-label": "Orders" }, ...buttons));
    }
    return parts;
  }

  function ask(route, name) {
    const dialog = byId("confirm"), [title, text] = ORDERS[name];
    say(byId("confirm-title"), `${title} the rollout of ${route}?`);
    say(byId("confirm-text"), text);
    say(byId("confirm-yes"), title);
    asked = [route, name];
    dialog.returnValue = "no";
    dialog.showModal();
  }

  // A browser tells of a dialog's end later: it may be open again by then, about something else.
  function answered() {
    const dialog = byId("confirm"), about = asked;
    if (dialog.open || !about) return;
    asked = null;
    if (dialog.returnValue === "yes") order(...about);
  }

  return { start, show, parameters, clear: () => { shown = ""; } };
})();
