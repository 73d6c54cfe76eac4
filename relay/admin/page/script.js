
"use strict";
// The status page: asks /status.json once a second and shows what has changed. No text from relay is ever taken for
// markup: everything goes in by textContent and attributes.

const EVERY_MS = 1000, KEPT = 180, SHOWN_LEAST = 60, WINDOW = 60;

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// One child for each item, found again by its key, in the order of the items.
function each(parent, items, key, create, update) {
  parent.kept ??= new Map();
  const kept = new Map();
  items.forEach((item, at) => {
    const name = String(key(item, at));
    const child = parent.kept.get(name) ?? create(item);
    kept.set(name, child);
    update(child, item);
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  for (const [name, child] of parent.kept) if (!kept.has(name)) child.remove();
  parent.kept = kept;
}

// ---- numbers

const scaled = (value, units, base) => {
  let at = 0;
  while (value >= 999.5 && at < units.length - 1) { value /= base; at++; }
  const digits = value >= 99.95 || Number.isInteger(value) ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[at]}`;
};
const bytes = (value) => scaled(value, ["B", "kB", "MB", "GB", "TB", "PB"], 1000);
const rate = (value) => scaled(value, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"], 1000);
const count = (value) => Math.round(value).toLocaleString("en-US");
const micros = (us) => us < 1000 ? `${Math.round(us)} µs` : us < 1e6 ? `${+(us / 1000).toPrecision(3)} ms` : span(us / 1000);
function span(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60e3) return `${(ms / 1000).toFixed(ms < 10e3 && ms % 1000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60e3);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}
const words = (name) => name.replaceAll("_", " ");
const sum = (object) => Object.values(object).reduce((a, b) => a + b, 0);

// ---- what has been seen

const seen = [];  // newest last: {at, in, out, subscribers, lag, status}

function difference(now, before) {
  return now.map((bucket, at) => ({le: bucket.le, count: bucket.count - (before?.[at]?.count ?? 0)}));
}

function quantile(buckets, share, most) {
  const wanted = share * buckets.reduce((all, bucket) => all + bucket.count, 0);
  let reached = 0;
  for (const bucket of buckets) {
    reached += bucket.count;
    if (wanted && reached >= wanted) return Math.min(bucket.le ?? most, most);
  }
  return 0;
}

const total = (status, name) => status.feeds.reduce((all, feed) => all + feed.metrics[name], 0);

// Since then, over all workers: the turns, by how long they took.
function turns(status, before) {
  const merged = [];
  for (const worker of status.workers) {
    const old = before?.workers.find((one) => one.index === worker.index);
    difference(worker.lag_us.buckets, old?.lag_us.buckets).forEach((bucket, at) => {
      merged[at] ??= {le: bucket.le, count: 0};
      merged[at].count += bucket.count;
    });
  }
  return merged;
}

function remember(status) {
  const last = seen.at(-1);
  if (last && (last.status.relay.pid !== status.relay.pid || status.relay.uptime_s <= last.at)) seen.length = 0;
  const before = seen.at(-1);
  const seconds = before ? status.relay.uptime_s - before.at : 0;
  const speed = (name) => seconds
    ? Math.max(0, total(status, name) - total(before.status, name)) / seconds : 0;
  seen.push({
    at: status.relay.uptime_s,
    in: before ? speed("in_bytes") : status.feeds.reduce((all, feed) => all + feed.rate_in, 0),
    out: before ? speed("delivered_bytes") : status.feeds.reduce((all, feed) => all + feed.rate_out, 0),
    subscribers: status.relay.subscribers,
    blocked: total(status, "subscribers_blocked"),
    lag: quantile(turns(status, before?.status), 0.99, Math.max(...status.workers.map((w) => w.lag_us.max))),
    status,
  });
  if (seen.length > KEPT) seen.shift();
}

// The status of a while ago, to tell what has happened since.
const earlier = () => seen.length > 1 ? seen[Math.max(0, seen.length - 1 - WINDOW)].status : undefined;

// ---- charts

function niceTop(most, step) {
  if (most <= 0) return step;
  const power = 10 ** Math.floor(Math.log10(most));
  return Math.max(step, [1, 2, 5, 10].find((f) => f * power >= most) * power);
}

class Chart {
  constructor(id, title, lines, print, step = 1) {
    Object.assign(this, {lines, print, step, hovered: null});
    this.figure = $(id);
    this.values = lines.map((line, at) => {
      const value = make("span", {class: "value"});
      return {value, key: make("span", {class: `key c${line.colour ?? at}`}), name: line.name};
    });
    this.when = make("span");
    this.caption = make("figcaption", {}, make("strong", {}, title));
    for (const one of this.values) {
      one.key.textContent = `${one.name} `;
      one.key.append(one.value);
      this.caption.append(one.key);
    }
    this.caption.append(this.when);
    this.svg = draw("svg", {role: "img", "aria-label": title});
    this.figure.append(this.caption, this.svg);
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      this.hovered = (event.clientX - box.left) / box.width;
      this.show();
    });
    this.svg.addEventListener("pointerleave", () => { this.hovered = null; this.show(); });
  }

  show() {
    if (!seen.length) return;
    const width = this.svg.clientWidth || 300, height = this.svg.clientHeight || 130, low = height - 16, high = 16;
    const newest = seen.at(-1).at, shown = Math.min(KEPT, Math.max(SHOWN_LEAST, newest - seen[0].at));
    const x = (point) => width - (newest - point.at) * width / shown;
    const top = niceTop(Math.max(...seen.flatMap((point) => this.lines.map((line) => point[line.of]))), this.step);
    const y = (value) => low - value / top * (low - high);
    const parts = [];
    for (const share of [0, .5, 1]) {
      parts.push(draw("line", {class: "grid", x1: 0, x2: width, y1: y(top * share), y2: y(top * share)}));
      if (!share) continue;
      const label = draw("text", {x: 0, y: y(top * share) - 3});
      label.textContent = this.print(top * share).replace(/\.(\d*?)0+ /, (_, rest) => rest ? `.${rest} ` : " ");
      parts.push(label);
    }
    for (const [share, anchor] of [[0, "start"], [.5, "middle"], [1, "end"]]) {
      const label = draw("text", {x: width * share, y: height - 3, "text-anchor": anchor});
      label.textContent = share === 1 ? "now" : `−${Math.round((1 - share) * shown)} s`;
      parts.push(label);
    }
    this.lines.forEach((line, at) => {
      const points = seen.map((point) => `${x(point).toFixed(1)},${y(point[line.of]).toFixed(1)}`).join(" ");
      const group = draw("g", {class: `c${line.colour ?? at}`});
      group.append(
        draw("polygon", {class: "area", points: `${x(seen[0]).toFixed(1)},${low} ${points} ${width},${low}`}),
        draw("polyline", {class: "line", points}));
      parts.push(group);
    });
    let point = seen.at(-1);
    if (this.hovered !== null) {
      const wanted = newest - (1 - this.hovered) * shown;
      point = seen.reduce((best, one) => Math.abs(one.at - wanted) < Math.abs(best.at - wanted) ? one : best);
      parts.push(draw("line", {class: "cursor", x1: x(point), x2: x(point), y1: high, y2: low}));
    }
    this.svg.replaceChildren(...parts);
    say(this.when, this.hovered === null ? "" : `${span((newest - point.at) * 1000)} ago`);
    this.lines.forEach((line, at) => say(this.values[at].value, this.print(point[line.of])));
    this.svg.setAttribute("aria-label", `${this.caption.firstChild.textContent}: ` +
      this.lines.map((line) => `${line.name} ${this.print(seen.at(-1)[line.of])}`).join(", "));
  }
}

