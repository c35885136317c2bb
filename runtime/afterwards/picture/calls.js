"use strict";
const OPEN = 1, ASYNC = 2, LAST = 4, DIVERGED = 8, PAIR = 16, FAILED = 32;
const FONT = '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Liberation Sans", system-ui, sans-serif';
const css = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
// A colour belongs to a kind of group, since there may be 500 groups.
const kinds = new Map([["default group", 0]]);
function colourOf(kind) {
  if (!kinds.has(kind)) kinds.set(kind, 1 + (kinds.size - 1) % 4);
  return kinds.get(kind);
}

// A colour as the number that it is in an image, and one between two of them.
const pixel = colour => { const n = parseInt(colour.slice(1), 16); return (0xff000000 | (n & 255) << 16 | n & 0xff00 | n >> 16) >>> 0; };
const mixed = (p, q, share) => [0, 8, 16].reduce((sum, at) => (sum | Math.round((p >> at & 255) * (1 - share) + (q >> at & 255) * share) << at) >>> 0, 0xff000000);

async function unpacked(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint32Array(await new Response(stream).arrayBuffer());
}

const idle = window.requestIdleCallback || (task => setTimeout(task, 20));
// Milliseconds of a frame that counting calls may take, and after how many calls it looks at the clock.
const SLICE = 8, PIECE = 8000;
// What a generator returns, now.
function finish(task) { for (;;) { const { done, value } = task.next(); if (done) return value; } }
// The first index in [low, high) for which `is` holds; it holds for all behind that.
function bisect(low, high, is) {
  while (low < high) { const middle = (low + high) >>> 1; if (is(middle)) high = middle; else low = middle + 1; }
  return low;
}

// The calls of a job, by rank and start; which of them a filter shows; and what many of them look like from afar.
class Calls {
  constructor(data, columns) {
    Object.assign(this, { data, ...columns, words: [], hidden: new Set(), made: new Map(), tasks: new Map() });
    this.first = [0];
    for (const count of data.counts) this.first.push(this.first[this.first.length - 1] + count);
    // Starts from the beginning of the run; `reach`: the latest end of a call and those before it on its rank, to bisect.
    this.reach = new Uint32Array(this.start.length);
    // The call of the divergence on each rank, -1 for none.
    this.stuckOn = new Int32Array(data.ranks.length).fill(-1);
    for (let r = 0; r < data.counts.length; r++)
      for (let i = this.first[r], at = 0, reach = 0; i < this.first[r + 1]; i++) {
        at += this.start[i]; this.start[i] = at; reach = Math.max(reach, at + this.took[i]); this.reach[i] = reach;
        if (this.flags[i] & DIVERGED) this.stuckOn[r] = i;
      }
    for (const label of data.groups) label[0] = label[0].replaceAll("`", "");
    this.kindOf = data.whats.map(([, group]) => data.groups[group][1]);
    // The same number for calls of one operation, group and site, whatever their stacks.
    const keys = new Map();
    this.call = Uint32Array.from(data.whats, ([op, group, site]) => { const key = `${op} ${group} ${site}`; if (!keys.has(key)) keys.set(key, keys.size); return keys.get(key); });
    this.kind = Uint8Array.from(this.kindOf, colourOf);
    this.texts = data.whats.map(([op, group, site]) => `${data.ops[op]} ${data.groups[group].join(" ")} ${data.sites[site]}`.toLowerCase());
    // Of a part of the run it is not known how many steps were before.
    this.steps = data.since ? null : this.inferred();
    const late = this.late.filter(Boolean).sort();
    // A lateness that is worth a label: one of the longest hundredth, or of the longest ten.
    this.worth = late.length ? Math.max(late[Math.max(0, late.length - Math.max(10, late.length / 100 | 0))], 1e-3 / data.tick) : Infinity;
  }

