"use strict";
// Wires controls to workers and answers to pictures. One worker answers the question that is asked
// now, another looks around it for the front; the page itself only draws.
(() => {
  const element = (id) => document.getElementById(id);
  // How far to look around the settings that are in force, in stops of each slider.
  const REACH = 2;
  const DELAY_MS = 60;

  let knobs = [], module = null, traffic = null, about = null;
  let answering = null, scout = null, generation = 0;

  // === workers ===

  class Runner {
    constructor() {
      this.next = 0;
      this.waiting = new Map();
      const source = new Blob([element("glue").textContent], { type: "text/javascript" });
      const address = URL.createObjectURL(source);
      this.worker = new Worker(address);
      this.worker.onmessage = ({ data }) => {
        const { done, failed } = this.waiting.get(data.id) ?? {};
        this.waiting.delete(data.id);
        if (data.error === undefined) done?.(data);
        else failed?.(data);
      };
      this.worker.onerror = (event) => {
        for (const { failed } of this.waiting.values()) failed({ error: event.message, ended: true });
        this.waiting.clear();
      };
    }

    call(name, argument) {
      return new Promise((done, failed) => {
        const id = this.next++;
        this.waiting.set(id, { done, failed });
        this.worker.postMessage({ ...argument, id, call: name });
      });
    }

    end() {
      this.worker.terminate();
    }
  }

  async function started() {
    const runner = new Runner();
    const begun = await runner.call("begin", module ? { module } : { text: element("module").textContent });
    module = begun.value.module;
    if (!knobs.length) knobs = JSON.parse(begun.value.knobs);
    return runner;
  }

  // === traffic ===

  const say = (id, text) => { element(id).textContent = text; };

  function options() {
    const given = { seed: Math.max(0, Math.floor(Number(element("seed").value) || 0)) };
    for (const field of element("reading").querySelectorAll("[name]")) {
      const value = field.type === "checkbox" ? field.checked : field.value.trim();
      if (value) given[field.name] = value;
    }
    return JSON.stringify(given);
  }

  // Takes new traffic: a file, or what is made up.
  async function open(chosen) {
    traffic = chosen;
    generation++;
    scout?.end();
    scout = null;
    say("problem", "");
    say("about", traffic.call === "read" ? `Reading ${traffic.argument.file.name} …` : "Making it up …");
    try {
      // Another file may come before this one is read: what is begun is not waited for.
      answering?.end();
      const mine = answering = await started();
      const read = await mine.call(traffic.call, traffic.argument);
      if (mine !== answering) return;
      about = { ...JSON.parse(read.value), ms: read.ms };
      described();
      controls();
      ask();
    } catch (failure) {
      if (traffic !== chosen) return;
      say("about", "");
      element("warnings").replaceChildren();
      say("problem", failure.error ?? String(failure));
    }
  }

  const plural = (count, one) => `${count.toLocaleString("en-US")} ${one}${count === 1 ? "" : "s"}`;

  function described() {
    const parts = [`${plural(about.requests, "request")} to ${plural(about.revisions, "revision")}`];
    if (about.reading) parts.push(`Read as: ${about.reading}`);
    say("about", `${about.title}: ${parts.join(". ")}`);
    const list = element("warnings"), warnings = [...about.warnings];
    if (about.skipped) warnings.push(`left out ${plural(about.skipped, "row")} that could not be understood`);
    if (!about.hasService) warnings.push(`the traffic has no service times: “Service time” under “More settings” says what is assumed`);
    list.replaceChildren(...warnings.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    say("sha256", "…");
    element("drop").classList.add("small");
  }

  // === settings ===

  const sides = [0, 1].map((side) => ({
    select: element("knob" + side), slider: element("slider" + side), output: element("value" + side) }));
  const knobOf = (side) => knobs.find((knob) => knob.key === side.select.value);
  const valueOf = (side) => knobOf(side).values[Number(side.slider.value)];

  function turnTo(side, key, value) {
    const knob = knobs.find((one) => one.key === key);
    side.select.value = key;
    side.slider.max = knob.values.length - 1;
    side.slider.value = value === undefined ? knob.start : knob.values.indexOf(value);
    shown(side);
  }

  function shown(side) {
    const value = valueOf(side).replace(/^const:/, "");
    side.output.textContent = value;
    side.slider.setAttribute("aria-valuetext", value);
    side.slider.setAttribute("aria-label", knobOf(side).name);
  }

  function controls() {
    element("answer").hidden = false;
    if (sides[0].select.options.length) return;
    sides.forEach((side, index) => {
      for (const knob of knobs) {
        const option = document.createElement("option");
        option.value = knob.key;
        option.textContent = `${knob.key}: ${knob.name}`;
        side.select.append(option);
      }
      turnTo(side, knobs[index].key);
      side.select.addEventListener("change", () => {
        const other = sides[1 - index];
        // Two sliders never turn one setting.
        if (other.select.value === side.select.value) turnTo(other, knobs.find((knob) => knob.key !== side.select.value).key);
        turnTo(side, side.select.value);
        soon();
      });
      side.slider.addEventListener("input", () => { shown(side); soon(); });
    });
    for (const field of document.querySelectorAll(".controls .fields input,.controls .fields select,.controls textarea")) {
      if (field.id !== "seed") field.addEventListener("change", soon);
    }
  }

  const turnedTo = (values) => Object.fromEntries(sides.map((side, index) => [side.select.value, values[index]]));

  // The question as it stands, with what is turned at `values`.
  function question(values) {
    const now = turnedTo(sides.map(valueOf)), turned = values ? turnedTo(values) : now;
    const set = [["policy", element("policy").value], ["service", element("service").value.trim()], ["cold-start", element("cold-start").value.trim()]];
    for (const line of element("others").value.split("\n")) {
      const at = line.indexOf("=");
      if (line.trim()) set.push(at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()]);
    }
    return JSON.stringify({
      price: Math.max(0, Number(element("price").value) || 0),
      set: set.filter(([key]) => !(key in turned)), turned, now });
  }

  // === answers ===

  let timer = null, busy = false, again = false;

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(ask, DELAY_MS);
  }

  const took = (ms) => (ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(2)} s`);

  // Asks what the settings do. While one question runs only the newest of those that follow waits.
  async function ask() {
    if (busy) { again = true; return; }
    const mine = answering, asked = question();
    busy = true;
    document.body.classList.add("waits");
    try {
      const { value, ms } = await mine.call("simulate", { question: asked });
      if (mine === answering) {
        const answer = JSON.parse(value), began = performance.now();
        say("problem", "");
        Report.show(answer.page);
        say("command", answer.command);
        element("timing").dataset.readMs = about.ms;
        element("timing").dataset.simulatedMs = ms;
        say("timing", `Read in ${took(about.ms)}, simulated in ${took(ms)}, drawn in ${took(performance.now() - began)}.`);
        document.body.dataset.asked = asked;
        if (!again) lookAround();
      }
    } catch (failure) {
      if (mine === answering) stopped(failure);
    }
    busy = false;
    document.body.classList.remove("waits");
    if (again) { again = false; ask(); }
  }

  function stopped(failure) {
    say("problem", failure.ended ? `The simulator ended: ${failure.error}. It has been started again; other settings may do.` : failure.error);
    if (!failure.ended) return;
    // What ended holds nothing any more: the traffic is read again.
    answering.end();
    answering = null;
    started().then(async (runner) => {
      await runner.call(traffic.call, traffic.argument);
      answering = runner;
    });
  }

  // === the front ===

  // Values around those in force, nearest first.
  function around() {
    const places = [];
    const [a, b] = sides.map((side) => Number(side.slider.value)), [first, second] = sides.map(knobOf);
    for (let i = -REACH; i <= REACH; i++) {
      for (let j = -REACH; j <= REACH; j++) {
        const values = [first.values[a + i], second.values[b + j]];
        if (values.every((value) => value !== undefined)) places.push({ far: i * i + j * j, values });
      }
    }
    return places.sort((one, other) => one.far - other.far).map((place) => place.values);
  }

  // Looks at the neighbours of what is in force, one by one, and draws each as it comes.
  async function lookAround() {
    const mine = ++generation, places = around();
    if (!scout) {
      const runner = scout = await started();
      await runner.call(traffic.call, traffic.argument);
      // Of a large trace it takes as long as a run; nobody waits for it here.
      runner.call("sha256").then(({ value }) => { if (runner === scout) say("sha256", value); }, () => {});
    }
    for (const [index, values] of places.entries()) {
      if (mine !== generation) return;
      try {
        const { value } = await scout.call("point", { question: question(values) });
        if (mine === generation) Scatter.show(JSON.parse(value), offer);
      } catch (failure) {
        // A neighbour that contradicts itself, such as a minimum above a maximum, is no point.
        if (!failure.ended) continue;
        scout.end();
        scout = null;
        return;
      }
      document.body.dataset.points = `${index + 1} of ${places.length}`;
    }
  }

  // A point that is looked at can be made the one in force.
  function offer(aside, point) {
    if (point.now) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Use these settings";
    button.addEventListener("click", () => {
      for (const side of sides) turnTo(side, side.select.value, point.settings[side.select.value]);
      ask();
    });
    aside.append(button);
  }

  // === what people do ===

  const drop = element("drop"), file = element("file");
  const readFile = (chosen) => chosen && open({ call: "read", argument: { file: chosen, options: options() } });
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    readFile(event.dataTransfer.files[0]);
  });
  file.addEventListener("change", () => readFile(file.files[0]));
  // The seed is also that of reading and of making up.
  const anew = () => traffic && open({ ...traffic, argument: { ...traffic.argument, options: options() } });
  element("seed").addEventListener("change", anew);
  element("reading").addEventListener("change", () => { if (traffic?.call === "read") anew(); });
  element("made").addEventListener("submit", (event) => {
    event.preventDefault();
    open({ call: "makeUp", argument: { specification: element("specification").value.trim(), duration: element("duration").value.trim(), options: options() } });
  });
})();
