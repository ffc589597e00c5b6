"""Further rows of weft and FastAPI: declared once, with the names of either."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

SECRET = "thirty-two bytes of a secret, or more"


class Paging(BaseModel):
    limit: int = Field(10, ge=1, le=100)
    offset: int = Field(0, ge=0)
    sort: str = "id"


class Fields(BaseModel):
    x_tenant: str
    x_trace: str | None = None


class Cookies(BaseModel):
    session: str
    theme: str = "light"


def declare_models(app: Any, names: Any) -> None:
    """`names` is the module weft or fastapi."""

    @app.get("/models")
    async def models(
        query: Annotated[Paging, names.Query()],
        header: Annotated[Fields, names.Header()],
        cookie: Annotated[Cookies, names.Cookie()],
    ):
        return {"limit": query.limit, "tenant": header.x_tenant, "session": cookie.session}


def declare_middleware(app: Any) -> None:
    @app.middleware("http")
    async def through(request, call_next):
        return await call_next(request)

    @app.get("/json")
    async def json():
        return {"message": "Hello, World!"}
