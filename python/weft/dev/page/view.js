// The page of /_weft/: asks the server once a second for the requests that have ended, and draws them.
"use strict";

const KEPT = 512; // requests remembered here, as many as the server keeps
const SHOWN = 200; // rows of the table
const SECONDS = 60; // of the curve
const STAGES = {
  receive: "receiving it", wait: "waiting for its turn", prepare: "arguments, dependencies, middleware",
  run: "your function", reply: "writing the reply", core: "answered in C",
};
const KINDS = {
  async: "async def", thread: "def, in a thread", inline: "def, on the loop",
  async_generator: "async def with yield", thread_generator: "def with yield, in a thread",
  inline_generator: "def with yield, on the loop",
};

let started = null; // which run of the server this is about
let plans = null;
let last = 0; // number of the last request known
let known = []; // newest first
let rates = [];
let asked = 0;
let paused = false;

const find = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function time(us) {
  if (us < 1000) return `${us.toFixed(us < 10 ? 1 : 0)} µs`;
  return us < 1e6 ? `${(us / 1e3).toFixed(us < 1e4 ? 2 : 1)} ms` : `${(us / 1e6).toFixed(2)} s`;
}

function quantile(sorted, q) {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

function sortedTimes(requests) {
  return requests.map((r) => r.total_us).sort((a, b) => a - b);
}

// ---- asking ----

async function get(path) {
  const reply = await fetch(path, { cache: "no-store" });
  if (!reply.ok) throw new Error(`${reply.status}`);
  return reply.json();
}

function say(state, text) {
  find("state").className = state;
  find("state").textContent = text;
}

async function ask() {
  const news = await get(`requests?after=${last}`);
  if (news.started !== started) { // another run: its numbers begin at 1 again
    plans = await get("plans");
    started = plans.started;
    known = [];
    rates = [];
    last = asked = 0;
    drawPlans();
    if (news.started === started) return ask();
    return undefined;
  }
  const now = performance.now();
  const before = last;
  for (const request of news.requests) {
    last = request.number;
    known.unshift(request);
  }
  known.length = Math.min(known.length, KEPT);
  if (asked) {
    rates.push(((last - before) * 1000) / (now - asked));
    rates = rates.slice(-SECONDS);
  }
  asked = now;
  drawRates(news);
  if (!paused && news.requests.length) drawRequests();
  if (news.requests.length) drawNumbers();
  return undefined;
}

async function askForever() {
  for (;;) {
    try {
      await ask();
      say("live", "live");
    } catch (error) {
      say("wait", error.message === "500" ? "it cannot be served: load any page of it" : "waiting for the server");
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

// ---- rates ----

function drawRates(news) {
  const c = news.counters;
  const times = sortedTimes(known);
  const rate = rates.length ? rates[rates.length - 1] : 0;
  find("rate").textContent = rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString();
  find("median").textContent = times.length ? time(quantile(times, 0.5)) : "–";
  find("slow").textContent = times.length ? time(quantile(times, 0.99)) : "–";
  find("running").textContent = news.running;
  find("connections").textContent = c.connections_open;
  find("failed").textContent = c.replies_5xx;
  find("refused").textContent = c.bad_requests + c.timeouts + c.clients_gone;
  const most = Math.max(...rates, 1);
  const svg = find("history");
  const width = 240 / SECONDS;
  svg.replaceChildren(...rates.map((r, i) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = (40 * r) / most;
    const box = { x: 240 - (rates.length - i) * width, y: 40 - height, width: width * 0.8, height };
    for (const [name, value] of Object.entries(box)) bar.setAttribute(name, value);
    return bar;
  }));
}

// ---- requests ----

const stageClass = (name) => (name === "wait" ? "wait-stage" : name);

function stagesOf(request) {
  const parts = Object.entries(request.stages_us);
  const bar = make("div", {
    class: "stages-bar", title: parts.map(([name, us]) => `${STAGES[name]}: ${time(us)}`).join("\n"),
  });
  for (const [name, us] of parts) {
    const part = make("span", { class: `stage ${stageClass(name)}`, "data-stage": name });
    part.style.width = `${(100 * us) / Math.max(request.total_us, 0.001)}%`;
    bar.append(part);
  }
  return bar;
}

function row(request) {
  const status = request.status || "left";
  return make("tr", { "data-number": request.number },
    make("td", { class: "request" }, make("span", { class: "method" }, request.method), ` ${request.target}`),
    make("td", { class: `status s${Math.floor(request.status / 100)}` }, `${status}`),
    make("td", { class: "number" }, request.bytes.toLocaleString()),
    make("td", { class: "number" }, time(request.total_us)),
    make("td", { class: "stages" }, stagesOf(request)));
}

function drawRequests() {
  const wanted = find("filter").value.toLowerCase();
  const fits = (r) => `${r.method} ${r.target} ${r.status}`.toLowerCase().includes(wanted);
  const rows = known.filter(fits).slice(0, SHOWN).map(row);
  find("requests").tBodies[0].replaceChildren(...rows);
  find("none").hidden = rows.length > 0;
}

// ---- plans ----

// What is read in C may have parts that are handed over.
const isHanded = (line) => line.includes("handed over");
const isNative = (step) => step.native && !step.reads.some(isHanded);

function drawStep(step) {
  let tag = make("i", { class: "tag native" }, "native");
  if (!isNative(step)) tag = make("i", { class: "tag handed" }, step.native ? "pydantic in part" : "pydantic");
  const item = make("li", {}, make("span", { class: "step" }, step.step), " ", tag);
  if (step.why) item.append(" ", make("span", { class: "why" }, step.why));
  if (step.reads.length) {
    item.append(make("div", { class: "reads" }, ...step.reads.map((line) =>
      (isHanded(line) ? make("span", { class: "why" }, line) : `${line}\n`))));
  }
  return item;
}

function drawCall(call, isEndpoint) {
  const about = [KINDS[call.kind] ?? call.kind];
  if (call.fills) about.push(`fills ${call.fills}`);
  if (call.scope) about.push(`ends with the ${call.scope}`);
  if (call.again) about.push("its value is there already");
  if (call.where) about.push(call.where);
  const item = make("li", {}, make(isEndpoint ? "b" : "span", {}, make("code", {}, `${call.call}()`)),
    " ", make("span", { class: "quiet" }, about.join(" · ")));
  if (call.steps.length) item.append(make("ul", {}, ...call.steps.map(drawStep)));
  return item;
}

function drawReply(reply) {
  const made = reply.response_class ? `by ${reply.response_class}` : "as JSON";
  const model = reply.model ? `, judged as ${reply.model}` : "";
  return make("li", {}, `reply ${reply.status} `, make("span", { class: "quiet" }, `${made}${model}`));
}

function drawRoute(route, index) {
  const native = route.calls.every((call) => call.steps.every(isNative));
  return make("details", { "data-route": index },
    make("summary", {},
      make("span", { class: "method" }, route.methods.join(" ")), make("code", {}, route.host + route.path),
      make("span", { class: "quiet" }, route.endpoint),
      native ? make("i", { class: "tag native" }, "native") : make("i", { class: "tag handed" }, "pydantic too"),
      make("span", { class: "numbers" })),
    make("ol", { class: "plan" },
      ...route.calls.map((call, i) => drawCall(call, i === route.calls.length - 1)), drawReply(route.reply)));
}

function drawPlans() {
  document.title = `${plans.title} - weft`;
  find("title").textContent = plans.title;
  find("about").textContent = `${plans.version} · weft ${plans.weft} on ${plans.python} · process ${plans.pid}`;
  find("routes").replaceChildren(...plans.routes.map(drawRoute));
  drawRequests();
}

function drawNumbers() {
  for (const element of find("routes").children) {
    const index = Number(element.dataset.route);
    const times = sortedTimes(known.filter((r) => r.route === index));
    element.querySelector(".numbers").textContent = times.length
      ? `${times.length} lately · median ${time(quantile(times, 0.5))} · 99% ${time(quantile(times, 0.99))}` : "";
  }
}

// ---- the rest of the page ----

find("legend").append(...Object.entries(STAGES).map(([name, text]) =>
  make("span", {}, make("i", { class: stageClass(name) }), text)));
find("filter").addEventListener("input", drawRequests);
find("pause").addEventListener("click", () => {
  paused = !paused;
  find("pause").setAttribute("aria-pressed", `${paused}`);
  find("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused) drawRequests();
});
askForever();
