"""What users get wrong: type checkers in their strictest mode reject each line marked so."""

import weft
import weft.json
from weft import App, HTTPException, JSONResponse, Request, Router

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
weft.run(1)  # wrong
app.include_router("router")  # wrong
app.run(port="8000")  # wrong
