"use strict";
// The timeline: slots from top to bottom, time from left to right, drawn on a canvas so that 100 000 attempts are no burden.
// data: {lanes: [[worker, slot, pid]], lane, start, length, cpu, wall?, state, count?, seconds}, by lane, then start; µs.

const STATES = [["ok", "ok2"], ["bad", "bad2"], ["again", "again2"]];

class Timeline {
  constructor(host, data, options) {
    this.host = host;
    this.data = data;
    this.options = options;
    this.total = Math.max(1e-6, data.seconds);
    this.from = 0;
    this.to = this.total;
    this.gutter = options.small ? 0 : 128;
    this.foot = options.small ? 18 : 22;
    const lanes = Math.max(1, data.lanes.length);
    const room = options.small ? 150 : 520;
    this.row = Math.max(lanes > 700 ? 1 : options.small ? 2 : 3, Math.min(options.small ? 16 : 22, Math.floor(room / lanes)));
    this.canvas = el("canvas", { tabindex: options.small ? null : 0, role: options.small ? "img" : "application", "aria-roledescription": options.small ? null : options.t("timeline"), "aria-label": options.label });
    this.frame = el("div", { class: options.small ? "" : "frame" }, this.canvas);
    this.axis = el("canvas", { "aria-hidden": "true" }); // outside the frame: it is seen wherever that is scrolled to
    this.tip = el("div", { class: "tip", hidden: "" });
    this.live = el("div", { class: "sr", "aria-live": "polite" });
    host.append(this.frame, this.axis, this.tip, this.live);
    this.first = this.ranges();
    this.chosen = -1;
    this.canvas.addEventListener("mousemove", (event) => this.hover(event));
    this.canvas.addEventListener("mouseleave", () => { this.tip.hidden = true; });
    if (!options.small) this.listen();
    this.resize();
  }

  ranges() {
    const first = new Array(this.data.lanes.length + 1).fill(this.data.start.length);
    for (let number = this.data.start.length - 1; number >= 0; number--) first[this.data.lane[number]] = number;
    for (let lane = this.data.lanes.length - 1; lane >= 0; lane--) first[lane] = Math.min(first[lane], first[lane + 1]);
    return first;
  }

