"use strict";
const OPEN = 1, ASYNC = 2, LAST = 4, DIVERGED = 8, PAIR = 16, FAILED = 32;
const FONT = '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Liberation Sans", system-ui, sans-serif';
const css = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
// The kind of a group: its description without numbers. A colour belongs to a kind, since there may be 500 groups.
const kindOf = text => text === "default_pg" ? "default group" : text.replace(/[\d_:-]+$/, "").replace(/^undefined$|^$/, "group without a name");
const kinds = new Map([["default group", 0]]);
function colourOf(text) {
  const kind = kindOf(text);
  if (!kinds.has(kind)) kinds.set(kind, 1 + (kinds.size - 1) % 4);
  return kinds.get(kind);
}

async function unpacked(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint32Array(await new Response(stream).arrayBuffer());
}

// The first index in [low, high) for which `is` holds; it holds for all behind that.
function bisect(low, high, is) {
  while (low < high) { const middle = (low + high) >>> 1; if (is(middle)) high = middle; else low = middle + 1; }
  return low;
}

class Lanes {
  constructor(root, data, columns) {
    Object.assign(this, { root, data, ...columns, words: [], picked: null });
    this.one = selector => root.querySelector(selector);
    this.first = [0];
    for (const count of data.counts) this.first.push(this.first[this.first.length - 1] + count);
    // Starts from the beginning of the run; `reach`: the latest end of a call and those before it on its rank, to bisect.
    this.reach = new Uint32Array(this.start.length);
    for (let r = 0; r < data.counts.length; r++)
      for (let i = this.first[r], at = 0, reach = 0; i < this.first[r + 1]; i++) {
        at += this.start[i]; this.start[i] = at; reach = Math.max(reach, at + this.took[i]); this.reach[i] = reach;
      }
    this.kind = Uint8Array.from(data.whats, ([, group]) => colourOf(data.groups[group][1]));
    this.texts = data.whats.map(([op, group, site]) => `${data.ops[op]} ${data.groups[group].join(" ")} ${kindOf(data.groups[group][1])} ${data.sites[site]}`.toLowerCase());
    this.diverged = new Set();
    for (let r = 0; r < data.ranks.length; r++) for (let i = this.first[r]; i < this.first[r + 1]; i++) if (this.flags[i] & DIVERGED) this.diverged.add(i);
    this.one(".draw").hidden = false;
    for (const element of root.querySelectorAll(".to")) element.textContent = data.diverged ? "divergence" : "latest arrival";
    const used = new Map(data.groups.map(([, text]) => [kindOf(text), colourOf(text)]));
    this.one(".legend").append(...[...used].slice(0, 8).map(([kind, colour]) => { const chip = document.createElement("span"); chip.className = "group"; chip.style.setProperty("--g", `var(--g${colour})`); chip.append(kind); return chip; }));
    this.cv = this.one(".cv"); this.mini = this.one(".mini");
    this.colours(); this.filter(new URLSearchParams(location.hash.slice(1)).get("q") || ""); this.goTo(); this.events();
    for (const r of data.named) for (let i = this.first[r + 1]; i-- > this.first[r] && !this.picked;) if (this.diverged.has(i)) this.pick(r, i);
  }

  colours() {
    this.C = {};
    for (const name of ["paper", "ink", "soft", "faint", "line", "box", "lane", "bad", "on"]) this.C[name] = css(name);
    this.solid = [0, 1, 2, 3, 4].map(k => css(`g${k}`)); this.tint = [0, 1, 2, 3, 4].map(k => css(`t${k}`));
    this.hatch = this.solid.map((colour, k) => {
      const tile = document.createElement("canvas"), n = 6, x = tile.getContext("2d"); tile.width = tile.height = n;
      x.fillStyle = this.tint[k]; x.fillRect(0, 0, n, n); x.strokeStyle = colour; x.globalAlpha = .6; x.lineWidth = 1; x.beginPath();
      for (const o of [-n, 0, n]) { x.moveTo(o, n); x.lineTo(o + n, 0); }
      x.stroke(); return x.createPattern(tile, "repeat");
    });
  }