const charts = [
  new Chart("chart-in", "From publishers", [{name: "in", of: "in"}], rate, 1000),
  new Chart("chart-out", "To subscribers", [{name: "out", of: "out", colour: 1}], rate, 1000),
  new Chart("chart-subscribers", "Subscribers",
    [{name: "there", of: "subscribers"}, {name: "blocked", of: "blocked", colour: 2}], count, 10),
  new Chart("chart-lag", "Loop lag", [{name: "p99", of: "lag", colour: 2}], micros, 100),
];

// ---- pieces

function bars(list, rows) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  each(list, rows.flatMap((row) => ["name", "bar", "number"].map((part) => ({...row, part}))),
    (item) => `${item.name} ${item.part}`,
    (item) => item.part === "name" ? make("dt")
      : item.part === "bar" ? make("dd", {class: "bar", "aria-hidden": "true"}, make("i")) : make("dd", {class: "number"}),
    (element, item) => {
      if (item.part === "bar") element.firstChild.style.width = `${100 * item.count / most}%`;
      else say(element, item.part === "name" ? item.name : count(item.count));
    });
}

function named(buckets, print) {
  return buckets.map((bucket, at) => ({
    count: bucket.count,
    name: bucket.le === null ? `over ${print(buckets[at - 1].le)}` : bucket.le === 0 ? "none" : `up to ${print(bucket.le)}`,
  }));
}

