// The bookshop's page: lists, adds and sells books, uploads covers, and listens to what others do.
"use strict";

const find = (selector, inside = document) => inside.querySelector(selector);
const covers = new Map(); // by book: how often its cover may have changed here, so that it is asked for anew

async function ask(path, options) {
  const reply = await fetch(path, options);
  if (reply.ok) return reply.status === 204 ? null : reply.json();
  const { detail } = await reply.json();
  throw new Error(typeof detail === "string" ? detail : detail.map((d) => `${d.loc.at(-1)}: ${d.msg}`).join("\n"));
}

// Does it, and shows what is wrong with it.
async function attempt(action) {
  find("#problem").textContent = "";
  try {
    await action();
  } catch (error) {
    find("#problem").textContent = error.message;
  }
}

function draw(book) {
  const item = find("#book").content.cloneNode(true).firstElementChild;
  item.dataset.id = book.id;
  find(".title", item).textContent = book.title;
  find(".author", item).textContent = book.author;
  find(".year", item).textContent = book.year;
  find(".price", item).textContent = book.price.toFixed(2);
  find(".cover", item).src = `/books/${book.id}/cover?${covers.get(book.id) ?? 0}`;
  find("input", item).addEventListener("change", (event) => attempt(async () => {
    const form = new FormData();
    form.append("image", event.target.files[0]);
    await ask(`/books/${book.id}/cover`, { method: "PUT", body: form });
  }));
  find(".remove", item).addEventListener("click", () => attempt(() => ask(`/books/${book.id}`, { method: "DELETE" })));
  return item;
}

let asked = 0;
async function list() {
  const turn = ++asked;
  const form = new FormData(find("#search"));
  const query = new URLSearchParams([...form].filter(([, value]) => value));
  const { total, books } = await ask(`/books?${query}`);
  if (turn !== asked) return; // a later question is under way
  find("#total").textContent = `${total} books`;
  find("#books").replaceChildren(...books.map(draw));
}

find("#search").addEventListener("input", () => attempt(list));
find("#search").addEventListener("submit", (event) => event.preventDefault());
find("#new").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const { title, author, year, price } = Object.fromEntries(new FormData(event.target));
    const body = JSON.stringify({ title, author, year: Number(year), price: Number(price) });
    await ask("/books", { method: "POST", headers: { "content-type": "application/json" }, body });
    event.target.reset();
  });
});

// The browser connects again by itself; what was missed is in the list.
const events = new EventSource("/events");
events.addEventListener("open", () => {
  find("#live").textContent = "live";
  attempt(list);
});
events.addEventListener("error", () => { find("#live").textContent = "connecting…"; });
events.addEventListener("message", (event) => {
  const { what, book } = JSON.parse(event.data);
  covers.set(book.id, (covers.get(book.id) ?? 0) + 1);
  const line = document.createElement("li");
  line.textContent = `${book.title}: ${what}`;
  find("#events").prepend(line);
  attempt(list);
});
