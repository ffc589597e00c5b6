"""What users get wrong: type checkers in their strictest mode reject each line marked so."""

import weft
import weft.bson
import weft.json
from weft import App, EventSourceResponse, HTTPException, JSONResponse, Request, Router
from weft.middleware import BaseHTTPMiddleware, CORSMiddleware, SessionMiddleware
from weft.security import JWTBearer
from weft.sse import ServerSentEvent
from weft.staticfiles import StaticFiles

app = App(titel="Shop")  # wrong
app = App(title=1)  # wrong
router = Router(prefix=1)  # wrong


@app.get  # wrong
async def no_parentheses() -> None: ...


@app.get("/", status="201")  # wrong
async def unknown_option() -> None: ...


@app.get("/", status_code="201")  # wrong
async def wrong_option() -> None: ...


@app.api_route("/", methods=1)  # wrong
async def wrong_methods() -> None: ...


@app.get("/")
async def wrong_use(request: Request) -> JSONResponse:
    print(request.metod)  # wrong
    await request.query_params  # wrong
    response = JSONResponse({}, status="200")  # wrong
    response.set_cookie("a", samesite="loose")  # wrong
    raise HTTPException("404")  # wrong


weft.json.encode({}, indent="x")  # wrong
weft.json.decode(b"1", type=int).lower()  # wrong
weft.json.Decoder(int).decode(b"1").lower()  # wrong
weft.json.Decoder(int).decode(1)  # wrong
weft.json.decode_lines(b"1", type=int)[0].lower()  # wrong
weft.json.Encoder(int).encode("1")  # wrong
print(weft.bson.decode(b"", type=Request).metod)  # wrong
weft.shape(int).decode_json(b"1").lower()  # wrong
weft.run(1)  # wrong
app.include_router("router")  # wrong
app.run(port="8000")  # wrong

app.run(limits={"body_bytes": 1})  # wrong
app.run(limits={"body_bytes_max": "1"})  # wrong
app.mount("/static", "static")  # wrong
app.host("example.org", StaticFiles(directory="static"))  # wrong
StaticFiles("static")  # wrong
app.add_middleware(CORSMiddleware, allow_origin=["*"])  # wrong
app.add_middleware(SessionMiddleware)  # wrong
app.add_middleware(BaseHTTPMiddleware, dispatched=1)  # wrong
JWTBearer(key=1, algorithms=["HS256"])  # wrong
ServerSentEvent("text")  # wrong
EventSourceResponse(1)  # wrong


@app.post("/", form_limits={"max_file": 1})  # wrong
async def wrong_form_limits() -> None: ...


@app.middleware("http")  # wrong
async def no_call_next(request: Request) -> JSONResponse:
    return JSONResponse({})


@app.exception_handler("404")  # wrong
async def wrong_key(request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({})