// Buckets in the middle that are empty stay, those at both ends go.
function trimmed(rows) {
  const last = rows.findLastIndex((row) => row.count > 0), first = rows.findIndex((row) => row.count > 0);
  return rows.slice(Math.max(0, first), Math.max(last + 1, Math.min(rows.length, Math.max(0, first) + 3)));
}

function listed(object) {
  return Object.entries(object).map(([name, number]) => ({name: words(name), count: number}))
    .sort((a, b) => b.count - a.count);
}

class Table {
  constructor(columns, key) {
    this.columns = columns;
    this.key = key;
    this.body = make("tbody");
    this.element = make("table", {}, make("thead", {}, make("tr", {},
      ...columns.map((column) => make("th", {scope: "col", class: column.number ? "number" : ""}, column.name)))), this.body);
  }

  show(rows) {
    each(this.body, rows, this.key,
      () => make("tr", {}, ...this.columns.map((column) =>
        make("td", {"data-label": column.name, class: column.number ? "number" : ""}))),
      (row, item) => this.columns.forEach((column, at) => {
        say(row.children[at], column.text(item));
        const style = column.style?.(item) ?? "";
        row.children[at].className = `${column.number ? "number" : ""} ${style}`.trim();
      }));
  }
}

// ---- tiles

const tiles = [
  {name: "Subscribers", value: (s) => count(s.relay.subscribers), note: (s) => `of at most ${count(s.relay.max_subscribers)}`},
  {name: "In", value: () => rate(seen.at(-1).in), note: (s) => `${bytes(total(s, "in_bytes"))} so far`},
  {name: "Out", value: () => rate(seen.at(-1).out), note: (s) => `${bytes(total(s, "delivered_bytes"))} so far`},
  {name: "Blocked", value: (s) => count(total(s, "subscribers_blocked")),
    note: (s) => s.relay.pinned_bytes ? `${bytes(s.relay.pinned_bytes)} pinned` : "their socket is full"},
  {name: "Skips", value: (s) => count(total(s, "gaps")), note: (s, b) => recent(total(s, "gaps"), b && total(b, "gaps"))},
  {name: "Closed", value: (s) => count(closedBy(s)), note: (s, b) => recent(closedBy(s), b && closedBy(b))},
];
const closedBy = (status) => status.feeds.reduce((all, feed) => all + sum(feed.closed), 0);
const recent = (now, before) => before === undefined ? "" : `${count(Math.max(0, now - before))} in the last minute`;

