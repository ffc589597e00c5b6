"""The workloads on Robyn. Usage: python robyn_app.py PORT"""

import asyncio
import sys

from robyn import Robyn

app = Robyn(__file__)


@app.get("/plaintext")
async def plaintext(request):
    return "Hello, World!"


@app.get("/json")
async def json(request):
    return {"message": "Hello, World!"}


@app.get("/items/:item_id")
async def item(request, path_params, query_params):
    return {"item_id": int(path_params["item_id"]), "q": query_params.get("q", None)}


@app.get("/sleep")
async def sleep(request):
    await asyncio.sleep(0.01)
    return {"slept": True}


if __name__ == "__main__":
    port = int(sys.argv.pop(1))
    app.start(host="127.0.0.1", port=port)