  listen() {
    const canvas = this.canvas;
    let grip = null;
    canvas.addEventListener("pointerdown", (event) => {
      grip = [event.clientX, this.from, this.to];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const by = ((grip[0] - event.clientX) / this.width) * (grip[2] - grip[1]);
      this.show(grip[1] + by, grip[2] + by);
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { grip = null; });
    canvas.addEventListener("dblclick", (event) => this.zoom(0.4, this.timeAt(event.offsetX)));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.004), this.timeAt(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const step = (this.to - this.from) * 0.2;
    const keys = {
      ArrowLeft: () => this.show(this.from - step, this.to - step), ArrowRight: () => this.show(this.from + step, this.to + step),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.show(0, this.total), Home: () => this.show(0, this.total),
      ".": () => this.choose(this.chosen + 1), ",": () => this.choose(this.chosen - 1),
      ArrowDown: () => this.lane(1), ArrowUp: () => this.lane(-1), Escape: () => this.choose(-1),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  lane(by) {
    const now = this.chosen < 0 ? -1 : this.data.lane[this.chosen];
    const next = Math.max(0, Math.min(this.data.lanes.length - 1, now + by));
    this.choose(this.at(next, ((this.from + this.to) / 2) * 1e6, true));
  }

  choose(number) {
    const { start, length, lane } = this.data;
    this.chosen = Math.max(-1, Math.min(start.length - 1, number));
    if (this.chosen < 0) { this.tip.hidden = true; this.draw(); return; }
    const begin = start[this.chosen] / 1e6, end = begin + length[this.chosen] / 1e6, wide = this.to - this.from;
    if (begin < this.from || end > this.to) this.show((begin + end - wide) / 2, (begin + end + wide) / 2); else this.draw();
    const y = lane[this.chosen] * this.row;
    this.frame.scrollTop = Math.max(0, y - this.frame.clientHeight / 2);
    this.tell(this.chosen, Math.max(this.gutter, this.x((begin + end) / 2)), y - this.frame.scrollTop + this.row);
    this.live.textContent = this.tip.innerText;
  }

  zoom(factor, around) {
    const wide = Math.max(this.total * 1e-6, Math.min(this.total, (this.to - this.from) * factor));
    const middle = around === undefined ? (this.from + this.to) / 2 : around;
    const share = (middle - this.from) / (this.to - this.from);
    this.show(middle - wide * share, middle + wide * (1 - share));
  }

  show(from, to) {
    const wide = Math.min(this.total, Math.max(this.total * 1e-6, to - from));
    from = Math.max(0, Math.min(this.total - wide, from));
    if (Math.abs(from - this.from) < 1e-12 && Math.abs(from + wide - this.to) < 1e-12) return;
    this.from = from;
    this.to = from + wide;
    this.tip.hidden = true;
    this.draw();
    if (this.options.moved) this.options.moved();
  }

  x(time) { return this.gutter + ((time - this.from) / (this.to - this.from)) * this.width; }
  timeAt(x) { return this.from + ((x - this.gutter) / this.width) * (this.to - this.from); }

  resize() {
    const outer = Math.max(220, this.frame.clientWidth || this.host.clientWidth);
    this.width = outer - this.gutter - 2;
    const height = this.row * Math.max(1, this.data.lanes.length);
    this.scale = Math.min(window.devicePixelRatio || 1, 16000 / height, 16000 / outer);
    for (const [canvas, high] of [[this.canvas, height], [this.axis, this.foot]]) {
      canvas.width = Math.round(outer * this.scale);
      canvas.height = Math.round(high * this.scale);
      Object.assign(canvas.style, { width: outer + "px", height: high + "px" });
    }
    this.height = height;
    this.draw();
  }

  // The last number of the lane that starts at or before that time; `near`: the first one where there is none.
  at(lane, time, near) {
    let low = this.first[lane], high = this.first[lane + 1];
    const begin = low;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.data.start[middle] <= time) low = middle + 1; else high = middle;
    }
    return low > begin ? low - 1 : near && begin < this.first[lane + 1] ? begin : -1;
  }

  draw() {
    const ctx = this.canvas.getContext("2d"), { data, row } = this;
    ctx.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    ctx.fillStyle = color("card");
    ctx.fillRect(0, 0, this.gutter + this.width + 2, this.height);
    const tints = STATES.map((pair) => pair.map(color));
    const gap = row >= 6 ? 1 : 0;
    this.pale = tints[0][1];
    ctx.fillStyle = color("track");
    ctx.fillRect(this.gutter, 0, this.width, row * data.lanes.length);
    for (let lane = 0; lane < data.lanes.length; lane++) this.drawLane(ctx, lane, tints, gap);
    this.drawNames(ctx);
    this.drawScale(ctx);
    if (this.chosen >= 0) {
      const number = this.chosen, left = Math.max(this.gutter, this.x(data.start[number] / 1e6));
      const right = Math.max(left + 3, this.x((data.start[number] + data.length[number]) / 1e6));
      ctx.strokeStyle = color("fg");
      ctx.lineWidth = 2;
      ctx.strokeRect(left - 1, data.lane[number] * row - 1, right - left + 2, row + 1);
    }
  }

  drawLane(ctx, lane, tints, gap) {
    const { data, row } = this, last = this.first[lane + 1];
    const y = lane * row, high = row - gap, per = this.width / (this.to - this.from) / 1e6, zero = this.gutter - this.from * 1e6 * per;
    const right = this.gutter + this.width;
    let pixel = -1, wall = 0, cpu = 0, worst = 0;
    const flush = () => {
      if (pixel < 0) return;
      const share = wall > 0 ? Math.min(1, cpu / wall) : 0;
      ctx.globalAlpha = Math.max(0.3, Math.min(1, wall * per));
      this.block(ctx, pixel, y, 1, high, share, tints[worst]);
      ctx.globalAlpha = 1;
      pixel = -1;
    };
    for (let number = Math.max(this.first[lane], this.at(lane, this.from * 1e6)); number < last; number++) {
      const left = zero + data.start[number] * per;
      if (left > right) break;
      const wide = data.length[number] * per, busy = data.wall ? data.wall[number] : data.length[number];
      if (left + wide < this.gutter) continue;
      if (wide < 1.5) {
        const where = Math.floor(Math.max(this.gutter, left));
        if (where !== pixel) { flush(); pixel = where; wall = cpu = worst = 0; }
        wall += busy;
        cpu += data.cpu[number];
        if (data.state[number] === 1 || (data.state[number] === 2 && worst === 0)) worst = data.state[number];
        continue;
      }
      flush();
      const begin = Math.max(this.gutter, left), end = Math.min(right, left + wide - (wide > 4 ? 1 : 0));
      if (data.wall && data.length[number] > 0) ctx.globalAlpha = Math.max(0.35, Math.min(1, busy / data.length[number]));
      this.block(ctx, begin, y, end - begin, high, busy > 0 ? Math.min(1, data.cpu[number] / busy) : 0, tints[data.state[number]]);
      ctx.globalAlpha = 1;
    }
    flush();
  }

  // Waiting is pale, computing is dark and fills its share of the height from below; what failed has a dark edge above.
  block(ctx, x, y, wide, high, share, [dark, pale]) {
    ctx.fillStyle = pale;
    ctx.fillRect(x, y, wide, high);
    ctx.fillStyle = dark;
    const part = share > 0.02 ? Math.max(high >= 6 ? 1.5 : 0.5, high * share) : 0;
    if (part) ctx.fillRect(x, y + high - part, wide, part);
    if (pale !== this.pale && high >= 4) ctx.fillRect(x, y, wide, Math.max(1, Math.min(3, high / 4)));
  }

  drawNames(ctx) {
    if (!this.gutter) return;
    ctx.font = "12px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    let before = null, from = 0;
    const { lanes } = this.data, row = this.row;
    lanes.forEach(([worker, slot, pid], lane) => {
      const key = worker + "/" + pid;
      if (key !== before) {
        before = key;
        from = lane;
        ctx.fillStyle = color("line");
        if (lane) ctx.fillRect(0, lane * row - 1, this.gutter + this.width, 1);
      }
      const next = lanes[lane + 1];
      if (!next || next[0] !== worker || next[2] !== pid) {
        const tall = (lane - from + 1) * row;
        ctx.fillStyle = color("fg");
        if (tall >= 14) ctx.fillText(this.options.t("worker", { worker }), 8, from * row + Math.min(tall / 2, 12));
        ctx.fillStyle = color("muted");
        if (tall >= 30) ctx.fillText(this.options.t("process") + " " + pid, 8, from * row + Math.min(tall / 2, 12) + 15);
      }
      if (row >= 12) {
        ctx.fillStyle = color("muted");
        ctx.textAlign = "right";
        ctx.fillText(String(slot), this.gutter - 7, lane * row + row / 2);
        ctx.textAlign = "left";
      }
    });
  }

  drawScale(ctx) {
    const wide = this.to - this.from, rough = wide / Math.max(3, this.width / 110), power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) || 10), below = this.axis.getContext("2d");
    below.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    below.clearRect(0, 0, this.gutter + this.width + 2, this.foot);
    below.fillStyle = color("muted");
    below.font = "12px system-ui, sans-serif";
    below.textBaseline = "middle";
    below.textAlign = "center";
    ctx.fillStyle = color("line");
    for (let number = Math.ceil(this.from / step); number * step <= this.to; number++) {
      const time = number * step, x = this.x(time);
      ctx.globalAlpha = 0.6;
      ctx.fillRect(x, 0, 1, this.height);
      ctx.globalAlpha = 1;
      const digits = Math.max(0, -Math.floor(Math.log10(step)));
      const said = time.toFixed(digits) + " s", half = below.measureText(said).width / 2 + 1;
      below.fillText(said, Math.max(this.gutter + half, Math.min(this.gutter + this.width - half, x)), this.foot / 2);
    }
  }

  hover(event) {
    if (event.buttons) return;
    const lane = Math.floor(event.offsetY / this.row), near = ((this.to - this.from) / this.width) * 1e6;
    this.tip.hidden = true;
    if (lane < 0 || lane >= this.data.lanes.length || event.offsetX < this.gutter) return;
    const time = this.timeAt(event.offsetX) * 1e6, number = this.at(lane, time + near);
    if (number < 0 || time > this.data.start[number] + this.data.length[number] + 2 * near) return;
    this.tell(number, event.offsetX, event.offsetY - this.frame.scrollTop);
  }

  tell(number, x, y) {
    this.tip.replaceChildren(...this.options.tell(number));
    this.tip.hidden = false;
    const wide = this.tip.offsetWidth, room = this.host.clientWidth;
    Object.assign(this.tip.style, { left: Math.max(0, Math.min(room - wide - 4, x + 14)) + "px", top: y + 16 + "px" });
  }
}