function showTiles(status) {
  each($("tiles"), tiles, (tile) => tile.name,
    (tile) => make("div", {class: "tile"}, make("span", {class: "name"}, tile.name), make("b"), make("span", {class: "note"})),
    (element, tile) => {
      say(element.children[1], tile.value(status));
      say(element.children[2], tile.note(status, earlier()));
    });
}

// ---- feeds

const isOpen = new Map();

function cell(name) {
  return make("span", {class: "cell"}, make("span", {class: "name"}, name), make("span", {class: "value"}));
}

function part(title, ...inside) {
  return make("div", {}, make("h3", {}, title), ...inside);
}

const subscriberColumns = [
  {name: "Subscriber", text: (one) => `#${one.id} ${one.peer}`},
  {name: "Format", text: (one) => one.format},
  {name: "State", text: (one) => (one.cause ? `blocked: ${words(one.cause)}` : one.state) + (one.replaying ? ", reads the history" : ""),
    style: (one) => one.state === "blocked" ? "warn-text" : ""},
  {name: "Behind", number: true, text: (one) => bytes(one.lag_bytes)},
  {name: "By time", number: true, text: (one) => span(one.lag_ms)},
  {name: "Messages", number: true, text: (one) => count(one.lag_messages)},
  {name: "In its socket", number: true, text: (one) => bytes(one.queued_bytes)},
  {name: "Here for", number: true, text: (one) => span(one.connected_ms)},
];
const engineColumns = [
  {name: "Engine", text: (row) => row.name},
  {name: "Packets", number: true, text: (row) => count(row.packets)},
  {name: "Cost of late, ns/kB", number: true, text: (row) => row.cost_ps ? count(row.cost_ps) : "–"},
];

function makeFeed(feed) {
  const id = `detail-${feed.name}`, state = make("span", {class: "pill"}), source = make("span", {class: "source quiet"});
  const cells = ["In", "Out", "Subscribers", "Skips", "Engine"].map(cell);
  const button = make("button", {type: "button", "aria-controls": id},
    make("span", {class: "title"}, make("span", {class: "chevron"}), make("b", {}, feed.name), state, source), ...cells);
  const lag = make("dl", {class: "bars"}), closed = make("dl", {class: "bars"}), skipped = make("dl", {class: "bars"});
  const engines = new Table(engineColumns, (row) => row.name);
  const slowest = new Table(subscriberColumns, (one) => one.id);
  const none = make("p", {class: "none"}, "Nobody is behind.");
  const rule = make("p", {class: "quiet"});
  const notClosed = make("p", {class: "none"}, "None."), notSkipped = make("p", {class: "none"}, "None.");
  const enginePart = part("Engines", engines.element, rule);
  enginePart.className = "wide";
  const slowPart = part("Slowest subscribers", slowest.element, none);
  slowPart.className = "wide";
  const past = make("p"), pastPart = part("History", past);
  pastPart.className = "wide";
  const backbone = make("p"), backbonePart = part("NATS", backbone);
  backbonePart.className = "wide";
  const detail = make("div", {class: "detail", id},
    part("Subscribers, by how far behind", lag), part("Closed, by reason", closed, notClosed),
    part("Skips, by cause", skipped, notSkipped), pastPart, backbonePart, slowPart, enginePart);
  const set = (open) => {
    isOpen.set(feed.name, open);
    button.setAttribute("aria-expanded", open);
    detail.hidden = !open;
  };
  button.addEventListener("click", () => set(detail.hidden));
  const element = make("article", {class: "feed"}, button, detail);
  set(isOpen.get(feed.name) ?? false);
  element.update = (now) => {
    state.className = `pill ${now.source_up ? "good" : "bad"}`;
    say(state, now.source_up ? "source up" : "no source");
    say(source, now.origin ? `${now.source} · ${now.origin} for ${span(Date.now() - now.origin_since_ms)}` : now.source);
    const values = cells.map((one) => one.lastChild);
    say(values[0], rate(now.rate_in));
    say(values[1], rate(now.rate_out));
    say(values[2], now.metrics.subscribers_blocked
      ? `${count(now.metrics.subscribers)} (${count(now.metrics.subscribers_blocked)} blocked)` : count(now.metrics.subscribers));
    say(values[3], count(now.metrics.gaps));
    values[3].className = `value ${now.metrics.gaps ? "warn-text" : ""}`;
    say(values[4], enginesOf(now));
    if (detail.hidden) return;
    pastPart.hidden = !now.history;
    if (now.history) say(past, historyOf(now.history));
    past.className = now.history?.failing ? "warn-text" : "";
    say(backbone, backboneOf(now));
    backbonePart.hidden = !backbone.textContent;
    backbone.className = now.forward && !now.forward.up ? "warn-text" : "";
    bars(lag, trimmed(named(now.lag_ms.buckets, span)));
    bars(closed, listed(now.closed));
    notClosed.hidden = sum(now.closed) > 0;
    bars(skipped, listed(now.skipped_by));
    notSkipped.hidden = sum(now.skipped_by) > 0;
    const behind = now.slowest.filter((one) => one.lag_bytes > 0 || one.state === "blocked");
    slowest.show(behind);
    slowest.element.hidden = behind.length === 0;
    none.hidden = behind.length > 0;
    const used = enginesUsed(now);
    engines.show(used.map((name) => ({name, packets: now.metrics[`packets_${name}`], cost_ps: now.cost_ps[name]})));
    engines.element.hidden = used.length === 0;
    say(rule, ruleOf(now));
  };
  return element;
}

