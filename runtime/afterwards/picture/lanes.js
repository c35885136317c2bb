// Which ranks have lanes, and the whole drawing.
class Lanes extends Calls {
  // A lane for each rank up to 64 of them. Beyond that three ranks of each side of the divergence, the 8 that came latest in all and those
  // searched for or selected stand on top, and all ranks share lanes below: by host, or by what they call. Such a lane can be opened.
  arrange() {
    const { ranks, hosts } = this.data, all = ranks.map((_, r) => r);
    this.lanes = [];
    if (ranks.length <= 64) { this.lanes = all.map(r => this.lane([r])); return; }
    const searched = all.filter(r => this.words.includes(`rank:${ranks[r]}`)).slice(0, 16);
    const alone = new Set([...this.data.named, ...searched, ...(this.picked ? [this.picked[0]] : []), ...this.latest()]);
    for (const r of [...alone].sort((a, b) => a - b)) this.lanes.push(this.lane([r], 0, "alone"));
    const sharing = this.by === "host" ? hosts : this.sameCalls ||= finish(this.classing(this.a, this.b)), shared = new Map();
    for (const r of all) if (!shared.has(sharing[r])) shared.set(sharing[r], [r]); else shared.get(sharing[r]).push(r);
    // The smallest classes are those that differ; what is beyond the number of lanes shares one.
    const most = this.by === "host" ? 128 : 48, list = [...shared.values()].sort((a, b) => this.by === "host" ? a[0] - b[0] : a.length - b.length || a[0] - b[0]);
    const kept = list.length > most ? [...list.slice(0, most - 1), list.slice(most - 1).flat().sort((a, b) => a - b)] : list;
    for (const part of kept) if (part.length > 1 || !alone.has(part[0])) this.addTo(part, 0, "");
  }
  addTo(part, depth, above) {
    const lane = this.lane(part, depth, above); this.lanes.push(lane);
    if (part.length > 1 && this.opened.has(lane.key)) for (const inner of this.parts(part)) this.addTo(inner, depth + 1, lane.key);
  }
  // What an opened lane is divided into: ranks, hosts, or at most 32 runs of ranks.
  parts(part) {
    if (part.length <= 32) return part.map(r => [r]);
    const { hosts } = this.data, byHost = new Map();
    for (const r of part) if (!byHost.has(hosts[r])) byHost.set(hosts[r], [r]); else byHost.get(hosts[r]).push(r);
    if (byHost.size > 1 && byHost.size <= 48) return [...byHost.values()];
    const each = Math.ceil(part.length / 32);
    return Array.from({ length: Math.ceil(part.length / each) }, (_, n) => part.slice(n * each, (n + 1) * each));
  }
  lane(part, depth = 0, above = "") {
    const { ranks, hosts } = this.data, runs = [];
    for (const r of part) { const run = runs[runs.length - 1]; if (run && run[1] + 1 === ranks[r]) run[1] = ranks[r]; else if (runs.push([ranks[r], ranks[r]]) > 12) break; }
    const text = runs.map(([a, b]) => a === b ? a : `${a}-${b}`).join(", ");
    const host = part.length > 1 && part.every(r => hosts[r] === hosts[part[0]]) ? hosts[part[0]] : "";
    const stuck = part.filter(r => this.stuckOn[r] >= 0), sum = part.reduce((all, r) => (Math.imul(all, 31) + r) | 0, 0);
    return { ranks: part, text, host, depth, stuck, key: `${above}/${part[0]}x${part.length}.${sum}` };
  }
  toggle(lane) {
    if (!lane || lane.ranks.length < 2) return;
    if (!this.opened.delete(lane.key)) this.opened.add(lane.key);
    this.arrange(); this.draw();
  }

