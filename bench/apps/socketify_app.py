"""The workloads on socketify (sync handlers: its fastest form). Usage: python socketify_app.py
PORT"""

import asyncio
import sys

from socketify import App

app = App()


def plaintext(res, req):
    res.write_header("content-type", "text/plain; charset=utf-8")
    res.end("Hello, World!")


def json_route(res, req):
    res.end({"message": "Hello, World!"})


def item(res, req):
    res.end({"item_id": int(req.get_parameter(0)), "q": req.get_query("q")})


async def sleep(res, req):
    await asyncio.sleep(0.01)
    res.end({"slept": True})


app.get("/plaintext", plaintext)
app.get("/json", json_route)
app.get("/items/:item_id", item)
app.get("/sleep", sleep)

if __name__ == "__main__":
    app.listen({"port": int(sys.argv[1]), "host": "127.0.0.1"}, lambda config: None)
    app.run()
