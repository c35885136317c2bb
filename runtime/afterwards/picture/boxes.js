// What stands in the lanes: calls, shares of many calls, the calls of the divergence, the links of a selected call.
class Boxes extends Lanes {
  // A box of a colour or a hatch in the pixels of a lane: from where to where in points of the page, and as parts of the lane's height.
  fill(from, to, top, bottom, paint, least = 0) {
    const { pixels, scale } = this, { width, height } = this.image, { gut } = this.geo, n = paint.length ? Math.sqrt(paint.length) : 0;
    const left = Math.max(0, Math.round((from - gut) * scale)), right = Math.min(width, Math.max(left + least, Math.round((to - gut) * scale))), under = Math.round(bottom * height);
    for (let y = Math.round(top * height); y < under; y++) {
      const row = y * width;
      if (n) for (let x = left, at = y % n * n; x < right; x++) pixels[row + x] = paint[at + x % n];
      else for (let x = left; x < right; x++) pixels[row + x] = paint;
    }
  }
  // A call of a lane of one rank. `before`: until when the rank was in a call before this one.
  paintCall(x, lane, i, before) {
    const what = this.what[i]; if (this.gone[what]) return;
    const { X, clip, bh, right } = this.geo, k = this.kind[what], s = X(this.start[i]), from = clip(s), to = clip(X(this.start[i] + this.took[i])), all = Math.max(from, Math.min(to, X(this.start[i] + this.wait[i])));
    const isShown = this.shown(lane.ranks[0], i), [solid, hatch] = isShown ? [this.solid[k], this.hatch[k]] : this.shadow[k], top = this.flags[i] & ASYNC ? .5 : 0;
    if (all > from) { this.fill(from, all, top, 1, hatch); if (all - from > 2) this.fill(from, from + 1, top, 1, solid, 1); }
    if (!(this.flags[i] & OPEN) || this.flags[i] & ASYNC) this.fill(all, to, top, 1, solid, 1);
    if (this.late[i] >= this.worth) {
      const text = `+${this.time(this.late[i])}`, font = `10.5px ${FONT}`; x.font = font;
      const width = this.width(x, text);
      // On the empty lane in front of the call, and left of its dot where it is the selected one.
      if (s < right && width + 11 < s - clip(X(before))) this.over.push([lane.y, y => {
        x.fillStyle = this.C.lane; x.fillRect(s - width - 9, y, width + 4, bh);
        x.font = font; x.textAlign = "right"; x.fillStyle = this.C.soft; x.fillText(text, s - 7, y + bh / 2 + .5);
      }]);
    }
    if (bh > 14 && !top && isShown && !(this.flags[i] & DIVERGED) && to - from > 30) {
      const text = this.data.ops[this.data.whats[what][0]], font = `11px ${FONT}`; x.font = font; const width = this.width(x, text) + 8;
      const write = (middle, colour) => this.words_.push(y => { x.font = font; x.textAlign = "center"; x.fillStyle = colour; x.fillText(text, middle, y + bh / 2 + .5); });
      if (to - all > width) write((all + to) / 2, this.C.on);
      else if (all - from > width) { this.fill((from + all - width) / 2, (from + all + width) / 2, 0, 1, pixel(this.tint[k])); write((from + all) / 2, this.C.ink); }
    }
  }
  // Where a pixel holds many calls: the share of the time that they took, solid below, hatched above. From the levels, or counted for a short time; what
  // is not counted yet comes in one of the next frames.
  paintShares(lane, until) {
    const { X, bh, gut, right, scale } = this.geo, { a, b } = this, finest = this.finest(lane), n = 2 ** Math.round(Math.log2(this.data.end * scale / (bh < 14 ? 3 : 2)));
    let from = 0, each, found;
    if (n > finest) {
      if (lane.near?.a !== a || lane.near.b !== b || lane.near.words !== this.fits) {
        const count = Math.ceil((right - gut) / 2), fits = this.fits, task = this.sharing(lane.ranks, a, b, count), then = shares => { if (fits === this.fits) lane.near = { a, b, words: fits, found: shares }; };
        let step = { done: false }; while (!step.done && performance.now() < until) step = task.next();
        if (step.done) then(step.value); else { this.tasks.delete(`near ${lane.key}`); this.ask(`near ${lane.key}`, true, () => task, then); }
      }
      if (lane.near?.a === a && lane.near.b === b && lane.near.words === this.fits) { from = a; found = lane.near.found; each = (b - a) / Math.ceil((right - gut) / 2); }
    }
    if (!found) {
      const levels = this.made.get(lane.key); if (!levels) { this.ask(`levels ${lane.key}`, true, () => this.levelling(lane), () => {}); return; }
      const level = Math.max(0, Math.min(levels.length - 1, Math.log2(finest / n))); found = levels[level]; each = this.data.end / (finest / 2 ** level);
    }
    const some = found.find(Boolean); if (!some) return;
    const low = Math.max(0, Math.floor((a - from) / each)), high = Math.min(some.length, Math.ceil((b - from) / each)); if (high <= low) return;
    const tall = new Uint8Array(high - low), edges = new Float32Array(high - low + 1), top = this.image.height;
    for (let c = low; c <= high; c++) edges[c - low] = Math.max(gut, Math.min(right, X(from + c * each)));
    for (const part of [0, 1]) for (let k = 0; k < this.solid.length; k++) {
      const bytes = found[2 * k + part]; if (!bytes) continue;
      const paint = part ? this.hatch[k] : this.solid[k];
      // Equal neighbours are one box: there are fewer of them than of columns.
      for (let c = low, begun = low, h = 0, below = 0; c <= high; c++) {
        const here = c < high ? Math.min(top - tall[c - low], Math.round(bytes[c] * top / 255)) : -1, under = c < high ? tall[c - low] : 0;
        if (here !== h || under !== below) {
          if (h > 0) this.fill(edges[begun - low], edges[c - low], (top - below - h) / top, (top - below) / top, paint);
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
    if (lane.stuck.every(r => this.gone[this.what[this.stuckOn[r]]])) return;
    const from = clip(X(first)), to = clip(X(last)), right = Math.max(to, from + 6), y = lane.y;
    x.globalAlpha = lane.stuck.some(r => this.shown(r, this.stuckOn[r])) ? 1 : .1; x.strokeStyle = C.bad; x.lineWidth = 1.5; x.beginPath();
    x.moveTo(right, y + .75); x.lineTo(from + .75, y + .75); x.lineTo(from + .75, y + bh - .75); x.lineTo(right, y + bh - .75);
    if (!isOpen) x.closePath();
    x.stroke();
    const [op, group, site] = this.data.whats[this.what[some]];
    // A group or a number is said where all ranks of the lane have it.
    const call = i => this.call[this.what[i]], all = what => lane.stuck.every(r => what(this.stuckOn[r]) === what(some));
    const words = [this.data.ops[op] + (all(i => this.sequence[i]) ? ` #${this.sequence[some]}` : "")];
    if (lane.ranks.length > 1) words.push(lane.stuck.length === lane.ranks.length ? `: all ${lane.ranks.length.toLocaleString("en")} ranks` : `: ${lane.stuck.length.toLocaleString("en")} of ${lane.ranks.length.toLocaleString("en")} ranks`);
    if (all(call)) words.push(` on ${this.data.groups[group][0]}`, `, ${this.data.sites[site].split("/").pop()}`);
    if (!all(i => this.data.whats[this.what[i]][0])) words[0] = "several operations";
    x.font = `600 ${bh > 14 ? 11.5 : 10}px ${FONT}`; x.textAlign = "left"; let text = "";
    // A cross of the divergence stands in front of the words.
    const cross = X(this.data.at), begun = cross > from - 12 && cross < to && lane.ranks.some(r => this.data.lacks.includes(r)) ? cross + 4 : from;
    for (const word of words) if (this.width(x, text + word) < to - begun - 24) text += word; else break;
    const { font, globalAlpha } = x, width = this.width(x, text) + 8;
    if (text && bh > 10) this.over.push([y, y => {
      Object.assign(x, { font, globalAlpha, textAlign: "left", fillStyle: this.tint[this.kind[this.what[some]]] }); x.fillRect(begun + 8, y + 1.5, width, bh - 3);
      x.fillStyle = C.ink; x.fillText(text, begun + 12, y + bh / 2 + .5); x.globalAlpha = 1;
    }]);
    x.globalAlpha = 1;
  }
  // A line at the last arrival: down the lanes of ranks that came to the call of the first side, dotted elsewhere, with a cross where the call lacks a
  // rank. On top a bracket says for how long.
  paintDivergence(x) {
    const { at, lacks, waited, end } = this.data, { X, clip, bh, top, gut, right, bottom } = this.geo, px = X(at), { bad, paper } = this.C;
    x.strokeStyle = bad; x.lineWidth = 1.5;
    if (at >= this.a && at <= this.b) {
      const first = this.data.named.length ? this.stuckOn[this.data.named[0]] : -1, isFirst = r => first >= 0 && this.stuckOn[r] >= 0 && this.call[this.what[this.stuckOn[r]]] === this.call[this.what[first]] && this.sequence[this.stuckOn[r]] === this.sequence[first];
      const line = (from, to, dash) => { x.setLineDash(dash); x.beginPath(); x.moveTo(px, from); x.lineTo(px, to); x.stroke(); x.setLineDash([]); };
      let before = top - 8;
      for (const lane of this.lanes) {
        line(before, lane.y + bh, lane.ranks.some(isFirst) ? [] : [2, 3]); before = lane.y + bh;
        if (!lane.ranks.some(r => lacks.includes(r))) continue;
        const y = lane.y + bh / 2, s = Math.min(5, bh / 2 - 1);
        x.fillStyle = paper; x.beginPath(); x.arc(px, y, s + 2, 0, 7); x.fill(); x.lineWidth = 2; x.beginPath();
        x.moveTo(px - s, y - s); x.lineTo(px + s, y + s); x.moveTo(px - s, y + s); x.lineTo(px + s, y - s); x.stroke(); x.lineWidth = 1.5;
      }
      if (before < bottom) line(before, bottom, [2, 3]);
    }
    if (!waited || at > this.b) return;
    const from = clip(px), until = Math.min(end, at + waited / this.data.tick), to = clip(X(until)), y = top - 8, text = `waiting for ${waited.toFixed(1)} s`; if (to - from < 8) return;
    x.beginPath(); if (at >= this.a) { x.moveTo(from, y + 6); x.lineTo(from, y); } else x.moveTo(gut, y);
    x.lineTo(to, y); if (until <= this.b) x.lineTo(to, y + 6);
    x.stroke(); x.font = `600 11.5px ${FONT}`; x.textAlign = "center"; const width = this.width(x, text) + 10, middle = Math.max(gut + width / 2, Math.min(right - width / 2, (from + to) / 2));
    if (width < right - gut) { x.fillStyle = paper; x.fillRect(middle - width / 2, y - 8, width, 15); x.fillStyle = bad; x.fillText(text, middle, y); }
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
    if (!this.strip) this.ask("strip", true, () => this.sharing(this.data.ranks.map((_, r) => r), 0, end, n), found => {
      this.strip = new Float32Array(n);
      for (const bytes of found) if (bytes) for (let c = 0; c < n; c++) this.strip[c] = Math.min(1, this.strip[c] + bytes[c] / 255);
    });
    const X = t => gut + t / end * (right - gut);
    x.fillStyle = C.lane; x.fillRect(gut, 0, right - gut, 28); x.fillStyle = C.faint;
    if (this.strip) for (let c = 0; c < n; c++) { const from = Math.round(X(c * end / n)); x.fillRect(from, 28 - 28 * this.strip[c], Math.round(X((c + 1) * end / n)) - from, 28 * this.strip[c]); }
    if (this.data.diverged) { x.fillStyle = C.bad; x.fillRect(X(this.data.at), 0, 2, 28); }
    x.strokeStyle = C.ink; x.lineWidth = 1.5; x.strokeRect(X(this.a) + .75, .75, Math.max(3, X(this.b) - X(this.a) - 1.5), 26.5);
    x.font = `11px ${FONT}`; x.fillStyle = C.faint; x.textAlign = "left"; x.fillText(this.data.since ? `${this.second(0).toFixed(3)} s` : "0 s", gut, 37); x.textAlign = "right"; x.fillText(this.data.since ? `${this.second(end).toFixed(3)} s` : this.time(end), right, 37);
    x.fillText("run", gut - 8, 14);
  }
}