  colours() {
    this.C = {}; this.scale = devicePixelRatio || 1;
    for (const name of ["paper", "ink", "soft", "faint", "line", "box", "lane", "bad", "on"]) this.C[name] = css(name);
    this.tint = [0, 1, 2, 3, 4].map(k => css(`t${k}`));
    // Calls are drawn as pixels, many times as fast as boxes: a colour is a number, a hatch a tile of them. Shadows are those of calls that a filter leaves out.
    const lane = pixel(this.C.lane), n = 6 * Math.round(this.scale), line = Math.round(this.scale);
    this.ground = lane; this.solid = []; this.hatch = []; this.shadow = [];
    for (let k = 0; k < 5; k++) {
      const full = pixel(css(`g${k}`)), tint = pixel(this.tint[k]), tile = new Uint32Array(n * n), dark = mixed(tint, full, .62), edge = mixed(tint, full, .2);
      for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) { const at = (x + y) % n; tile[y * n + x] = at < line ? dark : at === line || at === n - 1 ? edge : tint; }
      this.solid.push(full); this.hatch.push(tile);
      this.shadow.push([mixed(lane, full, .1), tile.map(colour => mixed(lane, colour, .12))]);
    }
  }
  prepared(canvas, height) {
    const d = this.scale, w = canvas.clientWidth, [wide, tall] = [Math.round(w * d), Math.round(height * d)];
    canvas.style.height = `${height}px`;
    const x = canvas.getContext("2d");
    if (canvas.width !== wide || canvas.height !== tall) { canvas.width = wide; canvas.height = tall; }
    x.setTransform(d, 0, 0, d, 0, 0); x.clearRect(0, 0, w, height); x.textBaseline = "middle"; return [x, w];
  }
  // A moment in seconds since the job's first call.
  second(ticks) { return this.data.since + ticks * this.data.tick; }
  time(ticks) { const s = ticks * this.data.tick; return s >= 1 ? `${s.toFixed(3)} s` : s >= 1e-3 ? `${(s * 1e3).toFixed(2)} ms` : `${(s * 1e6).toFixed(0)} µs`; }
  // The width of a text in the current font, which is not asked for twice.
  width(x, text) {
    this.widths ||= new Map(); const key = x.font + text; let width = this.widths.get(key);
    if (width === undefined) { if (this.widths.size > 5000) this.widths.clear(); this.widths.set(key, width = x.measureText(text).width); }
    return width;
  }
  cut(x, text, most) {
    if (this.width(x, text) <= most) return text;
    let n = text.length; while (n > 1 && this.width(x, `${text.slice(0, n)}…`) > most) n--;
    return `${text.slice(0, n)}…`;
  }

  draw() { if (!this.queued && this.b) { this.queued = true; requestAnimationFrame(() => { this.queued = false; this.paint(); }); } }
  // Where the lanes stand: `y` of each, below an axis, with a gap between hosts, or behind the lanes on top.
  measure(small) {
    const { hosts, ranks } = this.data, many = this.lanes.length > 24, hasMany = ranks.length > 64, several = !hasMany && new Set(hosts).size > 1;
    const step = many ? 14 : small ? 21 : 25, top = (this.steps ? 42 : 26) + (this.data.waited ? 14 : 0); let y = top;
    this.lanes.forEach((lane, row) => {
      const before = this.lanes[row - 1];
      if (before && (hasMany ? before.key.startsWith("alone") && !lane.key.startsWith("alone") : hosts[before.ranks[0]] !== hosts[lane.ranks[0]])) y += 8;
      lane.y = y; y += step;
    });
    return { step, bh: step - (many ? 2 : 5), top, bottom: y, gut: hasMany ? small ? 92 : 156 : several ? 58 : 40, several, small };
  }
  paint() {
    if (!this.cv.clientWidth) return;
    if (this.scale !== (devicePixelRatio || 1)) this.colours();
    const until = performance.now() + SLICE, geo = this.measure(this.cv.clientWidth < 600), { bottom, gut, bh } = geo, [x, w] = this.prepared(this.cv, bottom + 4), { a, b } = this;
    Object.assign(geo, { right: w - 1, scale: (w - 1 - gut) / (b - a) }); this.geo = geo;
    geo.X = t => gut + (t - a) * geo.scale; geo.clip = px => Math.max(gut, Math.min(geo.right, px));
    // Words that lines and links must not cross are written last: at the top of a lane, how.
    this.over = []; this.paintAxes(x);
    const wide = Math.max(1, Math.round((geo.right - gut) * this.scale)), tall = Math.round(bh * this.scale);
    if (this.image?.width !== wide || this.image.height !== tall) { this.image = x.createImageData(wide, tall); this.pixels = new Uint32Array(this.image.data.buffer); }
    for (const lane of this.lanes) {
      this.pixels.fill(this.ground); this.words_ = [];
      const alone = lane.ranks.length === 1 ? lane.ranks[0] : -1, [low, high] = alone < 0 ? [0, 0] : this.within(alone, a, b);
      if (alone < 0 || high - low > (geo.right - gut) / 4) this.paintShares(lane, until);
      else for (let i = low; i < high; i++) this.paintCall(x, lane, i, i > this.first[alone] ? this.reach[i - 1] : 0);
      x.putImageData(this.image, Math.round(gut * this.scale), Math.round(lane.y * this.scale));
      for (const write of this.words_) write(lane.y);
      if (lane.stuck.length) this.paintStuck(x, lane);
      this.paintLabel(x, lane);
    }
    if (geo.several) this.paintHosts(x);
    if (this.data.diverged) this.paintDivergence(x);
    if (this.picked) this.paintLinks(x);
    for (const [y, write] of this.over) write(y);
    const seconds = ticks => this.second(ticks).toFixed(6);
    Object.assign(this.cv.dataset, { from: seconds(a), to: seconds(b), at: seconds(this.data.at || 0), lanes: this.lanes.length });
    this.paintStrip();
  }
  paintAxes(x) {
    const { X, gut, right, top, bottom, small } = this.geo, { a, b, C, data } = this;
    const raw = (b - a) * data.tick / (small ? 3 : 8), power = 10 ** Math.floor(Math.log10(raw)), tick = [1, 2, 5, 10].map(k => k * power).find(k => k >= raw);
    x.font = `11.5px ${FONT}`; x.textAlign = "center";
    const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(tick))));
    for (let k = Math.ceil(this.second(a) / tick); k * tick <= this.second(b); k++) {
      const px = Math.round(X((k * tick - data.since) / data.tick)) + .5; x.strokeStyle = C.line; x.lineWidth = 1; x.beginPath(); x.moveTo(px, top - 6); x.lineTo(px, bottom); x.stroke();
      x.fillStyle = C.faint; if (px > gut + 16 && px < right - 22) x.fillText(`${(k * tick).toFixed(digits)} s`, px, 9);
    }
    if (!this.steps) return;
    // Steps are named by twos, fives and so on where they are narrow.
    const { starts } = this.steps, low = Math.max(0, bisect(0, starts.length, n => starts[n] > a) - 1), high = bisect(0, starts.length, n => starts[n] > b);
    const least = 54 / Math.max(1e-9, (starts[starts.length - 1] - starts[0]) / (starts.length - 1) * this.geo.scale), by = [1, 2, 5].flatMap(n => [n, 10 * n, 100 * n, 1e3 * n, 1e4 * n]).sort((p, q) => p - q).find(n => n >= least) || 1e5;
    for (let n = Math.ceil(low / by) * by; n < high; n += by) {
      const from = X(starts[n]), to = n + by < starts.length ? X(starts[n + by]) : from + 50; x.strokeStyle = C.line;
      if (from >= gut) { x.beginPath(); x.moveTo(Math.round(from) + .5, 18); x.lineTo(Math.round(from) + .5, 34); x.stroke(); }
      const middle = (Math.max(gut, from) + Math.min(right, to)) / 2; x.fillStyle = C.faint;
      if (Math.min(right, to) - Math.max(gut, from) > 44) x.fillText(`step ${n + 1}`, middle, 26);
    }
  }
  paintLabel(x, lane) {
    const { gut, bh, small } = this.geo, isShared = lane.ranks.length > 1, y = lane.y + bh / 2 + .5; x.font = `${bh < 14 ? 11 : 12.5}px ${FONT}`; x.fillStyle = this.C.soft;
    if (!isShared) {
      // The lanes of the verdict stand out.
      if (this.data.named.includes(lane.ranks[0])) { x.font = `700 ${x.font}`; x.fillStyle = this.data.diverged ? this.C.bad : this.C.ink; }
      x.textAlign = "right"; x.fillText(lane.text, gut - 8, y); return;
    }
    const left = 2 + 10 * lane.depth; x.textAlign = "left"; x.fillText(this.opened.has(lane.key) ? "▾" : "▸", left, y);
    const size = ` (${lane.ranks.length.toLocaleString("en")})`, words = lane.host && !small ? `${lane.host}: ${lane.text}` : lane.text;
    const most = gut - left - 20, isLong = this.width(x, words) > most;
    x.fillText(isLong ? this.cut(x, words, most - this.width(x, size)) + size : words, left + 12, y);
  }
  paintHosts(x) {
    const { hosts } = this.data, { bh } = this.geo; x.font = `11px ${FONT}`; x.textAlign = "center";
    for (let row = 0; row < this.lanes.length;) {
      let last = row; while (last + 1 < this.lanes.length && hosts[this.lanes[last + 1].ranks[0]] === hosts[this.lanes[row].ranks[0]]) last++;
      const from = this.lanes[row].y, to = this.lanes[last].y + bh; x.strokeStyle = this.C.line; x.lineWidth = 1; x.beginPath(); x.moveTo(20.5, from); x.lineTo(20.5, to); x.stroke();
      x.save(); x.translate(10, (from + to) / 2); x.rotate(-Math.PI / 2); x.fillStyle = this.C.faint; if (to - from > 24) x.fillText(this.cut(x, hosts[this.lanes[row].ranks[0]], to - from), 0, 0); x.restore();
      row = last + 1;
    }
  }
}