function enginesUsed(feed) {
  return ["splice", "compact", "copy"].filter((name) => feed.metrics[`packets_${name}`] > 0);
}

function enginesOf(feed) {
  return feed.engine === "auto" ? enginesUsed(feed).join(", ") || "auto" : feed.engine;
}

function historyOf(history) {
  const reach = history.oldest_session
    ? `Reaches back ${span(Date.now() - history.oldest_ms)}, to ${history.oldest_session}-${history.oldest_seq}`
    : "Nothing is recorded yet";
  return `${reach}. The recorder has ${count(history.lag_messages)} messages to write. `
    + `${count(history.readers)} subscribers read it.${history.failing ? " It cannot be written." : ""}`;
}

function backboneOf(feed) {
  const seen = feed.metrics, said = [];
  if (feed.source.startsWith("jetstream:")) said.push(`${count(seen.nats_lag)} messages of the stream have not come yet.`);
  if (/^(jetstream|nats):/.test(feed.source)) said.push(`It was read anew ${count(seen.nats_renewals)} times.`);
  if (feed.forward) {
    const {to, server, up, looking} = feed.forward;
    said.push(`${up ? "Forwarded" : "Not forwarded"} to ${to}${server && ` by ${server}`}: ${count(seen.forward_lag)} messages `
      + `wait. ${count(seen.forward_duplicates)} were there already, ${count(seen.forward_missed + seen.forward_too_long)} left out.`
      + (looking ? " Relay asks the stream for its last messages." : ""));
  }
  return said.join(" ");
}

function ruleOf(feed) {
  if (feed.engine !== "auto") return `Always ${feed.engine}, by the configuration.`;
  const seen = feed.slot_bytes ? ` Of late, fragments had ${bytes(feed.slot_bytes)}.` : "";
  return `Packets below ${bytes(feed.copy_below)} are copied. Larger ones of small fragments are compacted for `
    + `${count(feed.compact_readers)} subscribers or more.${seen}`;
}

// ---- workers and listeners

