"""The workloads on Sanic. Usage: python sanic_app.py PORT"""

import asyncio
import sys

from sanic import Sanic
from sanic.response import json, text

app = Sanic("bench", configure_logging=False)


@app.get("/plaintext")
async def plaintext(request):
    return text("Hello, World!")


@app.get("/json")
async def json_route(request):
    return json({"message": "Hello, World!"})


@app.get("/items/<item_id:int>")
async def item(request, item_id: int):
    return json({"item_id": item_id, "q": request.args.get("q")})


@app.get("/sleep")
async def sleep(request):
    await asyncio.sleep(0.01)
    return json({"slept": True})


if __name__ == "__main__":
    app.run(
        host="127.0.0.1", port=int(sys.argv[1]), single_process=True, access_log=False, motd=False
    )
