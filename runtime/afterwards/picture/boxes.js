// What stands in the lanes: calls, shares of many calls, the calls of the divergence, the links of a selected call.
class Boxes extends Lanes {
  // `before`: until when the rank was in a call before this one.
  paintCall(x, r, i, y, before) {
    const { X, clip, bh } = this.geo, k = this.kind[this.what[i]], s = X(this.start[i]), from = clip(s), to = clip(X(this.start[i] + this.took[i])), all = Math.max(from, Math.min(to, X(this.start[i] + this.wait[i])));
    const [yy, hh] = this.flags[i] & ASYNC ? [y + bh / 2, bh / 2] : [y, bh];
    x.globalAlpha = this.shown(r, i) ? 1 : .1;
    if (all > from) { x.fillStyle = this.hatch[k]; x.fillRect(from, yy, all - from, hh); if (all - from > 2) { x.fillStyle = this.solid[k]; x.fillRect(from, yy, 1, hh); } }
    if (!(this.flags[i] & OPEN) || this.flags[i] & ASYNC) { x.fillStyle = this.solid[k]; x.fillRect(all, yy, Math.max(1, to - all), hh); }
    if (this.late[i] >= this.worth) {
      const text = `+${this.time(this.late[i])}`; x.font = `10.5px ${FONT}`; x.textAlign = "right"; x.fillStyle = this.C.soft;
      if (s < this.geo.right && this.width(x, text) + 8 < s - clip(X(before))) x.fillText(text, s - 4, y + bh / 2 + .5);
    }
    if (bh > 14 && hh === bh && !(this.flags[i] & DIVERGED) && to - from > 30) {
      const text = this.data.ops[this.data.whats[this.what[i]][0]]; x.font = `11px ${FONT}`; x.textAlign = "center";
      const width = this.width(x, text) + 8;
      if (to - all > width) { x.fillStyle = this.C.on; x.fillText(text, (all + to) / 2, y + bh / 2 + .5); }
      else if (all - from > width) { x.fillStyle = this.tint[k]; x.fillRect((from + all - width) / 2, y + 2, width, bh - 4); x.fillStyle = this.C.ink; x.fillText(text, (from + all) / 2, y + bh / 2 + .5); }
    }
    x.globalAlpha = 1;
  }
  // Where a pixel holds many calls: the share of the time that they took, solid below, hatched above. From the levels, but for a short time.
  paintShares(x, lane) {
    const { X, bh, gut, right, scale } = this.geo, { a, b } = this, levels = this.levels(lane), n = 2 ** Math.round(Math.log2(this.data.end * scale / (bh < 14 ? 3 : 2)));
    const least = 1024 * 2 ** Math.max(0, Math.ceil(Math.log2(lane.ranks.reduce((sum, r) => sum + this.data.counts[r], 0) / 1024))), finest = Math.min(least, 1 << 18);
    let from = 0, each, found;
    if (n > finest) { const count = Math.ceil((right - gut) / 2); from = a; each = (b - a) / count; found = this.shares(lane.ranks, a, b, count); }
    else { const level = Math.min(levels.length - 1, Math.log2(finest / n)); found = levels[level]; each = this.data.end / (finest / 2 ** level); }
    const some = found.find(Boolean); if (!some) return;
    const low = Math.max(0, Math.floor((a - from) / each)), high = Math.min(some.length, Math.ceil((b - from) / each)), tall = new Uint8Array(high - low), edges = new Int32Array(high - low + 1);
    for (let c = low; c <= high; c++) edges[c - low] = Math.max(gut, Math.min(right, Math.round(X(from + c * each))));
    for (const part of [0, 1]) for (let k = 0; k < this.solid.length; k++) {
      const bytes = found[2 * k + part]; if (!bytes) continue;
      x.fillStyle = part ? this.hatch[k] : this.solid[k];
      // Equal neighbours are one box: there are fewer of them than of columns.
      for (let c = low, begun = low, h = 0, below = 0; c <= high; c++) {
        const here = c < high ? Math.min(bh - tall[c - low], Math.round(bytes[c] * bh / 255)) : -1, under = c < high ? tall[c - low] : 0;
        if (here !== h || under !== below) {
          if (h > 0) x.fillRect(edges[begun - low], lane.y + bh - below - h, edges[c - low] - edges[begun - low], h);
          begun = c; h = here; below = under;
        }
        if (c < high) tall[c - low] += here;
      }
    }
  }
  // The calls of the divergence in a lane, as one outline, open to the right where they did not end.
  paintStuck(x, lane) {
    const { X, clip, bh } = this.geo, C = this.C, some = this.stuckOn[lane.stuck[0]], isOpen = this.flags[some] & OPEN;
    let first = Infinity, last = 0; for (const r of lane.stuck) { const i = this.stuckOn[r]; first = Math.min(first, this.start[i]); last = Math.max(last, this.start[i] + this.took[i]); }
    if (last < this.a || first > this.b) return;
    const from = clip(X(first)), to = clip(X(last)), right = Math.max(to, from + 6), y = lane.y;
    x.globalAlpha = lane.stuck.some(r => this.shown(r, this.stuckOn[r])) ? 1 : .1; x.strokeStyle = C.bad; x.lineWidth = 1.5; x.beginPath();
    x.moveTo(right, y + .75); x.lineTo(from + .75, y + .75); x.lineTo(from + .75, y + bh - .75); x.lineTo(right, y + bh - .75);
    if (!isOpen) x.closePath();
    x.stroke();
    const [op, group, site] = this.data.whats[this.what[some]];
    // A group or a number is said where all ranks of the lane have it.
    const all = what => lane.stuck.every(r => what(this.stuckOn[r]) === what(some));
    const words = [this.data.ops[op] + (all(i => this.sequence[i]) ? ` #${this.sequence[some]}` : "")];
    if (lane.ranks.length > 1) words.push(lane.stuck.length === lane.ranks.length ? `: all ${lane.ranks.length.toLocaleString("en")} ranks` : `: ${lane.stuck.length.toLocaleString("en")} of ${lane.ranks.length.toLocaleString("en")} ranks`);
    if (all(i => this.what[i])) words.push(` on ${this.data.groups[group][0]}`, `, ${this.data.sites[site].split("/").pop()}`);
    if (!all(i => this.data.whats[this.what[i]][0])) words[0] = "several operations";
    x.font = `600 ${bh > 14 ? 11.5 : 10}px ${FONT}`; x.textAlign = "left"; let text = "";
    for (const word of words) if (this.width(x, text + word) < to - from - 24) text += word; else break;
    if (text && bh > 10) { x.fillStyle = this.tint[this.kind[this.what[some]]]; x.fillRect(from + 8, y + 1, this.width(x, text) + 8, bh - 2); x.fillStyle = C.ink; x.fillText(text, from + 12, y + bh / 2 + .5); }
    x.globalAlpha = 1;
  }
  paintLinks(x) {
    const { X, gut, right, bh } = this.geo, rows = new Map();
    for (const lane of this.lanes) if (lane.ranks.length === 1) rows.set(lane.ranks[0], lane.y);
    const points = this.linked.filter(([r]) => rows.has(r)).map(([r, i]) => [X(this.start[i]), rows.get(r) + bh / 2, this.flags[i] & LAST, i]).filter(([px]) => px >= gut && px <= right).sort((p, q) => p[1] - q[1]);
    x.strokeStyle = this.C.ink; x.lineWidth = 1.4; x.beginPath(); points.forEach(([px, py], n) => x[n ? "lineTo" : "moveTo"](px, py)); x.stroke();
    const size = bh > 14 ? 1 : .7;
    for (const [px, py, last, i] of points) { x.beginPath(); x.arc(px, py, (last ? 4.5 : 3) * size, 0, 7); x.fillStyle = last || i === this.picked[1] ? this.C.ink : this.C.paper; x.fill(); x.stroke(); }
  }
  // The whole run in small: how many ranks are in a call.
  paintStrip() {
    const { gut, right } = this.geo, [x] = this.prepared(this.mini, 44), end = this.data.end, C = this.C, n = 512;
    if (!this.strip) {
      const found = this.shares(this.data.ranks.map((_, r) => r), 0, end, n); this.strip = new Float32Array(n);
      for (const bytes of found) if (bytes) for (let c = 0; c < n; c++) this.strip[c] = Math.min(1, this.strip[c] + bytes[c] / 255);
    }
    const X = t => gut + t / end * (right - gut);
    x.fillStyle = C.lane; x.fillRect(gut, 0, right - gut, 28); x.fillStyle = C.faint;
    for (let c = 0; c < n; c++) { const from = Math.round(X(c * end / n)); x.fillRect(from, 28 - 28 * this.strip[c], Math.round(X((c + 1) * end / n)) - from, 28 * this.strip[c]); }
    if (this.data.diverged) { x.fillStyle = C.bad; x.fillRect(X(this.data.at), 0, 2, 28); }
    x.strokeStyle = C.ink; x.lineWidth = 1.5; x.strokeRect(X(this.a) + .75, .75, Math.max(3, X(this.b) - X(this.a) - 1.5), 26.5);
    x.font = `11px ${FONT}`; x.fillStyle = C.faint; x.textAlign = "left"; x.fillText("0 s", gut, 37); x.textAlign = "right"; x.fillText(this.time(end), right, 37);
    x.fillText("run", gut - 8, 14);
  }
}
