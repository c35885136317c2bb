// What a person does with the lanes of a job.
class View extends Boxes {
  constructor(root, data, columns) {
    super(data, columns);
    Object.assign(this, { root, picked: null, linked: [], opened: new Set(), by: "calls" });
    const hosts = new Set(data.hosts).size; if (hosts > 1 && hosts <= 32) this.by = "host";
    this.one = selector => root.querySelector(selector);
    this.one(".draw").hidden = false;
    for (const element of root.querySelectorAll(".to")) element.textContent = data.diverged ? "divergence" : "latest arrival";
    for (const element of root.querySelectorAll(".many")) element.hidden = data.ranks.length <= 64;
    const used = new Map(data.groups.map(([, kind]) => [kind, colourOf(kind)]));
    this.one(".legend").append(...[...used].slice(0, 8).map(([kind, colour]) => {
      const chip = document.createElement("button"); chip.className = "group"; chip.style.setProperty("--g", `var(--g${colour})`); chip.append(kind);
      chip.setAttribute("aria-pressed", "true"); chip.title = "hide or show its calls"; chip.addEventListener("click", () => this.hide(kind, chip)); return chip;
    }));
    if (this.steps) this.one(".steps").textContent = `Steps are inferred: the calls at ${this.steps.site}, counted in what is recorded.`;
    this.cv = this.one(".cv"); this.mini = this.one(".mini");
    this.choose([]); this.colours(); this.goTo(); this.filter(""); this.events();
    const stuck = data.named.find(r => this.stuckOn[r] >= 0);
    if (stuck !== undefined) this.pick(stuck, this.stuckOn[stuck]); else if (!data.diverged && !live && data.at !== null) this.pickLatest();
  }
  filter(text) {
    this.one(".filter").value = text;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), count = this.choose(words);
    this.one(".count").textContent = words.length ? `${count.toLocaleString("en")} of ${this.start.length.toLocaleString("en")} calls` : "";
    this.arrange(); this.draw(); this.prepare(); keep(this);
  }
  group(by) { this.by = by; this.sameCalls = null; this.arrange(); this.draw(); this.prepare(); }
  hide(kind, chip) {
    if (!this.hidden.delete(kind)) this.hidden.add(kind);
    chip.setAttribute("aria-pressed", `${!this.hidden.has(kind)}`); this.filter(this.one(".filter").value);
  }
  // The call that came latest: of the slow rank if there is one.
  pickLatest() {
    let best = null;
    for (const r of this.data.named.length ? this.data.named.slice(0, 1) : this.data.ranks.map((_, r) => r))
      for (let i = this.first[r]; i < this.first[r + 1]; i++) if (this.late[i] && (!best || this.late[i] > this.late[best[1]])) best = [r, i];
    if (best) this.pick(...best);
  }
  // A while after the view has come to rest: the ranks that are alike in it.
  settle() {
    clearTimeout(this.settling);
    if (this.by === "calls" && this.data.ranks.length > 64) this.settling = setTimeout(() => this.ask("classes", false, () => this.classing(this.a, this.b), found => {
      if (this.by !== "calls" || !this.sameCalls || found.every((n, r) => n === this.sameCalls[r])) return;
      this.sameCalls = found; this.arrange(); this.draw(); this.prepare();
    }), 250);
  }

  goTo() {
    const { at, end } = this.data, isNew = live && !this.data.diverged, here = isNew ? end : at;
    if (here === null || here === undefined) return this.look(0, end);
    // Some calls before and, where the run goes on, behind it.
    let before = here, behind = end;
    for (let r = 0; r < Math.min(64, this.data.ranks.length); r++) {
      const next = bisect(this.first[r], this.first[r + 1], i => this.start[i] > here);
      before = Math.min(before, this.start[Math.max(this.first[r], next - 12 * (1 + 3 * isNew))] ?? here);
      behind = Math.min(behind, next + 12 < this.first[r + 1] ? this.start[next + 12] : end);
    }
    if (this.data.diverged) this.look(Math.max(0, at - Math.max(at - before, (end - at) * .6)), end);
    else this.look(before - .02 * (behind - before), Math.max(behind, here + (here - before) * .1));
    this.moved = false;
  }
  look(a, b) {
    const span = Math.min(Math.max(b - a, 20), this.data.end), low = Math.max(0, Math.min(a, this.data.end - span));
    [this.a, this.b, this.moved] = [low, low + span, true]; this.tasks.delete("classes"); this.draw(); this.settle(); keep(this);
  }
  zoom(factor, at = (this.a + this.b) / 2) { this.look(at - (at - this.a) * factor, at + (this.b - at) * factor); }
  move(share) { const by = share * (this.b - this.a); this.look(this.a + by, this.b + by); }

  pick(r, i) {
    this.picked = [r, i]; const [op, group, site] = this.data.whats[this.what[i]], flags = this.flags[i], parts = this.linked = this.partners(this.picked);
    const how = flags & OPEN ? `did not end; ${parts.length} rank${parts.length > 1 ? "s are" : " is"} in it` : `${flags & FAILED ? "failed after" : "took"} ${this.time(this.took[i])}`;
    const late = this.late[i] ? `, ${this.time(this.late[i])} behind the rank before it` : "";
    const waited = flags & ASYNC ? "asynchronous" : this.wait[i] && !(flags & (OPEN | FAILED)) ? `${this.time(this.wait[i])} of it waiting for the last rank` : flags & LAST ? `came last${late}` : "";
    const [, , , stack] = this.data.whats[this.what[i]];
    this.one(".at").replaceChildren(...this.data.stacks[stack].map(frame => { const line = document.createElement("li"); line.append(frame); return line; }));
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
    const same = this.linked.find(([rank]) => rank === q);
    const near = Math.max(this.first[q], bisect(this.first[q], this.first[q + 1], j => this.start[j] > this.start[i]) - 1);
    if (same || near < this.first[q + 1]) this.pick(q, same ? same[1] : near);
  }
  // Opens or closes the innermost lane that the selected rank shares.
  enter() {
    const shared = this.lanes.filter(lane => lane.ranks.length > 1), here = shared.filter(lane => !this.picked || lane.ranks.includes(this.picked[0]));
    this.toggle(this.picked ? here[here.length - 1] : here[0]);
  }
  do(key) {
    const deeds = { w: () => this.zoom(.6), s: () => this.zoom(1 / .6), a: () => this.move(-.25), d: () => this.move(.25), f: () => this.look(0, this.data.end), x: () => { this.goTo(); keep(this); },
      h: () => this.group("host"), g: () => this.group("calls"), c: () => this.root.querySelector(".copy")?.click(), Enter: () => this.enter(),
      ArrowLeft: () => this.next(-1), ArrowRight: () => this.next(1), ArrowUp: () => this.other(-1), ArrowDown: () => this.other(1), "/": () => this.one(".filter").focus(),
      Escape: () => { this.picked = null; this.one(".detail").textContent = ""; this.one(".at").replaceChildren(); this.filter(""); } };
    if (deeds[key]) { deeds[key](); return true; }
    return false;
  }
  events() {
    const { cv, mini } = this; let held = null;
    const t = px => this.a + (px - this.geo.gut) / this.geo.scale;
    // Fingers on the lanes: two of them hold the times that they were put on.
    const fingers = new Map(), pinched = () => [...fingers.values()].slice(0, 2);
    cv.addEventListener("pointerdown", event => {
      fingers.set(event.pointerId, { x: event.offsetX, t: t(event.offsetX) }); cv.setPointerCapture(event.pointerId);
      held = { x: event.offsetX, a: this.a, b: this.b, moved: fingers.size > 1 };
      for (const finger of fingers.values()) finger.t = t(finger.x);
    });
    cv.addEventListener("pointermove", event => {
      if (!held || !fingers.has(event.pointerId)) return;
      fingers.get(event.pointerId).x = event.offsetX;
      if (fingers.size > 1) {
        const [p, q] = pinched(); if (Math.abs(p.x - q.x) < 8 || (q.t - p.t) * (q.x - p.x) <= 0) return;
        const each = (q.t - p.t) / (q.x - p.x), from = p.t - (p.x - this.geo.gut) * each;
        this.look(from, from + (this.geo.right - this.geo.gut) * each); return;
      }
      const by = (event.offsetX - held.x) / this.geo.scale; held.moved ||= Math.abs(event.offsetX - held.x) > 4;
      if (held.moved) this.look(held.a - by, held.b - by);
    });
    cv.addEventListener("pointerup", event => {
      const wasClick = held && !held.moved; fingers.delete(event.pointerId);
      // The finger that stays moves on from where it is.
      held = fingers.size ? { x: pinched()[0].x, a: this.a, b: this.b, moved: true } : null; if (!wasClick) return;
      const lane = this.lanes.find(one => event.offsetY >= one.y && event.offsetY < one.y + this.geo.step), at = t(event.offsetX), slack = 3 / this.geo.scale;
      if (event.offsetX < this.geo.gut) return this.toggle(lane);
      for (const r of lane ? lane.ranks : []) {
        const [low, high] = this.within(r, at - slack, at + slack);
        for (let i = high; i-- > low;) if (this.start[i] + this.took[i] >= at - slack) return this.pick(r, i);
      }
    });
    cv.addEventListener("pointercancel", event => { fingers.delete(event.pointerId); held = null; });
    cv.addEventListener("wheel", event => { if (event.ctrlKey) { event.preventDefault(); this.zoom(event.deltaY > 0 ? 1.25 : .8, t(event.offsetX)); } }, { passive: false });
    mini.addEventListener("click", event => { const at = (event.offsetX - this.geo.gut) / (this.geo.right - this.geo.gut) * this.data.end, half = (this.b - this.a) / 2; this.look(at - half, at + half); });
    this.one(".filter").addEventListener("input", event => this.filter(event.target.value));
    for (const button of this.root.querySelectorAll("[data-do]")) button.addEventListener("click", () => this.do(button.dataset.do));
    for (const button of this.root.querySelectorAll(".find")) button.addEventListener("click", () => { this.filter(button.dataset.find); this.one(".lanes").scrollIntoView({ block: "start" }); });
    new ResizeObserver(() => this.draw()).observe(cv);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.colours(); this.draw(); });
  }
}