  // A lane for each rank up to 64 of them. Beyond that three ranks of each side of the divergence, the 8 that came last most often and those
  // searched for stand on top, and the others share lanes by host, at most 48.
  arrange() {
    const { ranks, hosts } = this.data, all = ranks.map((_, r) => r);
    if (ranks.length <= 64) { this.lanes = all.map(r => ({ ranks: [r], label: `${ranks[r]}` })); return; }
    const alone = new Set([...this.data.named, ...all.filter(r => this.words.includes(`rank:${ranks[r]}`)).slice(0, 16)]), shared = new Map();
    if (this.picked !== null) alone.add(this.picked[0]);
    for (const r of this.latest()) alone.add(r);
    for (const r of all) if (!shared.has(hosts[r])) shared.set(hosts[r], [r]); else shared.get(hosts[r]).push(r);
    const list = [...shared.values()].sort((a, b) => a[0] - b[0]), each = Math.ceil(list.length / 48), merged = [];
    if (list.length === 1) for (let k = 0; k < all.length; k += Math.ceil(all.length / 48)) merged.push(all.slice(k, k + Math.ceil(all.length / 48)));
    else for (let k = 0; k < list.length; k += each) merged.push(list.slice(k, k + each).flat());
    this.lanes = [...[...alone].sort((a, b) => a - b).map(r => ({ ranks: [r], label: `${ranks[r]}` })),
      ...merged.map(part => ({ ranks: part, label: `${ranks[part[0]]}-${ranks[part[part.length - 1]]}` }))];
  }
  latest() {
    if (!this.slowest) {
      const last = this.data.ranks.map((_, r) => { let n = 0; for (let i = this.first[r]; i < this.first[r + 1]; i++) if (this.flags[i] & LAST) n++; return [n, r]; });
      this.slowest = last.filter(([n]) => n).sort((a, b) => b[0] - a[0]).slice(0, 8).map(([, r]) => r);
    }
    return this.slowest;
  }

  filter(text) {
    this.one(".filter").value = text;
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const plain = this.words.filter(word => !word.startsWith("rank:")), only = this.words.filter(word => word.startsWith("rank:")).map(word => word.slice(5));
    this.fits = Uint8Array.from(this.texts, have => plain.every(word => have.includes(word)));
    this.fitsRank = this.data.ranks.map(rank => only.every(word => word === `${rank}`));
    let count = 0;
    if (this.words.length) this.fitsRank.forEach((is, r) => { if (is) for (let i = this.first[r]; i < this.first[r + 1]; i++) count += this.fits[this.what[i]]; });
    this.one(".count").textContent = this.words.length ? `${count.toLocaleString("en")} of ${this.start.length.toLocaleString("en")} calls` : "";
    this.strip = null; this.arrange(); this.draw();
  }
  shown(r, i) { return this.fitsRank[r] && this.fits[this.what[i]]; }

  goTo() {
    const { at, end } = this.data;
    if (at === null || at === undefined) return this.look(0, end);
    // Some calls before and, where the run goes on, behind it.
    let before = at, behind = end;
    for (let r = 0; r < Math.min(64, this.data.ranks.length); r++) {
      const here = bisect(this.first[r], this.first[r + 1], i => this.start[i] > at);
      before = Math.min(before, this.start[Math.max(this.first[r], here - 12)] ?? at);
      behind = Math.min(behind, here + 12 < this.first[r + 1] ? this.start[here + 12] : end);
    }
    if (this.data.diverged) this.look(Math.max(0, at - Math.max(at - before, (end - at) * .6)), end);
    else this.look(before - .02 * (behind - before), Math.max(behind, at + (at - before) * .1));
  }
  look(a, b) {
    const span = Math.min(Math.max(b - a, 20), this.data.end), low = Math.max(0, Math.min(a, this.data.end - span));
    [this.a, this.b] = [low, low + span]; this.draw();
  }
  zoom(factor, at = (this.a + this.b) / 2) { this.look(at - (at - this.a) * factor, at + (this.b - at) * factor); }
  move(share) { const by = share * (this.b - this.a); this.look(this.a + by, this.b + by); }

  draw() { if (!this.queued && this.b) { this.queued = true; requestAnimationFrame(() => { this.queued = false; this.paint(); }); } }
  prepared(canvas, height) {
    const d = devicePixelRatio || 1, w = canvas.clientWidth; canvas.style.height = `${height}px`;
    canvas.width = Math.round(w * d); canvas.height = Math.round(height * d);
    const x = canvas.getContext("2d"); x.setTransform(d, 0, 0, d, 0, 0); x.textBaseline = "middle"; return [x, w];
  }
  time(ticks) { const s = ticks * this.data.tick; return s >= 1 ? `${s.toFixed(3)} s` : s >= 1e-3 ? `${(s * 1e3).toFixed(2)} ms` : `${(s * 1e6).toFixed(0)} µs`; }

