"use strict";
// The page: unpacks its data, then writes each section. What comes from the run is only ever written as text.

(async function () {
  const root = document.documentElement, page = document.getElementById("page");
  const keep = {
    get: (name) => { try { return localStorage.getItem("atonce-" + name); } catch { return null; } },
    set: (name, value) => { try { localStorage.setItem("atonce-" + name, value); } catch { /* from disk it may be forbidden */ } },
  };
  const raw = Uint8Array.from(atob(document.getElementById("data").textContent), (one) => one.charCodeAt(0));
  const data = JSON.parse(await new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"))).text());
  let language = keep.get("language") || ((navigator.language || "en").startsWith("ko") ? "ko" : "en");
  let redraw = [];

  function t(key, values) {
    const entry = data.strings[key];
    const text = entry ? entry[language] : key;
    return text.replace(/\{(\w+)\}/g, (_, name) => (values && name in values ? String(values[name]) : ""));
  }
  const many = (number) => Number(number || 0).toLocaleString(language);
  const percent = (share) => (100 * share).toFixed(share < 0.1 && share > 0 ? 1 : 0) + " %";
  const short = (number) => Number(number.toPrecision(3)).toLocaleString(language);

  function section(id, heading, help, ...children) {
    const made = el("section", { id, "aria-labelledby": id + "-heading" }, el("h2", { id: id + "-heading" }, heading));
    if (help) made.append(el("p", { class: "help" }, help));
    made.append(...children);
    page.append(made);
    return made;
  }

  function words(list) {
    return el("ul", { lang: "en" }, ...list.map((text) => el("li", {}, text)));
  }

  // ── top ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  function dark() {
    const chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function header() {
    page.append(el("header", {},
      el("span", { class: "brand" }, "atonce"), el("h1", {}, data.title || t(data.kind)),
      el("button", { id: "language", type: "button", lang: language === "en" ? "ko" : "en", title: t("language_label"), onclick: () => {
        language = language === "en" ? "ko" : "en";
        keep.set("language", language);
        render();
        document.getElementById("language").focus();
      } }, t("language")),
      el("button", { id: "theme", type: "button", onclick: () => {
        root.dataset.theme = dark() ? "light" : "dark";
        keep.set("theme", root.dataset.theme);
        repaint();
      } }, t("theme")),
      el("button", { type: "button", onclick: () => print() }, t("print"))));
  }

  function tiles(pairs) {
    return el("div", { class: "tiles" }, ...pairs.filter(Boolean).map(([id, value, name, tint]) =>
      el("div", { class: "tile", id: "number-" + id }, el("b", { class: tint || null }, value), el("span", {}, name))));
  }

  // ── a run ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  const percentile = (name) => (data.percentiles.find(([one]) => one === name) || [])[1];

  function verdict() {
    const { numbers, plan } = data, done = el("section", { id: "verdict", "aria-labelledby": "verdict-heading" });
    const mean = numbers.work / (numbers.seconds || 1);
    done.append(el("p", { class: "lead", id: "verdict-heading", role: "heading", "aria-level": 2 }, t("headline", { items: many(numbers.items), seconds: inTime(numbers.seconds) })));
    const says = [numbers.failed ? t("some_failed", { ok: many(numbers.ok), failed: many(numbers.failed) }) : t("all_ok")];
    if (numbers.resumed) says.push(t("resumed", { resumed: many(numbers.resumed) }));
    if (mean > 1.2) says.push(t("overlap", { work: inTime(numbers.work), mean: short(mean) }));
    done.append(el("p", { class: "sub" }, says.join(" ")));
    if (!data.whole) done.append(el("p", { class: "warn" }, t("torn")));
    const left = el("div"), right = el("div");
    left.append(el("h3", {}, t("work")));
    const computed = t("measured_work", { cpu: percent(Math.min(1, numbers.cpu / (numbers.work || 1))) });
    left.append(el("p", {}, (plan.work && data.strings["work:" + plan.work] ? t("work:" + plan.work) + " " : "") + computed));
    left.append(el("h3", {}, t("chosen")), el("p", { class: "chosen", lang: "en" }, plan.headline || "–"));
    if (data.why) left.append(el("p", { class: "muted", lang: "en" }, t("limit_why", { why: data.why })));
    if (plan.reasons.length) right.append(el("h3", {}, t("because")), words(plan.reasons));
    if (plan.warnings.length) right.append(el("h3", {}, t("notes")), words(plan.warnings));
    done.append(el("div", { class: "two" }, left, right));
    if (plan.ranked.length) {
      const most = Math.max(...plan.ranked.map((one) => one.seconds || 0));
      done.append(el("h3", {}, t("considered")), table([
        [t("model"), (one) => one.model], [t("point"), (one) => one.point, "n"],
        [t("predicted"), (one) => (one.seconds === null ? t("cannot", { why: one.why }) : inTime(one.seconds)), "n"],
        ["", (one) => (one.seconds === null ? "" : bar(one.seconds, most))],
        ["", (one) => (one.model === plan.model ? "← " + t("chosen_mark") : "")],
      ], plan.ranked, { best: (one) => one.model === plan.model, caption: t("considered") }));
    }
    done.append(tiles([
      ["rate", short(numbers.items / (numbers.seconds || 1)), t("items_s")],
      ["ok", many(numbers.ok), t("ok"), "good"], ["failed", many(numbers.failed), t("failed"), numbers.failed ? "bad" : null],
      numbers.retried ? ["retried", many(numbers.retried), t("retried")] : null,
      ["attempts", many(numbers.attempts), t("attempts")],
      ["flight", short(mean), t("at_once")],
      ["median", inTime(percentile("p50")), t("median")], ["p99", inTime(percentile("p99")), t("p99")],
      ["cores", short((numbers.cpu || 0) / (numbers.seconds || 1)), t("cores")],
      ["processes", many(numbers.processes), t("processes")],
      numbers.peak ? ["peak", inBytes(numbers.peak), t("peak")] : null,
      numbers.workers_lost ? ["lost", many(numbers.workers_lost), t("lost"), "bad"] : null,
    ]));
    page.append(done);
  }

  const outcome = (state) => [t("ok"), t("failed"), t("retried")][state];

  function legend() {
    const key = (tint, name) => el("span", {}, el("i", { style: { background: "var(--" + tint + ")" } }), name);
    return el("div", { class: "legend" }, key("ok", t("computing")), key("ok2", t("waiting")), key("bad", t("failed")), key("again", t("retried")), key("track", t("idle")));
  }

  function described(line) {
    return (number) => {
      const [worker, slot, pid] = data.lanes[line.lane[number]], count = line.count ? line.count[number] : 1;
      const wall = line.wall ? line.wall[number] : line.length[number];
      const rows = [el("b", {}, count > 1 ? t("count_in_bar", { count: many(count) }) : line.label[number] || t("item") + " " + line.index[number])];
      const say = (...parts) => rows.push(el("div", {}, parts.join(" ")));
      if (count === 1 && line.label[number]) say(t("number"), line.index[number]);
      say(t("outcome") + ":", outcome(line.state[number]));
      say(t("starts"), inTime(line.start[number] / 1e6) + ",", t("takes"), inTime(line.length[number] / 1e6));
      say(t("computing"), inTime(line.cpu[number] / 1e6) + ",", t("waiting"), inTime(Math.max(0, wall - line.cpu[number]) / 1e6));
      say(t("worker", { worker }) + ",", t("slot"), slot + ",", t("process"), pid);
      if (line.error[number]) rows.push(el("div", { class: "bad" }, line.error[number]));
      return rows;
    };
  }

  let follow = () => {}; // the charts go where the timeline goes
  function timeline() {
    const { numbers } = data, line = { ...data.timeline, lanes: data.lanes, seconds: numbers.seconds };
    const label = t("timeline_label", { attempts: many(numbers.attempts), lanes: many(data.lanes.length), seconds: inTime(numbers.seconds) });
    const made = section("timeline", t("timeline"), t("timeline_help"));
    if (data.thinned) made.append(el("p", { class: "help" }, t("thinned", { attempts: many(numbers.attempts) })));
    if (data.last_only && numbers.attempts > line.start.length) made.append(el("p", { class: "help" }, t("last_only")));
    const host = el("div", { class: "timeline" });
    made.append(host);
    const drawn = new Timeline(host, line, { t, label, tell: described(line), moved: () => follow() });
    const button = (id, name, sign, act) => el("button", { id, type: "button", "aria-label": name, title: name, onclick: act }, sign);
    made.append(el("div", { class: "bars-row" }, legend(),
      button("zoom-in", t("zoom_in"), "+", () => drawn.zoom(0.5)), button("zoom-out", t("zoom_out"), "−", () => drawn.zoom(2)),
      button("zoom-all", t("zoom_all"), t("zoom_all"), () => drawn.show(0, drawn.total))));
    const busy = new Float64Array(data.lanes.length), cpu = busy.slice(), count = busy.slice(), bad = busy.slice();
    line.start.forEach((_, number) => {
      const lane = line.lane[number];
      busy[lane] += line.wall ? line.wall[number] : line.length[number];
      cpu[lane] += line.cpu[number];
      count[lane] += line.count ? line.count[number] : 1;
      bad[lane] += line.state[number] === 1 ? 1 : 0;
    });
    const rows = data.lanes.slice(0, 200).map((lane, number) => [lane, number]);
    made.append(el("details", {}, el("summary", {}, t("as_table")), table([
      [t("worker", { worker: "" }), ([lane]) => lane[0], "n"], [t("slot"), ([lane]) => lane[1], "n"], [t("process"), ([lane]) => lane[2], "n"],
      [t("attempts"), ([, number]) => many(count[number]), "n"], [t("failed"), ([, number]) => many(bad[number]), "n"],
      [t("busy"), ([, number]) => percent(busy[number] / 1e6 / numbers.seconds), "n"], [t("computing"), ([, number]) => inTime(cpu[number] / 1e6), "n"],
    ], rows, { caption: t("timeline") })));
    redraw.push({ paint: () => drawn.draw(), size: () => drawn.resize() });
    window.atonceTimeline = drawn; // for tests and for the curious
    return drawn;
  }

  function overTime(drawn) {
    const { series, numbers, moments } = data, made = section("over-time", t("over_time"));
    const marks = moments.filter(([, kind]) => kind === "lost" || kind === "left behind").map(([at]) => at);
    const moved = (from, to) => drawn.show(from, to), seen = () => [drawn.from, drawn.to], plots = [];
    const chart = (title, lines, more) => plots.push(timeChart(made, title, series.at, lines, { second: t("second"), marks, moved, seen, says: title + ", 0 – " + inTime(Math.max(0, ...lines[0][1])), ...more }));
    chart(t("throughput"), [[t("ok"), series.ok, "ok", true], ...(numbers.failed || numbers.retried ? [[t("failed"), series.failed, "bad", true]] : [])]);
    const all = data.moves.filter(([, , , key]) => !key), parts = data.moves.filter(([, , , key]) => key);
    const last = (when) => { for (let n = data.moves.length - 1; n >= 0; n--) if (data.moves[n][0] <= when) return said(data.moves[n]); return ""; };
    chart(t("in_flight"), [[t("in_flight"), series.flight, "again", true], ...(series.limit.length ? [[t("limit"), series.limit, "limit", false]] : [])], {
      steps: data.steps, dots: data.steps.length ? all.map(([at, limit]) => [at, limit]) : [], ticks: parts.map(([at, limit]) => [at, limit ? "limit" : "bad"]), told: data.moves.length ? last : null,
    });
    if (data.moves.length) {
      const go = (at) => el("button", { type: "button", class: "time", title: t("show_there"), onclick: () => drawn.show(at - numbers.seconds / 40, at + numbers.seconds / 40) }, inTime(at));
      made.append(el("details", {}, el("summary", {}, t("moves", { count: many(data.moves.length) })), table([
        [t("when"), ([at]) => go(at), "n"], [t("limit"), ([, limit]) => many(limit), "n"], ...(parts.length ? [[t("key"), ([, , , key]) => key || t("all"), "item"]] : []), [t("because"), ([, , why]) => why.replace(/^\d+: /, ""), "item"],
      ], data.moves.slice(0, 500), { caption: t("in_flight") })));
    }
    chart(t("cpu") + " (" + t("of_cores", { cores: data.about.cores }) + ")", [[t("cores"), series.cores, "good", true]], { least: 1 });
    if (data.memory.at.length > 1) {
      const lines = [[t("memory_all"), data.memory.all, "ok", true], [t("memory_own"), data.memory.own, "again", false]];
      plots.push(timeChart(made, t("memory_time"), data.memory.at, lines, { second: t("second"), marks, moved, seen, format: inBytes, says: t("memory_time") + ", 0 – " + inBytes(Math.max(...data.memory.all)) }));
    }
    follow = () => plots.forEach((plot) => plot.setScale("x", { min: drawn.from, max: drawn.to }));
    redraw.push({ paint: () => plots.forEach((plot) => plot.redraw(false)), size: () => plots.forEach((plot) => plot.setSize({ width: Math.max(240, plot.root.parentNode.clientWidth), height: 170 })) });
    if (moments.length) made.append(el("details", {}, el("summary", {}, t("events", { count: moments.length })), table([
      [t("when"), ([at]) => inTime(at), "n"], ["", ([, , text]) => text, "item"],
    ], moments.slice(0, 500), { caption: t("events", { count: moments.length }) })));
    made.append(el("details", {}, el("summary", {}, t("as_table")), table([
      [t("second"), (n) => inTime(series.at[n]), "n"], [t("throughput"), (n) => short(series.ok[n]), "n"], [t("failed"), (n) => short(series.failed[n]), "n"],
      [t("in_flight"), (n) => short(series.flight[n]), "n"], [t("cpu"), (n) => short(series.cores[n]), "n"],
    ], series.at.map((_, n) => n).filter((n) => n % 12 === 6), { caption: t("over_time") })));
  }

  const said = ([at, limit, why, key]) => inTime(at) + ": " + (key ? key + ": " : "") + (limit ? t("limit") + " " : "") + why;

  function durations() {
    const { edges, counts } = data.histogram;
    if (!counts.length) return;
    const most = Math.max(...counts), all = counts.reduce((sum, one) => sum + one, 0);
    const picture = el("div", { class: "hist", role: "img", "aria-label": t("durations") + ": " + data.percentiles.map(([name, value]) => name + " " + inTime(value)).join(", ") },
      ...counts.map((count, n) => el("i", { style: { height: (count ? Math.max(1, (100 * count) / most) : 0) + "%" }, title: inTime(edges[n]) + " – " + inTime(edges[n + 1]) + ": " + many(count) + " (" + percent(count / all) + ")" })));
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => el("span", {}, inTime(edges[Math.round(share * (edges.length - 1))])));
    section("durations", t("durations"), t("histogram_help"), picture, el("div", { class: "hist-axis", "aria-hidden": "true" }, ...ticks),
      table(data.percentiles.map(([name, value]) => [name, () => inTime(value), "n"]), [0], { caption: t("durations") }));
  }

  function failed() {
    if (!data.failures.length) { section("failures", t("failures"), t("none_failed")); return; }
    const hosts = data.failures.some(([, host]) => host), most = data.failures[0][2];
    section("failures", t("failures"), "", table([
      [t("kind"), ([kind]) => kind], ...(hosts ? [[t("host"), ([, host]) => host]] : []), [t("count"), ([, , count]) => many(count), "n"],
      ["", ([, , count]) => bar(count, most)], [t("example"), ([, , , item]) => item, "item"], [t("message"), ([, , , , message]) => message, "item"],
    ], data.failures, { caption: t("failures") }));
  }

  function slow() {
    if (!data.slowest.length) return;
    const most = data.slowest[0][2];
    section("slowest", t("slowest"), "", table([
      [t("item"), ([item]) => item, "item"], [t("number"), ([, index]) => index, "n"], [t("takes"), ([, , seconds]) => inTime(seconds), "n"],
      ["", ([, , seconds]) => bar(seconds, most)], [t("computing"), ([, , , cpu]) => inTime(cpu), "n"], [t("outcome"), ([, , , , state]) => outcome(state)],
      [t("slot"), ([, , , , , where]) => where, "n"],
    ], data.slowest, { caption: t("slowest") }));
  }

  function hints() {
    const { plan } = data;
    if (!plan.hints.length) return;
    section("hints", t("hints"), "", ...plan.hints.map(({ text, old, new: better }) => el("div", { lang: "en" }, el("p", {}, text), old || better
      ? el("pre", {}, ...(old ? [el("span", { class: "old" }, "- " + old + "\n")] : []), ...(better ? [el("span", { class: "new" }, "+ " + better)] : [])) : null)));
  }

  function reproduce() {
    const { about } = data, made = section("reproduce", t("reproduce"), "");
    if (about.command) made.append(el("h3", {}, t("command")), el("pre", {}, about.command));
    if (data.code) made.append(el("h3", {}, t(about.command ? "flags" : "call")), el("pre", {}, data.code));
    made.append(el("p", { class: "muted" }, t("made_with", about) + (about.started ? " · " + t("began", { when: new Date(about.started * 1000).toLocaleString(language) }) : "")));
    if (t("english_data")) made.append(el("p", { class: "help" }, t("english_data")));
  }

  function run() {
    verdict();
    if (data.lanes.length) overTime(timeline());
    durations();
    failed();
    slow();
    hints();
    reproduce();
  }

  // ── a comparison ───────────────────────────────────────────────────────────────────────────────────────────────────

  const named = (row) => (row.model === "auto" ? "auto → " + row.chose : row.model);

  function comparison() {
    const { rows } = data, best = rows.find((row) => row.model === data.winner), done = el("section", { id: "verdict", "aria-labelledby": "verdict-heading" });
    done.append(el("p", { class: "lead", id: "verdict-heading", role: "heading", "aria-level": 2 }, best ? t("quickest", { model: best.model, seconds: inTime(best.seconds) }) : t("none_ran")));
    const says = [];
    if (best && best.speedup && best.model !== "sync") says.push(t("times_sync", { times: short(best.speedup) }) + ".");
    if (data.advised) says.push(t(data.agreed ? (data.advised === data.winner ? "advised_right" : "advised_near") : data.within_noise ? "advised_noise" : "advised_wrong", { model: data.advised }));
    done.append(el("p", { class: "sub" }, says.join(" ")), el("p", { class: "muted" }, t("about_comparison", { name: data.title, items: many(data.items), rounds: data.rounds })));
    page.append(done);
    const most = Math.max(...rows.map((row) => row.spread[1]), 1e-9);
    const made = section("models", t("models"), t("models_help"), table([
      [t("model"), named], [t("seconds"), (row) => inTime(row.seconds), "n"], ["", (row) => bar(row.seconds, most, row.spread)],
      [t("spread"), (row) => inTime(row.spread[0]) + " – " + inTime(row.spread[1]), "n"], [t("times"), (row) => (row.speedup === null ? "" : row.speedup.toFixed(2)), "n"],
      [t("cpu_s"), (row) => inTime(row.cpu), "n"], [t("memory"), (row) => (row.peak ? inBytes(row.peak) : ""), "n"],
      [t("processes"), (row) => row.pids, "n"], [t("threads"), (row) => row.threads, "n"], [t("failed"), (row) => row.failed, "n"],
    ], rows, { best: (row) => row.model === data.winner, caption: t("models") }));
    const told = [...data.left_out.map(([model, why]) => t("left_out", { model, why })), ...data.broken.map(([model, round, error]) => t("broke", { model, round, error })), ...data.notes];
    if (told.length) made.append(words(told));
    if (rows.length) { twoAxes(rows); pictures(rows); }
    reproduce();
  }

  function twoAxes(rows) {
    const wide = 860, high = 290, left = 70, foot = 46, top = 26;
    const flights = rows.map((row) => Math.max(1, row.in_each)), lanes = rows.map((row) => Math.max(1, row.pids));
    const most = Math.max(4, ...flights), many2 = Math.max(2, ...lanes);
    const x = (flight) => left + 40 + (Math.log2(flight) / Math.log2(most)) * (wide - left - 250);
    const y = (count) => high - foot - 46 - ((count - 1) / Math.max(1, many2 - 1)) * (high - foot - top - 72);
    const picture = svg("svg", { viewBox: `0 0 ${wide} ${high}`, width: "100%", style: { maxWidth: "860px", display: "block" }, role: "img", "aria-label": t("map") + ": " + rows.map((row) => `${named(row)} ${row.pids} × ${row.in_each}, ${inTime(row.seconds)}`).join("; ") });
    const text = (at, to, words, more) => { const made = svg("text", { x: at, y: to, ...more }); made.textContent = words; return made; };
    for (let count = 1; count <= many2; count += Math.max(1, Math.ceil(many2 / 8)))
      picture.append(svg("line", { x1: left, x2: wide - 10, y1: y(count), y2: y(count) }), text(left - 8, y(count) + 4, count, { "text-anchor": "end", class: "dim" }));
    for (let flight = 1; flight <= most; flight *= most > 300 ? 4 : 2)
      picture.append(svg("line", { x1: x(flight), x2: x(flight), y1: top - 10, y2: high - foot }), text(x(flight), high - foot + 16, flight, { "text-anchor": "middle", class: "dim" }));
    picture.append(text((left + wide) / 2, high - 6, t("axis_flight"), { "text-anchor": "middle", class: "dim" }), text(left - 60, 12, t("axis_processes"), { class: "dim" }));
    const places = new Map();
    for (const row of rows) {
      const key = row.pids + "/" + row.in_each;
      places.set(key, [...(places.get(key) || []), row]);
    }
    const quickest = Math.min(...rows.map((row) => row.seconds));
    const groups = [...places.values()].map((group) => ({ group, at: x(Math.max(1, group[0].in_each)), to: y(Math.max(1, group[0].pids)) }));
    for (const { group, at, to } of groups) {
      const best = group.some((row) => row.model === data.winner), size = 5 + 13 * Math.sqrt(quickest / Math.min(...group.map((row) => row.seconds)));
      picture.append(svg("circle", { cx: at, cy: to, r: size, class: best ? "best" : "" }));
      // beside the point, or below it where another one is in the way
      const beside = !groups.some((other) => other.to === to && other.at > at && other.at - at < 170);
      group.forEach((row, number) => {
        const more = row.model === data.winner ? { style: { fontWeight: "700" } } : {};
        const said = named(row) + " " + inTime(row.seconds);
        if (beside) picture.append(text(at + 26, to + 4 + 14 * (number - (group.length - 1) / 2), said, more));
        else picture.append(text(at + 4, to + size + 14 * (number + 1), said, { "text-anchor": "end", ...more }));
      });
    }
    section("map", t("map"), t("map_help"), picture);
  }

  function pictures(rows) {
    const shown = rows.filter((row) => row.picture.length), longest = Math.max(...shown.map((row) => row.picture_seconds), 1e-6);
    if (!shown.length) return;
    const box = el("div", { class: "pictures" });
    section("pictures", t("pictures"), t("pictures_help"), box, el("div", { class: "bars-row" }, legend()));
    const hosts = shown.map(() => el("div", { class: "timeline" }));
    for (const [number, row] of shown.entries()) { // all of them, before any is as wide as it will be
      const part = row.picture.length < data.items ? " · " + t("first_of", { shown: many(row.picture.length), items: many(data.items) }) : "";
      box.append(el("div", {}, el("h3", {}, named(row) + ": " + inTime(row.seconds) + part), hosts[number]));
    }
    for (const [number, row] of shown.entries()) {
      const host = hosts[number], sorted = row.picture.slice().sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      const line = {
        lanes: row.lanes, lane: sorted.map((one) => one[0]), start: sorted.map((one) => one[1]), length: sorted.map((one) => one[2]),
        cpu: sorted.map((one) => one[3]), state: sorted.map((one) => one[4]), seconds: longest,
      };
      const tell = (number) => [el("b", {}, t("takes") + " " + inTime(line.length[number] / 1e6)), el("div", {}, t("computing") + " " + inTime(line.cpu[number] / 1e6)), el("div", {}, t("process") + " " + line.lanes[line.lane[number]][2])];
      const drawn = new Timeline(host, line, { t, small: true, label: named(row) + ": " + inTime(row.seconds), tell });
      redraw.push({ paint: () => drawn.draw(), size: () => drawn.resize() });
    }
  }

  // ── the demo ───────────────────────────────────────────────────────────────────────────────────────────────────────

  const MARKS = { holds: ["✓", "good"], "holds with a caveat": ["≈", "warn"], "does not hold here": ["✗", "bad"], "could not be measured": ["?", "muted"] };

  function judged(word) {
    const [mark, tint] = MARKS[word] || ["", ""];
    return el("span", { class: "word " + tint }, mark + " " + t(word));
  }

  const claimed = (claim, part) => (data.strings[claim.id + ":" + part] ? t(claim.id + ":" + part) : claim[part]);

  function demo() {
    const { claims } = data, done = el("section", { id: "verdict", "aria-labelledby": "verdict-heading" });
    done.append(el("p", { class: "lead", id: "verdict-heading", role: "heading", "aria-level": 2 }, t("claims_count", { count: claims.length, seconds: inTime(data.seconds) })));
    const words = Object.keys(MARKS).map((word) => [word, claims.filter((claim) => claim.verdict === word).length]).filter(([, count]) => count);
    done.append(el("p", { class: "sub" }, ...words.flatMap(([word, count]) => [judged(word), ": " + count + "   "])));
    done.append(table([
      ["", (claim) => el("a", { href: "#" + claim.id }, claim.id)], [t("claim"), (claim) => claimed(claim, "title")], [t("figure"), (claim) => claim.figure, "n"],
      [t("verdict_word"), (claim) => judged(claim.verdict)],
    ], claims, { caption: t("verdict") }));
    page.append(done);
    for (const claim of claims) {
      const made = el("section", { id: claim.id, class: "claim", "aria-labelledby": claim.id + "-heading" }, el("h2", { id: claim.id + "-heading" }, el("span", {}, claim.id), claimed(claim, "title")), el("p", {}, claimed(claim, "claim")));
      if (claim.article) made.append(el("p", { class: "help" }, t("article", { figures: claimed(claim, "article") })));
      for (const [kind, ...rest] of claim.exhibits) made.append(el("div", { lang: "en" }, exhibit(kind, rest)));
      made.append(el("p", {}, judged(claim.verdict), ": ", el("span", { lang: "en" }, claim.sentence)));
      page.append(made);
    }
    reproduce();
  }

  function exhibit(kind, [rows, head, left]) {
    if (kind === "line") return el("p", { class: "muted" }, rows);
    if (kind === "bars") {
      const most = Math.max(...rows.map((row) => row[1])), least = Math.min(...rows.map((row) => row[1]));
      return table([["", ([label]) => label], [t("seconds"), ([, seconds]) => inTime(seconds), "n"], ["", ([, seconds]) => bar(seconds, most)], ["", ([, , note]) => note, "muted"]], rows, { best: (row) => row[1] === least });
    }
    return table(head.map((name, number) => [name, (row) => row[number], number < left ? "" : "n"]), rows);
  }

  // ── all of it ──────────────────────────────────────────────────────────────────────────────────────────────────────

  function repaint() { for (const one of redraw) one.paint(); }

  function render() {
    root.lang = language;
    page.replaceChildren();
    redraw = [];
    header();
    ({ run, comparison, demo })[data.kind]();
  }

  function unpack(steps) {
    let sum = 0;
    return steps.map((step) => (sum += step));
  }

  if (keep.get("theme")) root.dataset.theme = keep.get("theme");
  if (data.timeline) for (const name of ["lane", "start", "index"]) data.timeline[name] = unpack(data.timeline[name]);
  render();
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { for (const one of redraw) one.size(); });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  let shown; // the theme, while paper has the light one
  addEventListener("beforeprint", () => { shown = root.dataset.theme; root.dataset.theme = "light"; repaint(); });
  addEventListener("afterprint", () => { if (shown) root.dataset.theme = shown; else delete root.dataset.theme; repaint(); });
  root.dataset.ready = "yes";
})();
