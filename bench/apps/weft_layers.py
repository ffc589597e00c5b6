"""/json with middleware around it, for what that costs: CORS and request ids (the access log is the
server's), an app with one middleware in Python, and one that has CORS inside of that."""

from weft import App
from weft.middleware import CORSMiddleware, RequestIDMiddleware

layers = App(openapi_url=None)
layers.add_middleware(CORSMiddleware, allow_origins=["https://a.example"])
layers.add_middleware(RequestIDMiddleware)
python = App(openapi_url=None)
within = App(openapi_url=None)
within.add_middleware(CORSMiddleware, allow_origins=["https://a.example"])


@layers.get("/json")
@python.get("/json")
@within.get("/json")
async def json():
    return {"message": "Hello, World!"}


@python.middleware("http")
@within.middleware("http")
async def middleware(request, call_next):
    return await call_next(request)