  paint() {
    if (!this.cv.clientWidth) return;
    const small = this.cv.clientWidth < 600, many = this.lanes.length > 24;
    const step = many ? 14 : small ? 21 : 25, bh = step - (many ? 2 : 5), top = 26, gut = this.data.ranks.length > 64 ? 84 : 40;
    const [x, w] = this.prepared(this.cv, top + step * this.lanes.length + 4), C = this.C, { a, b } = this, right = w - 1;
    const scale = (right - gut) / (b - a), X = t => gut + (t - a) * scale, clip = px => Math.max(gut, Math.min(right, px));
    this.geo = { gut, right, step, top, scale };
    const raw = (b - a) * this.data.tick / (small ? 3 : 8), power = 10 ** Math.floor(Math.log10(raw)), tick = [1, 2, 5, 10].map(k => k * power).find(k => k >= raw);
    x.font = `11.5px ${FONT}`; x.textAlign = "center";
    const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(tick))));
    for (let k = Math.ceil(a * this.data.tick / tick); k * tick <= b * this.data.tick; k++) {
      const px = Math.round(X(k * tick / this.data.tick)) + .5; x.strokeStyle = C.line; x.beginPath(); x.moveTo(px, top - 6); x.lineTo(px, top + step * this.lanes.length); x.stroke();
      x.fillStyle = C.faint; if (px > gut + 16 && px < right - 22) x.fillText(`${(k * tick).toFixed(digits)} s`, px, 9);
    }
    this.lanes.forEach((lane, row) => {
      const y = top + row * step; x.fillStyle = C.lane; x.fillRect(gut, y, right - gut, bh);
      const parts = lane.ranks.map(r => [r, bisect(this.first[r], this.first[r + 1], i => this.reach[i] >= a), bisect(this.first[r], this.first[r + 1], i => this.start[i] > b)]);
      const count = parts.reduce((sum, [, low, high]) => sum + high - low, 0);
      if (lane.ranks.length > 1 || count > (right - gut) / 3) this.shares(x, parts, y, bh, X, clip);
      else for (const [r, low, high] of parts) for (let i = low; i < high; i++) this.box(x, r, i, y, bh, X, clip);
      for (const [r, low, high] of parts)
        if (lane.ranks.length === 1) { if (this.diverged.size) for (let i = high; i-- > Math.max(low, high - 2000);) if (this.flags[i] & DIVERGED) this.stuck(x, r, i, y, bh, X, clip, row); }
      x.textAlign = "right"; x.font = `${many ? 11 : 12.5}px ${FONT}`; x.fillStyle = C.soft; x.fillText(lane.label, gut - 8, y + bh / 2 + .5);
    });
    if (this.data.diverged && this.data.at >= a && this.data.at <= b) {
      const px = X(this.data.at); x.strokeStyle = C.bad; x.lineWidth = 1.5; x.setLineDash([3, 3]); x.beginPath(); x.moveTo(px, top - 8); x.lineTo(px, top + step * this.lanes.length); x.stroke(); x.setLineDash([]);
    }
    if (this.picked) this.links(x, X, top, step, bh, gut, right);
    const seconds = ticks => (ticks * this.data.tick).toFixed(6);
    Object.assign(this.cv.dataset, { from: seconds(a), to: seconds(b), at: seconds(this.data.at || 0) });
    this.paintStrip(gut, right);
  }
  box(x, r, i, y, bh, X, clip) {
    const k = this.kind[this.what[i]], s = X(this.start[i]), from = clip(s), to = clip(X(this.start[i] + this.took[i])), all = Math.max(from, Math.min(to, X(this.start[i] + this.wait[i])));
    const [yy, hh] = this.flags[i] & ASYNC ? [y + bh / 2, bh / 2] : [y, bh];
    x.globalAlpha = this.shown(r, i) ? 1 : .1;
    if (all > from) { x.fillStyle = this.hatch[k]; x.fillRect(from, yy, all - from, hh); x.fillStyle = this.solid[k]; x.fillRect(from, yy, 1, hh); }
    if (!(this.flags[i] & OPEN) || this.flags[i] & ASYNC) { x.fillStyle = this.solid[k]; x.fillRect(all, yy, Math.max(1, to - all), hh); }
    const text = this.data.ops[this.data.whats[this.what[i]][0]]; x.font = `11px ${FONT}`;
    if (bh > 14 && hh === bh && !(this.flags[i] & DIVERGED)) {
      const width = x.measureText(text).width + 8; x.textAlign = "center";
      if (to - all > width) { x.fillStyle = this.C.on; x.fillText(text, (all + to) / 2, y + bh / 2 + .5); }
      else if (all - from > width) { x.fillStyle = this.tint[k]; x.fillRect((from + all - width) / 2, y + 2, width, bh - 4); x.fillStyle = this.C.ink; x.fillText(text, (from + all) / 2, y + bh / 2 + .5); }
    }
    x.globalAlpha = 1;
  }
  // Where a pixel holds many calls: per column of 2 pixels the share of the time that they took, solid below, hatched above.
  shares(x, parts, y, bh, X, clip) {
    const { gut, right } = this.geo, n = Math.ceil((right - gut) / 2), sums = this.solid.map(() => [new Float32Array(n), new Float32Array(n)]);
    const add = (sum, from, to) => { for (let c = Math.floor((from - gut) / 2); c < n && gut + 2 * c < to; c++) sum[c] += Math.min(to, gut + 2 * c + 2) - Math.max(from, gut + 2 * c); };
    for (const [r, low, high] of parts) if (this.fitsRank[r]) for (let i = low; i < high; i++) if (this.fits[this.what[i]]) {
      const k = this.kind[this.what[i]], s = this.start[i], from = clip(X(s)), all = clip(X(s + this.wait[i])), to = clip(X(s + this.took[i]));
      if (all > from) add(sums[k][1], from, all);
      if (to > all) add(sums[k][0], all, to);
    }
    const most = bh / (2 * parts.length);
    for (let c = 0; c < n; c++) {
      let at = y + bh;
      for (const part of [0, 1]) for (let k = 0; k < sums.length; k++) {
        const h = Math.min(at - y, sums[k][part][c] * most); if (h < .3) continue;
        x.fillStyle = part ? this.hatch[k] : this.solid[k]; x.fillRect(gut + 2 * c, at - h, 2, h); at -= h;
      }
    }
  }
  stuck(x, r, i, y, bh, X, clip, row) {
    const from = clip(X(this.start[i])), to = clip(X(this.start[i] + this.took[i])), C = this.C, [op, group, site] = this.data.whats[this.what[i]];
    x.globalAlpha = this.shown(r, i) ? 1 : .1; x.strokeStyle = C.bad; x.lineWidth = 1.5; x.beginPath();
    const right = Math.max(to, from + 6);
    x.moveTo(right, y + .75); x.lineTo(from + .75, y + .75); x.lineTo(from + .75, y + bh - .75); x.lineTo(right, y + bh - .75);
    if (!(this.flags[i] & OPEN)) x.closePath();
    x.stroke();
    const words = [`${this.data.ops[op]} #${this.sequence[i]}`, ` on ${this.data.groups[group][0]}`, `, ${this.data.sites[site].split("/").pop()}`];
    x.font = `600 ${bh > 14 ? 11.5 : 10}px ${FONT}`; x.textAlign = "left"; let text = "";
    for (const word of words) if (x.measureText(text + word).width < to - from - 24) text += word; else break;
    if (text && bh > 10) { x.fillStyle = this.tint[this.kind[this.what[i]]]; x.fillRect(from + 8, y + 1, x.measureText(text).width + 8, bh - 2); x.fillStyle = C.ink; x.fillText(text, from + 12, y + bh / 2 + .5); }
    x.globalAlpha = 1;
  }
  // The calls of other ranks that belong to one: same group and number, and overlapping in time.
  partners([r, i]) {
    const group = this.data.whats[this.what[i]][1], number = this.sequence[i], pair = this.flags[i] & PAIR, from = this.start[i], to = from + this.took[i], found = [];
    if (!pair) for (let q = 0; q < this.data.ranks.length; q++)
      for (let j = bisect(this.first[q], this.first[q + 1], j => this.reach[j] >= from); j < this.first[q + 1] && this.start[j] <= to; j++)
        if (this.sequence[j] === number && this.data.whats[this.what[j]][1] === group && !(this.flags[j] & PAIR)) { found.push([q, j]); break; }
    return found.length ? found : [[r, i]];
  }
  links(x, X, top, step, bh, gut, right) {
    const rows = new Map(); this.lanes.forEach((lane, row) => { if (lane.ranks.length === 1) rows.set(lane.ranks[0], row); });
    const points = this.partners(this.picked).filter(([r]) => rows.has(r)).map(([r, i]) => [X(this.start[i]), top + rows.get(r) * step + bh / 2, this.flags[i] & LAST, r, i]).filter(([px]) => px >= gut && px <= right);
    x.strokeStyle = this.C.ink; x.lineWidth = 1.4; x.beginPath(); points.forEach(([px, py], n) => x[n ? "lineTo" : "moveTo"](px, py)); x.stroke();
    for (const [px, py, last, r, i] of points) { x.beginPath(); x.arc(px, py, last ? 4.5 : 3, 0, 7); x.fillStyle = last || i === this.picked[1] ? this.C.ink : this.C.paper; x.fill(); x.stroke(); }
  }
  paintStrip(gut, right) {
    const [x] = this.prepared(this.mini, 44), n = Math.max(1, Math.floor((right - gut) / 2)), end = this.data.end, C = this.C;
    if (!this.strip || this.strip.length !== n) {
      this.strip = new Float32Array(n); const each = end / n;
      for (let r = 0; r < this.data.ranks.length; r++) if (this.fitsRank[r]) for (let i = this.first[r]; i < this.first[r + 1]; i++) if (this.fits[this.what[i]]) {
        const s = this.start[i], e = s + this.took[i];
        for (let c = Math.floor(s / each); c < n && c * each < e; c++) this.strip[c] += (Math.min(e, (c + 1) * each) - Math.max(s, c * each)) / each;
      }
    }
    x.fillStyle = C.lane; x.fillRect(gut, 0, right - gut, 28); x.fillStyle = C.faint;
    for (let c = 0; c < n; c++) { const h = Math.min(28, 28 * this.strip[c] / this.data.ranks.length); x.fillRect(gut + 2 * c, 28 - h, 2, h); }
    const X = t => gut + t / end * (right - gut);
    if (this.data.diverged) { x.fillStyle = C.bad; x.fillRect(X(this.data.at), 0, 2, 28); }
    x.strokeStyle = C.ink; x.lineWidth = 1.5; x.strokeRect(X(this.a) + .75, .75, Math.max(3, X(this.b) - X(this.a) - 1.5), 26.5);
    x.font = `11px ${FONT}`; x.fillStyle = C.faint; x.textAlign = "left"; x.fillText("0 s", gut, 37); x.textAlign = "right"; x.fillText(this.time(end), right, 37);
    x.fillText("run", gut - 8, 14);
  }

  pick(r, i) {
    this.picked = [r, i]; const [op, group, site] = this.data.whats[this.what[i]], flags = this.flags[i], parts = this.partners(this.picked);
    const how = flags & OPEN ? `did not end; ${parts.length} rank${parts.length > 1 ? "s are" : " is"} in it` : `${flags & FAILED ? "failed after" : "took"} ${this.time(this.took[i])}`;
    const waited = flags & ASYNC ? "asynchronous" : this.wait[i] && !(flags & (OPEN | FAILED)) ? `${this.time(this.wait[i])} of it waiting for the last rank` : flags & LAST ? "came last" : "";
    this.one(".detail").textContent = [`Rank ${this.data.ranks[r]}: ${this.data.ops[op]} #${this.sequence[i]} on ${this.data.groups[group][0]}`, this.data.sites[site], how, waited].filter(Boolean).join(", ");
    if (this.start[i] + this.took[i] < this.a || this.start[i] > this.b) { const half = (this.b - this.a) / 2; this.look(this.start[i] - half, this.start[i] + half); }
    if (!this.lanes.some(lane => lane.ranks.length === 1 && lane.ranks[0] === r)) this.arrange();
    this.draw();
  }
  next(by) {
    const [r, from] = this.picked || [this.lanes[0].ranks[0], bisect(this.first[this.lanes[0].ranks[0]], this.first[this.lanes[0].ranks[0] + 1], i => this.start[i] >= this.a) - 1];
    for (let i = from + by; i >= this.first[r] && i < this.first[r + 1]; i += by) if (this.shown(r, i)) return this.pick(r, i);
  }
  other(by) {
    if (!this.picked) return this.next(1);
    const [r, i] = this.picked, q = r + by; if (q < 0 || q >= this.data.ranks.length) return;
    const same = this.partners(this.picked).find(([rank]) => rank === q);
    const near = Math.max(this.first[q], bisect(this.first[q], this.first[q + 1], j => this.start[j] > this.start[i]) - 1);
    if (same || near < this.first[q + 1]) this.pick(q, same ? same[1] : near);
  }
  do(key) {
    const deeds = { w: () => this.zoom(.6), s: () => this.zoom(1 / .6), a: () => this.move(-.25), d: () => this.move(.25), f: () => this.look(0, this.data.end), x: () => this.goTo(),
      ArrowLeft: () => this.next(-1), ArrowRight: () => this.next(1), ArrowUp: () => this.other(-1), ArrowDown: () => this.other(1), "/": () => this.one(".filter").focus(),
      Escape: () => { this.picked = null; this.one(".detail").textContent = ""; this.filter(""); } };
    if (deeds[key]) { deeds[key](); return true; }
    return false;
  }
  events() {
    const { cv, mini } = this; let held = null;
    const t = px => this.a + (px - this.geo.gut) / this.geo.scale;
    cv.addEventListener("pointerdown", event => { held = { x: event.offsetX, a: this.a, b: this.b, moved: false }; cv.setPointerCapture(event.pointerId); });
    cv.addEventListener("pointermove", event => {
      if (!held) return;
      const by = (event.offsetX - held.x) / this.geo.scale; held.moved ||= Math.abs(event.offsetX - held.x) > 4;
      if (held.moved) this.look(held.a - by, held.b - by);
    });
    cv.addEventListener("pointerup", event => {
      if (held && !held.moved) {
        const lane = this.lanes[Math.floor((event.offsetY - this.geo.top) / this.geo.step)], at = t(event.offsetX), slack = 3 / this.geo.scale;
        for (const r of lane ? lane.ranks : []) {
          const low = bisect(this.first[r], this.first[r + 1], i => this.reach[i] >= at - slack), high = bisect(this.first[r], this.first[r + 1], i => this.start[i] > at + slack);
          for (let i = high; i-- > low;) if (this.start[i] + this.took[i] >= at - slack) { this.pick(r, i); held = null; return; }
        }
      }
      held = null;
    });
    cv.addEventListener("pointercancel", () => { held = null; });
    cv.addEventListener("wheel", event => { if (event.ctrlKey) { event.preventDefault(); this.zoom(event.deltaY > 0 ? 1.25 : .8, t(event.offsetX)); } }, { passive: false });
    mini.addEventListener("click", event => { const at = (event.offsetX - this.geo.gut) / (this.geo.right - this.geo.gut) * this.data.end, half = (this.b - this.a) / 2; this.look(at - half, at + half); });
    this.one(".filter").addEventListener("input", event => this.filter(event.target.value));
    for (const button of this.root.querySelectorAll("[data-do]")) button.addEventListener("click", () => this.do(button.dataset.do));
    for (const button of this.root.querySelectorAll(".find")) button.addEventListener("click", () => { this.filter(button.dataset.find); this.one(".lanes").scrollIntoView({ block: "start" }); });
    new ResizeObserver(() => this.draw()).observe(cv);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.colours(); this.draw(); });
  }
}

