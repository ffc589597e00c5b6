// Talks to the bookshop through types that openapi-typescript has made of its document, in api.d.ts.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Book = components["schemas"]["Book"];

declare const process: { argv: string[]; exitCode: number };

const client = createClient<paths>({ baseUrl: process.argv[2]! });

function same(found: unknown, wanted: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
  }
}

const made = await client.POST("/books", {
  body: { title: "Ficciones", author: "Borges", year: 1944, price: 12.5, tags: ["stories"] },
});
same(made.response.status, 201);
const book: Book = made.data!;

const read = await client.GET("/books/{book_id}", { params: { path: { book_id: book.id } } });
same(read.data, book);

const listed = await client.GET("/books", { params: { query: { tag: ["stories"], sort: "price" } } });
same(listed.data!["total"], 1);

const missing = await client.GET("/books/{book_id}", { params: { path: { book_id: 999 } } });
same(missing.error, { detail: "There is no book 999" });

const wrong = await client.GET("/books", { params: { query: { limit: 1000 } } });
same(wrong.response.status, 422);

const sold = await client.DELETE("/books/{book_id}", { params: { path: { book_id: book.id } } });
same(sold.response.status, 204);

// @ts-expect-error: there is no such path
void (() => client.GET("/nowhere"));
// @ts-expect-error: a year is a number
void (() => client.POST("/books", { body: { ...book, year: "1944" } }));