  choose(words) {
    this.words = words; this.made.clear(); this.tasks.clear(); this.strip = null;
    const plain = words.filter(word => !word.startsWith("rank:")), only = words.filter(word => word.startsWith("rank:")).map(word => word.slice(5));
    // Calls of a hidden kind of group are not there at all, those that the words leave out stay as shadows.
    this.gone = Uint8Array.from(this.kindOf, kind => this.hidden.has(kind));
    this.fits = Uint8Array.from(this.texts, (have, what) => !this.gone[what] && plain.every(word => have.includes(word)));
    this.fitsRank = this.data.ranks.map(rank => !only.length || only.includes(`${rank}`));
    let count = 0;
    if (words.length) this.fitsRank.forEach((is, r) => { if (is) for (let i = this.first[r]; i < this.first[r + 1]; i++) count += this.fits[this.what[i]]; });
    return count;
  }
  shown(r, i) { return this.fitsRank[r] && this.fits[this.what[i]]; }
  // The calls of a rank that are in a range of time, as [low, high).
  within(r, from, to) {
    const low = this.first[r], high = this.first[r + 1];
    return [bisect(low, high, i => this.reach[i] >= from), bisect(low, high, i => this.start[i] > to)];
  }
  // The calls of other ranks that belong to one: same group and number, and overlapping in time.
  partners([r, i]) {
    const group = this.data.whats[this.what[i]][1], number = this.sequence[i], from = this.start[i], to = from + this.took[i], found = [];
    if (!(this.flags[i] & PAIR)) for (let q = 0; q < this.data.ranks.length; q++) {
      const [low, high] = this.within(q, from, to);
      for (let j = low; j < high; j++)
        if (this.sequence[j] === number && this.data.whats[this.what[j]][1] === group && !(this.flags[j] & PAIR)) { found.push([q, j]); break; }
    }
    return found.length ? found : [[r, i]];
  }

  // For n equal parts of a range of time: the share of the ranks' time that calls take, as bytes; an array for each colour and way, at 2 * colour
  // the solid part, behind it the hatched one, undefined where there is none. It pauses now and then.
  *sharing(ranks, from, to, n) {
    const each = (to - from) / n, edges = [], whole = []; let left = PIECE;
    const add = (slot, a, b) => {
      const s = Math.max(a, from) - from, e = Math.min(b, to) - from; if (e <= s) return;
      const edge = edges[slot] ||= new Float32Array(n), full = whole[slot] ||= new Int32Array(n + 1);
      const c = Math.min(n - 1, Math.floor(s / each)), d = Math.min(n - 1, Math.floor(e / each));
      // A call may cover all parts: those that it fills are counted at its ends.
      if (c === d) edge[c] += e - s; else { edge[c] += (c + 1) * each - s; edge[d] += e - d * each; full[c + 1]++; full[d]--; }
    };
    for (const r of ranks) if (this.fitsRank[r]) {
      const [low, high] = this.within(r, from, to); left -= 16;
      for (let i = low; i < high; i++) {
        if (this.fits[this.what[i]]) {
          const slot = 2 * this.kind[this.what[i]], s = this.start[i], all = s + this.wait[i];
          add(slot + 1, s, all); add(slot, all, s + this.took[i]);
        }
        if (!--left) { left = PIECE; yield; }
      }
      if (left <= 0) { left = PIECE; yield; }
    }
    return edges.map((edge, slot) => {
      const bytes = new Uint8Array(n);
      for (let c = 0, full = 0; c < n; c++) { full += whole[slot][c]; bytes[c] = Math.min(255, Math.round(255 * (edge[c] / each + full) / ranks.length)); }
      return bytes;
    });
  }
  // Into how many parts the whole run is divided for a lane, at most.
  finest(lane) {
    lane.calls ??= lane.ranks.reduce((sum, r) => sum + this.data.counts[r], 0);
    let n = 1024; while (n < lane.calls && n < 1 << 18) n *= 2;
    return n;
  }
  // The shares of a lane over the whole run in 2^k parts, and in half as many, and so on: made once for a lane and a filter.
  *levelling(lane) {
    let n = this.finest(lane);
    const list = [yield* this.sharing(lane.ranks, 0, this.data.end, n)];
    for (; n > 256; n /= 2) list.push(list[list.length - 1].map(bytes => { const half = new Uint8Array(n / 2); for (let c = 0; c < half.length; c++) half[c] = (bytes[2 * c] + bytes[2 * c + 1] + 1) >> 1; return half; }));
    if (this.made.size > 500) this.made.clear();
    this.made.set(lane.key, list); return list;
  }
  levels(lane) { return this.made.get(lane.key) || finish(this.levelling(lane)); }