// Seconds until this file may have been written again: the job is running; 0 if it has ended.
const live = Number(document.documentElement.dataset.live || 0);
const drawn = [];
// The view of the first job is in the address: `#t=11.2-13.2&q=rank:3`. Without `t` the page chooses.
let isKept = false, keeping = 0;
function address() {
  const { a, b, moved, words } = drawn[0], parts = [];
  if (moved) parts.push(`t=${drawn[0].second(a).toFixed(6)}-${drawn[0].second(b).toFixed(6)}`);
  if (words.length) parts.push(`q=${words.map(encodeURIComponent).join("+")}`);
  history.replaceState({ y: scrollY }, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
}
function keep(view) {
  if (!isKept || view !== drawn[0]) return;
  clearTimeout(keeping); keeping = setTimeout(address, 250);
}
function restore() {
  const view = drawn[0], wanted = new URLSearchParams(location.hash.slice(1)), [from, to] = (wanted.get("t") || "").split("-").map(Number);
  isKept = false; if ((wanted.get("q") || "") !== view.words.join(" ")) view.filter(wanted.get("q") || "");
  if (to > from) view.look((from - view.data.since) / view.data.tick, (to - view.data.since) / view.data.tick);
  isKept = true;
}
async function open(root) {
  if (drawn.some(view => view.root === root)) return;
  const data = JSON.parse(root.querySelector(".calls").textContent);
  const columns = await Promise.all(Object.entries(data.columns).map(async ([name, text]) => [name, await unpacked(text)]));
  if (!data.ranks.length || drawn.some(view => view.root === root)) return;
  drawn.push(new View(root, data, Object.fromEntries(columns)));
  if (drawn.length === 1) { restore(); if (history.state?.y) requestAnimationFrame(() => requestAnimationFrame(() => scrollTo(0, history.state.y))); }
}
for (const chip of document.querySelectorAll(".group[data-kind]")) chip.style.setProperty("--g", `var(--g${colourOf(chip.dataset.kind)})`);
for (const root of document.querySelectorAll(".job")) {
  if (root.tagName !== "DETAILS" || root.open) open(root);
  root.addEventListener("toggle", () => { if (root.open) open(root); });
}
for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", async () => {
  // The lines that it puts in, to paste over those that it takes away.
  const text = [...button.closest(".fix").querySelectorAll(".in")].map(line => line.textContent.slice(1)).join("\n"), words = button.textContent;
  try { await navigator.clipboard.writeText(text); }
  catch {
    // A browser may keep the clipboard from a file: the text is selected and copied as by hand.
    const area = document.createElement("textarea"); area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
  }
  button.textContent = "copied"; setTimeout(() => { button.textContent = words; }, 1500);
});
addEventListener("hashchange", () => { if (drawn.length) restore(); });
document.addEventListener("keydown", event => {
  const isText = event.target.matches?.("input"), onLanes = event.key.startsWith("Arrow") || event.key === "Enter";
  const view = drawn.find(one => one.root.contains(event.target)) || drawn.find(one => one.root.tagName !== "DETAILS" || one.root.open);
  if (!view || event.ctrlKey || event.metaKey || event.altKey || isText && event.key !== "Escape" || onLanes && event.target !== view.cv) return;
  if (view.do(event.key)) event.preventDefault();
});
if (live) {
  // Not under somebody's hands, and only where it is seen.
  let touched = -Infinity;
  for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"]) addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  // Nobody may write the page any more: it then says so itself.
  const state = document.querySelector(".live"), [written, words] = [Number(state.dataset.written), state.textContent];
  setInterval(() => { if (Date.now() / 1000 - written > 3 * live + 10) state.textContent = `${words.replace("running, as", "as")}, not written since: the job may have ended, or nothing watches it`; }, 1000);
  setInterval(() => {
    if (document.hidden || performance.now() - touched < 3000) return;
    if (drawn.length) address();
    location.reload();
  }, 1000 * live);
}
