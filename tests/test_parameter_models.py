"""Query, header and cookie models: answers, errors and what is handed over are FastAPI's."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import BaseModel, Field

from tests.peer import Ask, Framework, assert_same, get
from weft import App, Query
from weft.exceptions import SignatureError
from weft.sites import compile_site
from weft.testing import TestClient


class Filter(BaseModel):
    limit: int = Field(100, gt=0, le=100)
    offset: int = Field(0, ge=0)
    order_by: Literal["created_at", "updated_at"] = "created_at"
    tags: list[str] = []


class Strict(Filter):
    model_config = {"extra": "forbid"}


class Open(BaseModel):
    model_config = {"extra": "allow"}
    a: int


class Aliased(BaseModel):
    first: int = Field(alias="firstName")
    second: str | None = Field(None, validation_alias="sec")
    third: set[int] = Field(set(), validation_alias=pydantic.AliasChoices("t", "third-one"))


class AsJson(BaseModel):
    a: pydantic.Json[list[int]] = []
    low: pydantic.Json[Any] = None


class ByName(BaseModel):
    model_config = {"populate_by_name": True}
    save_data: bool = Field(alias="saveData")


class Checked(BaseModel):
    low: int = 0
    high: int = 10

    @pydantic.model_validator(mode="after")
    def ordered(self) -> "Checked":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

    @pydantic.model_validator(mode="before")
    @classmethod
    def whole(cls, data: Any) -> Any:
        if "x" in data:
            data["low"] = len(data["x"]) + len(data)
        return data


class Ordered(Filter):
    low: Annotated[int, pydantic.Field(ge=0)] = 0
    high: int = 10

    @pydantic.model_validator(mode="after")
    def ordered(self) -> "Ordered":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Common(BaseModel):
    host: str
    save_data: bool
    if_modified_since: str | None = None
    traceparent: str | None = None
    x_tag: list[str] = []


class StrictHeaders(BaseModel):
    model_config = {"extra": "forbid"}
    x_token: int
    host: str
    accept_encoding: str = ""


class Cookies(BaseModel):
    session_id: str
    fatebook_tracker: str | None = None
    n: int = 0


class StrictCookies(Cookies):
    model_config = {"extra": "forbid"}


QUERIES = [
    "",
    "limit=5&offset=1&order_by=updated_at&tags=a&tags=b",
    "limit=0&offset=-1&order_by=x&tags=",
    "limit=1&limit=x&tags=a",
    "tool=plumbus&tool=x&other=%20y",
    "limit=&a=1&b=2&b=3",
    "a=x&a=1",
    "firstName=1&sec=2&t=3&t=4&third-one=5&first=9",
    "firstName=x&third-one=5&third-one=z",
    "saveData=1",
    "save_data=1",
    "saveData=x&save_data=1",
    "low=20",
    "x=long&low=1",
    "low=x&high=y&x=1",
    "%74ags=%C3%A9&t=%ff",
    "z=&z=&x=a&x=a",  # texts that Python keeps one of
    "limit=+5&tags=%00&offset=%F0%9F%98%80",
    "a=[1,2]&low={}",
    "limit=5&limit=&order_by=updated%5Fat&%74ags=x&",
]


@pytest.mark.parametrize("model", [Filter, Strict, Open, Aliased, AsJson, ByName, Checked, Ordered])
@pytest.mark.parametrize("optional", [False, True])
def test_query_models(model: Any, optional: bool) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()
        if optional:

            @app.get("/")
            async def read_optional(found: Annotated[model | None, fw.Query()] = None):
                return found

        else:

            @app.get("/")
            async def read(found: Annotated[model, fw.Query()]):
                return found

        return app

    assert_same(make, *(get(f"/?{query}" if query else "/") for query in QUERIES))


HEADERS: list[list[tuple[str, str]]] = [
    [],
    [("save-data", "true"), ("if-modified-since", "now"), ("X-Tag", "a"), ("x-tag", "b")],
    [("save_data", "true"), ("traceparent", "é")],
    [("save-data", "x"), ("save-data", "1"), ("x-tag", "a")],
    [("x-token", "5")],
    [("x-token", "x"), ("other", "1"), ("other", "2")],
    [("x_token", "5"), ("x-token", "6")],
]


@pytest.mark.parametrize("model", [Common, StrictHeaders])
@pytest.mark.parametrize("convert", [True, False])
def test_header_models(model: Any, convert: bool) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.get("/")
        async def read(found: Annotated[model, fw.Header(convert_underscores=convert)]):
            found.host = "h"
            return found

        @app.exception_handler(fw.RequestValidationError)
        async def invalid(request: fw.Request, exc: Any):
            errors = exc.errors()
            for error in errors:  # the ports differ
                if isinstance(error["input"], dict):
                    error["input"].pop("host", None)
            return fw.JSONResponse(errors, 422)

        return app

    assert_same(make, *(Ask("GET", "/", headers) for headers in HEADERS))


@pytest.mark.parametrize("model", [Cookies, StrictCookies])
def test_cookie_models(model: Any) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.get("/")
        async def read(found: Annotated[model, fw.Cookie()]):
            return found

        return app

    assert_same(
        make,
        get("/"),
        get("/", cookie="session_id=1; fatebook_tracker=x; n=2"),
        get("/", cookie="session_id=1; session_id=2; other=1"),
        get("/", cookie='session_id="a b"; n=x'),
        get("/", cookie="n=x"),
        get("/", cookie="other=1; other=2; session_id=1; fatebook_tracker=\xe9; n= 3 "),
    )


FORMS = [
    "",
    "firstName=1&sec=2&t=3&third-one=4",
    "firstName=&sec=&t=&t=5&other=",
    "third-one=1&third-one=2&firstName=3",
    "other=1",
    "saveData=1&save_data=0",
    "save_data=yes",
    "limit=5&tags=a&tags=b&offset=x",
    "limit=5&tags=a&tags=",
    "low=20&high=3",
    "a=2&a=3&b=",
]


class StrictAliased(Aliased):
    model_config = {"extra": "forbid"}


@pytest.mark.parametrize(
    "model", [Filter, Strict, Open, Aliased, StrictAliased, ByName, Checked, Ordered]
)
@pytest.mark.parametrize("optional", [False, True])
def test_form_models(model: Any, optional: bool) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()
        if optional:

            @app.post("/")
            async def read_optional(found: Annotated[model | None, fw.Form()] = None):
                return found

        else:

            @app.post("/")
            async def read(found: Annotated[model, fw.Form()]):
                return found

        return app

    content_type = ("content-type", "application/x-www-form-urlencoded")
    assert_same(
        make,
        *(Ask("POST", "/", [content_type], form.encode()) for form in FORMS),
        Ask.json("POST", "/", {"limit": 1, "firstName": 1}),
    )


def test_models_in_dependencies_beside_other_parameters_and_by_default_value() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        def page(found: Filter = fw.Query()):
            return found

        @app.get("/{item_id}")
        async def read(
            item_id: int,
            cookies: Annotated[Cookies, fw.Cookie()],
            found: Annotated[Filter, fw.Depends(page)],
            q: int = 0,
        ):
            return [item_id, cookies, found, q]

        return app

    assert_same(
        make,
        get("/1?limit=3&q=4", cookie="session_id=1"),
        get("/x?limit=x&q=x"),
    )


@dataclass
class Page:
    limit: int
    tags: list[str] | None = None


def test_a_dataclass_can_be_the_model() -> None:
    app = App()

    @app.get("/")
    async def read(page: Annotated[Page, Query()]) -> Any:
        return [type(page).__name__, page.limit, page.tags]

    with TestClient(app) as client:
        assert client.get("/?limit=3&tags=a&tags=b").json() == ["Page", 3, ["a", "b"]]
        assert client.get("/?limit=x").json()["detail"][0]["loc"] == ["query", "limit"]


def test_what_is_no_model_is_refused() -> None:
    for wrong in (dict[str, int], list[Filter], Filter | Page):
        app = App()

        @app.get("/")
        async def read(found: Annotated[wrong, Query()]) -> None: ...

        with pytest.raises(SignatureError, match="a query parameter cannot be"):
            compile_site(app)
