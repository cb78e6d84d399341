"use strict";
// Small pieces of the page: elements made of text, tables, bars, and uPlot for what goes on over time.

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "style") Object.assign(made.style, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {}))
    if (name === "style") Object.assign(made.style, value); // an attribute of that name is what the policy forbids
    else made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function inTime(value) {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  if (value >= 100) return Math.round(value) + " s";
  const [unit, factor] = value >= 0.9995 ? ["s", 1] : value >= 0.0009995 ? ["ms", 1e3] : ["µs", 1e6];
  return Number((value * factor).toPrecision(3)) + " " + unit;
}

function inBytes(value) {
  for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (value >= factor) return Number((value / factor).toPrecision(3)) + " " + unit;
  return value + " B";
}

// columns: [heading, function of a row → text or element, class]
function table(columns, rows, options) {
  options = options || {};
  const head = el("tr", {}, ...columns.map(([name, , cls]) => (name ? el("th", { scope: "col", class: cls === "n" ? "n" : null }, name) : el("td"))));
  const body = rows.map((row, number) =>
    el("tr", { class: options.best && options.best(row) ? "best" : null }, ...columns.map(([, cell, cls]) => {
      const made = cell(row, number);
      return el("td", { class: cls }, made === null || made === undefined ? "" : made instanceof Node ? made : String(made));
    })));
  const caption = options.caption ? [el("caption", { class: "sr" }, options.caption)] : [];
  return el("div", { class: "scroll" }, el("table", {}, ...caption, el("thead", {}, head), el("tbody", {}, ...body)));
}

// A bar to a scale, with a thin line for the spread.
function bar(value, most, spread) {
  const share = (number) => Math.max(0, Math.min(100, (100 * number) / (most || 1))) + "%";
  const made = el("div", { class: "bar", "aria-hidden": "true" }, el("i", { style: { width: share(value) } }));
  if (spread && spread[1] > spread[0])
    made.append(el("u", { style: { left: share(spread[0]), width: share(spread[1] - spread[0]) } }));
  return made;
}

// series: [label, values, name of a color, filled]
// options: marks [time] are drawn as lines, steps [[time, value]] in the color "limit" instead of the curve of that color, dots as such, ticks [[time, name of a color]] at the foot; told: a
// function of the time under the cursor → what is said below the chart; format: of values.
function timeChart(host, title, at, series, options) {
  const label = el("h3", {}, title);
  const box = el("div", { class: "chart", role: "img", "aria-label": options.says || title });
  const told = options.told ? el("p", { class: "told" }, options.told(Infinity)) : null;
  host.append(label, box);
  if (told) box.after(told);
  const format = options.format || ((value) => String(Number(value.toPrecision(3))));
  const high = (value) => (value >= 10000 ? value.toLocaleString(document.documentElement.lang, { notation: "compact" }) : String(Number(value.toFixed(6))));
  const axis = { stroke: () => color("muted"), grid: { stroke: () => color("line"), width: 1 }, ticks: { stroke: () => color("line") }, font: "12px system-ui, sans-serif" };
  const plot = new uPlot({
    width: Math.max(240, box.clientWidth), height: 170,
    cursor: {
      sync: { key: "time", setSeries: false }, drag: { x: true, y: false, setScale: false },
      bind: { dblclick: () => () => { options.moved(0, Infinity); return null; } },
    },
    scales: { x: { time: false, range: () => options.seen() }, y: { range: (u, low, high) => [0, Math.max(1e-9, options.least || 0, high) * 1.08] } },
    axes: [{ ...axis, values: (u, ticks) => ticks.map((tick) => Number(tick.toFixed(6)) + " s") }, { ...axis, size: 60, values: (u, ticks) => ticks.map(options.format || high) }],
    series: [
      { label: options.second, value: (u, value) => (value === null ? "–" : inTime(value)) },
      ...series.map(([name, , tint, filled]) => ({
        label: name, width: 1.6, points: { show: false }, stroke: () => color(tint), fill: filled ? () => color(tint) + "30" : undefined,
        paths: tint === "limit" ? () => null : undefined, value: (u, value) => (value === null || value === undefined ? "–" : format(value)),
      })),
    ],
    hooks: {
      draw: [(u) => {
        const { ctx, bbox } = u;
        ctx.save();
        ctx.strokeStyle = color("limit");
        ctx.globalAlpha = 0.45;
        ctx.setLineDash([2, 3]);
        for (const when of options.marks || []) {
          const x = u.valToPos(when, "x", true);
          if (x < bbox.left || x > bbox.left + bbox.width) continue;
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        }
        ctx.globalAlpha = 1;
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
        ctx.lineWidth = 1.6 * devicePixelRatio;
        ctx.beginPath();
        let y = null;
        for (const [when, value] of options.steps || []) {
          const x = u.valToPos(when, "x", true);
          if (y === null) ctx.moveTo(x, u.valToPos(value, "y", true)); else ctx.lineTo(x, y);
          y = u.valToPos(value, "y", true);
          ctx.lineTo(x, y);
        }
        if (y !== null) ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.setLineDash([]);
        const inside = (x) => x >= bbox.left - 1 && x <= bbox.left + bbox.width + 1;
        for (const [when, value] of options.dots || []) {
          const x = u.valToPos(when, "x", true);
          if (!inside(x)) continue;
          ctx.fillStyle = color("limit");
          ctx.beginPath();
          ctx.arc(x, u.valToPos(value, "y", true), 3.5 * devicePixelRatio, 0, 7);
          ctx.fill();
        }
        for (const [when, tint] of options.ticks || []) {
          const x = u.valToPos(when, "x", true);
          if (!inside(x)) continue;
          ctx.fillStyle = color(tint);
          ctx.fillRect(x - devicePixelRatio, bbox.top + bbox.height - 7 * devicePixelRatio, 2 * devicePixelRatio, 7 * devicePixelRatio);
        }
        ctx.restore();
      }],
      setCursor: [(u) => { if (told) told.textContent = options.told(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : Infinity); }],
      // what is dragged over is where all charts and the timeline go
      setSelect: [(u) => {
        const { left, width } = u.select;
        if (width < 4) return;
        options.moved(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
    },
  }, [at, ...series.map(([, values]) => values)], box);
  return plot;
}