function makeWorker(worker) {
  const facts = make("span", {class: "quiet"}), list = make("dl", {class: "bars"});
  const element = make("div", {class: "card"}, make("p", {}, make("b", {}, `Worker ${worker.index}`), facts), list);
  element.update = (now) => {
    const before = earlier()?.workers.find((one) => one.index === now.index);
    const buckets = difference(now.lag_us.buckets, before?.lag_us.buckets);
    say(facts, `${count(now.subscribers)} subscribers, ${count(now.homes)} feeds · p50 ${micros(now.lag_us.p50)}, ` +
      `p99 ${micros(now.lag_us.p99)}, longest ${micros(now.lag_us.max)}`);
    bars(list, trimmed(named(buckets, micros)));
  };
  return element;
}

const listeners = new Table([
  {name: "Listener", text: (one) => one.name},
  {name: "Feed", text: (one) => one.feed},
  {name: "Format", text: (one) => one.format},
  {name: "Address", text: (one) => one.address || "closed"},
  {name: "Accepted", number: true, text: (one) => count(one.accepted)},
  {name: "Errors", number: true, text: (one) => count(one.accept_errors), style: (one) => one.accept_errors ? "bad-text" : ""},
  {name: "Paced", number: true, text: (one) => count(one.accept_paced), style: (one) => one.accept_paced ? "warn-text" : ""},
], (one) => one.name);
listeners.element.className = "framed";
$("listeners").append(listeners.element);

// ---- all of it

function show(status) {
  const relay = status.relay;
  $("state").className = `pill ${relay.draining ? "warn" : "good"}`;
  say($("state"), relay.draining ? "draining" : "running");
  say($("about"), `${relay.version} · up ${span(relay.uptime_s * 1000)} · ${location.host}`);
  $("config-fault").hidden = !relay.config_fault;
  say($("config-fault"), `The configuration in the file is not in effect, the one before is: ${relay.config_fault}`);
  document.title = `relay · ${count(relay.subscribers)} subscribers`;
  showTiles(status);
  for (const chart of charts) chart.show();
  if (status.feeds.length === 1 && !isOpen.has(status.feeds[0].name)) isOpen.set(status.feeds[0].name, true);
  const update = (element, item) => element.update(item);
  each($("feed-list"), status.feeds, (feed) => feed.name, makeFeed, update);
  each($("workers"), status.workers, (worker) => worker.index, makeWorker, update);
  listeners.show(status.listeners);
}

let isPaused = false, lastAnswer = null, newest = null;

async function ask() {
  try {
    const answer = await fetch("/status.json", {cache: "no-store", signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    newest = await answer.json();
    lastAnswer = new Date();
    remember(newest);
    $("trouble").hidden = true;
    document.body.classList.remove("stale");
    show(newest);
  } catch (error) {
    $("trouble").hidden = false;
    $("state").className = "pill bad";
    say($("state"), "no answer");
    say($("trouble"), `relay does not answer${lastAnswer ? ` since ${lastAnswer.toLocaleTimeString()}` : ""}; ` +
      "trying again every second.");
    document.body.classList.add("stale");
  }
}

async function goOn() {
  if (!isPaused && !document.hidden) await ask();
  setTimeout(goOn, EVERY_MS);
}

function setPaused(paused) {
  isPaused = paused;
  $("pause").setAttribute("aria-pressed", paused);
  say($("pause"), paused ? "Go on" : "Pause");
}

const THEMES = ["auto", "light", "dark"], isDark = matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";
try { theme = THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto"; } catch { /* no storage */ }

function setTheme(name) {
  theme = name;
  document.documentElement.dataset.theme = name === "auto" ? (isDark.matches ? "dark" : "light") : name;
  say($("theme"), `Theme: ${name}`);
  try { localStorage.setItem("theme", name); } catch { /* no storage */ }
}

$("pause").addEventListener("click", () => setPaused(!isPaused));
$("theme").addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]));
isDark.addEventListener("change", () => setTheme(theme));
addEventListener("resize", () => { if (newest) for (const chart of charts) chart.show(); });
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "p") setPaused(!isPaused);
  if (event.key === "t") $("theme").click();
});
setTheme(theme);
goOn();
