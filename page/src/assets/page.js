"use strict";
// Which view is shown, and the stream of events that fills it. The session is kept where only pages
// of this very origin can read it, and is sent in a field that only scripts can set.
(() => {
  const { byId, say, set } = Elements;
  const KEPT = "tidegate-session", RETRY_MS = [500, 1000, 2000, 5000], BUFFER_MAX = 4e6, QUIET_MS = 6000;
  const VIEWS = { fleet: FleetView, revision: RevisionView, routes: RoutesView };
  let view = null, running = null, paused = false, orders = null, last = 0, attempts = 0, retry = null;

  const session = () => localStorage.getItem(KEPT);
  const headers = (more) => {
    const shown = session();
    return { ...(shown ? { authorization: "Bearer " + shown } : {}), ...more };
  };

  function problem(text) {
    byId("problem").hidden = !text;
    say(byId("problem"), text || "");
  }

  function state(text, kind) {
    say(byId("state"), text);
    byId("state").className = kind || "";
  }

  async function answer(response) {
    const told = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(told.error || "the controller answered with " + response.status);
    return told;
  }

  async function ask(path, fields) {
    return answer(await fetch(path, { method: "POST", headers: headers(fields), cache: "no-store" }));
  }

  // A secret, or what a link carries, becomes a session of this browser.
  async function signIn(shown) {
    const { session: given } = await ask("/page/sign-in", { authorization: "Bearer " + shown });
    localStorage.setItem(KEPT, given);
  }

  function show(name) {
    for (const id of ["sign-in", "fleet", "revision", "routes"]) byId(id).hidden = id !== name;
    for (const [id, of] of [["to-fleet", "fleet"], ["to-routes", "routes"]]) {
      if (of === name) set(byId(id), "aria-current", "page"); else byId(id).removeAttribute("aria-current");
    }
    document.body.dataset.view = name;
  }

  function askToSignIn() {
    stop();
    localStorage.removeItem(KEPT);
    show("sign-in");
    state("not signed in");
    byId("secret").focus();
  }

  function stop() {
    clearTimeout(retry);
    if (running) running.abort();
    running = null;
  }

  // Follows the events of the view from now on, and begins anew when they end.
  async function follow() {
    stop();
    if (paused || document.hidden || !view) return;
    const mine = running = new AbortController(), shown = view;
    try {
      const address = "/page/events?" + VIEWS[shown].parameters();
      const response = await fetch(address, { headers: headers(), signal: mine.signal, cache: "no-store" });
      if (response.status === 401) return askToSignIn();
      if (!response.ok) await answer(response);
      await read(response.body.pipeThrough(new TextDecoderStream()).getReader(), mine, shown);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.name !== "TypeError") problem(String(error.message || error));
    }
    if (mine.signal.aborted) return;
    state("connecting again", "lost");
    retry = setTimeout(follow, RETRY_MS[Math.min(attempts++, RETRY_MS.length - 1)]);
  }

  async function read(reader, mine, shown) {
    let buffer = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done || mine.signal.aborted) return;
      buffer += value;
      for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
        hear(buffer.slice(0, end), shown);
        buffer = buffer.slice(end + 2);
      }
      if (buffer.length > BUFFER_MAX) throw new Error("an event is too long");
    }
  }

  function hear(block, shown) {
    last = performance.now();
    attempts = 0;
    state("live", "live");
    let kind = "", data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (kind !== shown || !data) return;
    const told = JSON.parse(data);
    problem("");
    VIEWS[shown].show(told);
    document.body.dataset.told = String(Number(document.body.dataset.told || 0) + 1);
  }

  // What the fragment names: nothing, a revision, or the routes.
  function go() {
    const parts = location.hash.slice(1).split("/").filter(Boolean).map(decodeURIComponent);
    if (location.hash === "#main") { byId("main").focus(); return; }
    const isOne = parts[0] === "revision" && (parts.length === 3 || parts.length === 4);
    view = parts[0] === "routes" ? "routes" : isOne ? "revision" : "fleet";
    const site = parts.length === 4 ? parts[1] : "", [namespace, name] = parts.slice(-2);
    if (isOne) RevisionView.open(site, namespace, name); else VIEWS[view].clear();
    document.title = isOne ? (site ? site + ":" : "") + namespace + "/" + name + " · Tidegate" : view === "routes" ? "Routes · Tidegate" : "Tidegate";
    show(view);
    follow();
  }

  async function order(route, name) {
    try {
      await ask("/page/orders?" + new URLSearchParams({ route, order: name }), { "x-tidegate-orders": orders });
      problem("");
      say(byId("announced"), "Done.");
    } catch (error) {
      problem(String(error.message || error));
    }
  }

  async function begin() {
    const linked = /^#link=([0-9a-f]+)$/.exec(location.hash);
    // What the link carried is in no history from here on.
    if (linked) history.replaceState(null, "", "/page#/");
    try {
      if (linked) await signIn(linked[1]);
    } catch (error) {
      problem("This link was followed before, or is too old: sign in with the secret, or take a new link.");
    }
    try {
      const about = await answer(await fetch("/page/about", { headers: headers(), cache: "no-store" }));
      if (!about.signed_in) return askToSignIn();
      orders = about.orders;
      say(byId("title"), about.title);
      byId("share").hidden = !about.asks;
      byId("to-routes").hidden = about.routes === false;
      RoutesView.start(orders ? order : null);
      WhatIfView.start(about.what_if ? (parameters) => ask("/page/what-if?" + parameters) : null);
      go();
    } catch (error) {
      state("connecting again", "lost");
      setTimeout(begin, 2000);
    }
  }

  byId("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await signIn(byId("secret").value.trim());
      byId("secret").value = "";
      problem("");
      begin();
    } catch (error) {
      problem(String(error.message || error));
    }
  });
  byId("pause").addEventListener("click", () => {
    paused = !paused;
    set(byId("pause"), "aria-pressed", String(paused));
    if (paused) { stop(); state("paused"); } else follow();
  });
  byId("share").addEventListener("click", async () => {
    try {
      const { link } = await ask("/page/link");
      const address = location.origin + "/page#link=" + link;
      await navigator.clipboard.writeText(address).then(
        () => say(byId("announced"), "A link that is good once is in the clipboard."),
        () => prompt("This link is good once, for ten minutes:", address));
    } catch (error) {
      problem(String(error.message || error));
    }
  });
  addEventListener("hashchange", () => { if (byId("sign-in").hidden) go(); });
  document.addEventListener("visibilitychange", () => {
    if (!byId("sign-in").hidden) return;
    if (document.hidden) stop(); else follow();
  });
  setInterval(() => {
    if (!running || paused || !last) return;
    const quiet = performance.now() - last;
    if (quiet > QUIET_MS && view !== "routes") state(`no news for ${Math.round(quiet / 1e3)} s`, "lost");
  }, 1000);
  FleetView.start(follow);
  RevisionView.start();
  begin();
})();