  // Has something counted, piece by piece: in the rest of this frame and in the next ones if it is to be seen, else while nothing else is to do.
  ask(key, isSeen, task, then) {
    const known = this.tasks.get(key);
    if (known) known.isSeen ||= isSeen; else this.tasks.set(key, { isSeen, task: task(), then });
    this.later();
  }
  later() {
    if (this.waits || !this.tasks.size) return;
    const isSeen = [...this.tasks.values()].some(one => one.isSeen);
    this.waits = true; (isSeen ? requestAnimationFrame : idle)(() => { this.waits = false; this.count(performance.now() + SLICE); });
  }
  count(until) {
    while (this.tasks.size && performance.now() < until) {
      const [key, one] = [...this.tasks].find(([, task]) => task.isSeen) || this.tasks.entries().next().value;
      let step; do step = one.task.next(); while (!step.done && performance.now() < until);
      if (step.done) { this.tasks.delete(key); one.then(step.value); if (one.isSeen) this.draw(); }
    }
    this.later();
  }
  // The levels of all lanes, while nothing else is to do: zooming out then takes no longer than moving.
  prepare() { for (const lane of this.lanes) if (!this.made.has(lane.key)) this.ask(`levels ${lane.key}`, false, () => this.levelling(lane), () => {}); }

  // A number for each rank that is the same for ranks whose calls in a range of time are of the same operations, kinds of groups and sites, the last one
  // in the same state. It pauses now and then.
  *classing(from, to) {
    const { data } = this, keys = new Map(), numbers = new Map(), found = []; let left = PIECE;
    const key = data.whats.map(([op, , site], what) => { const text = `${op} ${this.kindOf[what]} ${site}`; if (!keys.has(text)) keys.set(text, keys.size + 1); return keys.get(text); });
    const seen = new Int32Array(keys.size + 1).fill(-1), hashed = n => Math.imul(Math.imul(n, 0x9e3779b1) ^ (n >>> 7), 0x85ebca6b) >>> 0;
    for (let r = 0; r < data.ranks.length; r++) {
      let sum = 0, last = -1; const [low, high] = this.within(r, from, to); left -= 16;
      for (let i = low; i < high; i++) {
        if (this.start[i] + this.took[i] >= from) { const k = key[this.what[i]]; last = i; if (seen[k] !== r) { seen[k] = r; sum = (sum + hashed(k)) >>> 0; } }
        if (!--left) { left = PIECE; yield; }
      }
      if (left <= 0) { left = PIECE; yield; }
      const text = last < 0 ? "none" : `${sum} ${key[this.what[last]]} ${this.flags[last] & (OPEN | DIVERGED | FAILED)}`;
      if (!numbers.has(text)) numbers.set(text, numbers.size);
      found.push(numbers.get(text));
    }
    return found;
  }
  // The ranks that came latest in all, 8 at most.
  latest() {
    this.slowest ||= this.data.ranks.map((_, r) => { let n = 0; for (let i = this.first[r]; i < this.first[r + 1]; i++) n += this.late[i]; return [n, r]; })
      .filter(([n]) => n).sort((a, b) => b[0] - a[0]).slice(0, 8).map(([, r]) => r);
    return this.slowest;
  }
  // The steps of the job: the starts of the calls at one site on its first rank. It is the site that all ranks of the largest group call equally often,
  // four times or more, with the steadiest period; null where none is steady.
  inferred() {
    const { data } = this, users = data.groups.map(() => []), times = new Map();
    for (let r = 0; r < data.ranks.length; r++) for (let i = this.first[r]; i < this.first[r + 1]; i++) {
      const list = users[data.whats[this.what[i]][1]]; if (list[list.length - 1] !== r) list.push(r);
    }
    const group = users.reduce((best, list, g) => best < 0 || list.length > users[best].length ? g : best, -1);
    if (group < 0) return null;
    const counts = users[group].map(r => {
      const count = new Map();
      for (let i = this.first[r]; i < this.first[r + 1]; i++) if (data.whats[this.what[i]][1] === group && !(this.flags[i] & DIVERGED)) {
        const call = this.call[this.what[i]]; count.set(call, (count.get(call) || 0) + 1);
        if (r === users[group][0]) { if (!times.has(call)) times.set(call, { site: data.whats[this.what[i]][2], starts: [] }); times.get(call).starts.push(this.start[i]); }
      }
      return count;
    });
    let best = null;
    for (const [call, { site, starts }] of times) {
      if (starts.length < 4 || !counts.every(count => count.get(call) === starts.length)) continue;
      const gaps = starts.slice(1).map((start, n) => start - starts[n]), mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
      const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length) / mean;
      if (spread < .3 && (!best || spread < best.spread)) best = { spread, starts, site: data.sites[site] };
    }
    return best;
  }
}
