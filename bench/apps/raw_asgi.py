"""A bare ASGI app that answers the plaintext and JSON workloads: what a server costs without a
framework."""

PLAIN = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"13")]
JSON = [(b"content-type", b"application/json"), (b"content-length", b"27")]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/json":
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        await send({"type": "http.response.body", "body": b'{"message":"Hello, World!"}'})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
        await send({"type": "http.response.body", "body": b"Hello, World!"})