for (const chip of document.querySelectorAll(".group[data-kind]")) chip.style.setProperty("--g", `var(--g${colourOf(chip.dataset.kind)})`);
const drawn = [];
async function open(root) {
  if (drawn.some(lanes => lanes.root === root)) return;
  const data = JSON.parse(root.querySelector(".calls").textContent);
  const columns = await Promise.all(Object.entries(data.columns).map(async ([name, text]) => [name, await unpacked(text)]));
  if (data.ranks.length && !drawn.some(lanes => lanes.root === root)) drawn.push(new Lanes(root, data, Object.fromEntries(columns)));
}
for (const root of document.querySelectorAll(".job")) {
  if (root.tagName !== "DETAILS" || root.open) open(root);
  root.addEventListener("toggle", () => { if (root.open) open(root); });
}
document.addEventListener("keydown", event => {
  const isText = event.target.matches?.("input"), isArrow = event.key.startsWith("Arrow");
  const lanes = drawn.find(one => one.root.contains(event.target)) || drawn.find(one => one.root.tagName !== "DETAILS" || one.root.open);
  if (!lanes || event.ctrlKey || event.metaKey || event.altKey || isText && event.key !== "Escape" || isArrow && event.target !== lanes.cv) return;
  if (lanes.do(event.key)) event.preventDefault();
});
