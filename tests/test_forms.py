"""Forms and uploads: FastAPI's parameters, Starlette's objects, and what is wrong with them."""

import errno
import gc
import os
import resource
import socket
import tempfile
from typing import Annotated, Any

import httpx
import pydantic
import pytest

import weft
from tests.peer import Ask, Framework, assert_same, on_weft, weft_names
from weft.datastructures import FormData, Headers
from weft.testing import TestClient

MULTIPART = {"content-type": "multipart/form-data; boundary=b"}


def part(name: str, value: str, more: str = "") -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'


class Model(pydantic.BaseModel):
    name: str
    count: int = 3
    tags: list[str] = []
    nick: str | None = pydantic.Field(None, alias="nick-name")


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str


def make(fw: Framework) -> Any:
    app = fw.App()
    form, file, upload = fw.Form, fw.File, fw.UploadFile

    def told(item: Any) -> Any:
        if isinstance(item, str) or item is None:
            return item
        return [item.filename, item.size, item.content_type, sorted(item.headers.items())]

    @app.post("/scalars")
    async def scalars(
        name: Annotated[str, form()],
        count: Annotated[int, form(ge=1)] = 7,
        ratio: Annotated[float | None, form()] = None,
        flag: bool = form(False),
        tags: Annotated[list[int] | None, form()] = None,
        named: Annotated[str, form(alias="other-name", max_length=3)] = "x",
    ) -> Any:
        return [name, count, ratio, flag, tags, named]

    @app.post("/one")
    async def one(name: Annotated[str, form()]) -> Any:
        return name

    @app.post("/file")
    async def a_file(file: upload, note: Annotated[str, form()] = "none") -> Any:
        content = await file.read()
        await file.seek(1)
        rest = await file.read(2)
        await file.close()
        return [told(file), content.decode("latin-1"), rest.decode("latin-1"), note]

    @app.post("/files")
    async def files(
        files: list[upload], optional: upload | None = None, more: list[upload] | None = None
    ) -> Any:
        return [[told(f) for f in files], told(optional), more and [told(f) for f in more]]

    @app.post("/bytes")
    async def in_memory(
        data: Annotated[bytes, file()],
        several: Annotated[list[bytes], file()] = [],  # noqa: B006
        optional: Annotated[bytes | None, file()] = None,
    ) -> Any:
        return [data.decode(), [d.decode() for d in several], optional and optional.decode()]

    @app.post("/plain")
    def in_a_thread(file: upload) -> Any:
        return [file.file.read().decode(), file.filename]

    @app.post("/model")
    async def model(data: Annotated[Model, form()]) -> Any:
        return data

    @app.post("/strict")
    async def strict(data: Annotated[Strict, form()]) -> Any:
        return data

    @app.post("/optional-model")
    async def optional_model(data: Annotated[Model | None, form()] = None) -> Any:
        return data

    @app.post("/model-and-more")
    async def model_and_more(
        data: Annotated[Model, form()], extra: Annotated[int, form()], file: upload | None = None
    ) -> Any:
        return [data, extra, told(file)]

    @app.post("/body-beside-form/{id}")
    async def beside(
        id: int, q: int, name: Annotated[str, form()], note: Annotated[str, fw.Body()]
    ) -> Any:
        return [id, q, name, note]

    return app


def post(path: str, **more: Any) -> Ask:
    """With the body and content type that httpx makes of its arguments."""
    request = httpx.Request("POST", f"http://testserver{path}", **more)
    fields = [item for item in request.headers.items() if item[0] == "content-type"]
    return Ask("POST", path, fields, request.read())


def raw(path: str, content: str | bytes, **headers: str) -> Ask:
    fields = {k.replace("_", "-"): v for k, v in headers.items()} or MULTIPART
    body = content.encode() if isinstance(content, str) else content
    return Ask("POST", path, list(fields.items()), body)


URLENCODED = "application/x-www-form-urlencoded"
FILE = ("a.txt", b"hello", "text/plain")
EMPTY = ("", b"", "application/octet-stream")


def no_file(name: str) -> str:
    """What a browser sends where none was chosen."""
    return part(name, "", '; filename=""\r\nContent-Type: application/octet-stream')


SAME = [
    # fields
    post("/scalars", data={"name": "a"}),
    post("/scalars", data={"name": "a", "count": "2", "ratio": "1.5", "flag": "on"}),
    post("/scalars", data={"name": "a", "tags": ["1", "2"], "other-name": "abc"}),
    post("/scalars", data={"name": "a", "tags": ["1", "x"], "other-name": "abcd", "count": "0"}),
    post("/scalars", data={"name": "", "count": ""}),
    post("/scalars", data={}),
    post("/scalars"),
    post("/scalars", json={"name": "a"}),
    post("/scalars", files={"name": (None, "a"), "count": (None, "12")}),
    raw("/scalars", "name=a&name=b&count=%31&flag=+true", content_type=URLENCODED),
    raw("/scalars", "name=%FF%C3%BC&&=&x", content_type=URLENCODED),
    raw("/scalars", b"name=\xc3\xbc", content_type=URLENCODED + "; charset=utf-8"),
    raw("/scalars", "name=a;count=2", content_type=URLENCODED),
    raw("/scalars", "name=a", content_type="text/plain"),
    raw("/scalars", "name", content_type=URLENCODED),
    post("/one", data={"name": "a"}),
    post("/one", data={"other": "a"}),
    # files
    post("/file", files={"file": FILE}),
    post("/file", files={"file": FILE}, data={"note": "n"}),
    post("/file", files={"file": ('ü".txt', b"\x00\xff\r\n--", "application/x-thing")}),
    post("/file", data={"file": "text"}),
    post("/file"),
    raw("/file", no_file("file") + "--b--"),
    raw("/file", part("file", "x", "; filename=plain.txt") + "--b--\r\n"),
    raw("/file", part("file", "x", '; filename="C:\\dir\\x.txt"') + "--b--\r\n"),
    post("/file", files=[("file", FILE), ("file", ("b.txt", b"second", "text/x"))]),
    post("/files", files=[("files", FILE), ("files", FILE)]),
    post("/files", files=[("files", FILE), ("optional", FILE), ("more", FILE)]),
    post("/files", files=[("files", FILE)], data={"files": "text"}),
    post("/files"),
    raw(
        "/files",
        part("files", "x", '; filename="x"') + no_file("optional") + no_file("more") + "--b--",
    ),
    post(
        "/bytes", files=[("data", FILE), ("several", FILE), ("several", FILE), ("optional", FILE)]
    ),
    post("/bytes", files=[("data", FILE)], data={"several": "text"}),
    post("/bytes", data={"data": "text"}),
    post("/bytes"),
    post("/plain", files={"file": FILE}),
    # models
    post("/model", data={"name": "a", "tags": ["x", "y"], "nick-name": "n", "unknown": "?"}),
    post("/model", data={"name": "a", "count": "x", "nick-name": ""}),
    post("/model", data={"count": ""}),
    post("/model"),
    post("/strict", data={"name": "a"}),
    post("/strict", data={"name": "a", "more": ["1", "2"], "one": "1"}),
    post("/optional-model"),
    post("/optional-model", data={"name": "a"}),
    post("/optional-model", data={"count": "1"}),
    post("/model-and-more", data={"name": "a", "extra": "1"}),
    post("/model-and-more", data={"name": "a", "extra": "x"}, files={"file": FILE}),
    post("/body-beside-form/1?q=2", data={"name": "a", "note": "b"}),
    post("/body-beside-form/x", data={"note": "b"}),
    # malformed, with words of both
    raw("/scalars", "x", content_type="multipart/form-data"),
    raw("/scalars", "--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--"),
    raw("/scalars", "".join(part("a", "1") for _ in range(1001)) + "--b--"),
    raw("/scalars", "".join(part("a", "1", '; filename="x"') for _ in range(1001)) + "--b--"),
    raw("/scalars", part("name", "x" * (1024 * 1024 + 1)) + "--b--"),
    raw("/scalars", "a=1&" * 1001, content_type=URLENCODED),
    raw("/scalars", "a=" + "x" * (1024 * 1024 + 1), content_type=URLENCODED),
]


def test_forms_are_read_as_fastapi_reads_them() -> None:
    assert_same(make, *SAME)


def test_a_file_where_text_belongs_is_a_422() -> None:
    """As FastAPI's, but for `input`: that one has the attributes of the file object there."""
    with TestClient(make(weft_names())) as client:
        reply = client.post("/scalars", files={"name": FILE, "tags": FILE}, data={"count": "x"})
    errors = [(e["type"], e["loc"], e["msg"]) for e in reply.json()["detail"]]
    assert reply.status_code == 422
    assert errors == [
        ("string_type", ["body", "name"], "Input should be a valid string"),
        (
            "int_parsing",
            ["body", "count"],
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        ("int_type", ["body", "tags", 0], "Input should be a valid integer"),
    ]


# ---- request.form() ----


def make_form_readers(fw: Framework) -> Any:
    app = fw.App()

    async def read(request: Any) -> Any:
        async with request.form() as form:
            items = [[k, v if isinstance(v, str) else v.filename] for k, v in form.multi_items()]
            again = await request.form()
            return [items, again is form, form.get("a"), len(form.getlist("a"))]

    async def read_few(request: Any) -> Any:
        form = await request.form(max_files=1, max_fields=2, max_part_size=10)
        return list(form)

    read.__annotations__["request"] = fw.Request
    read_few.__annotations__["request"] = fw.Request
    app.post("/read")(read)
    app.post("/few")(read_few)
    return app


def test_request_form_is_starlettes() -> None:
    requests = [
        post("/read", data={"a": ["1", "2"], "b": "3"}),
        post("/read", files=[("a", FILE)], data={"a": "x"}),
        post("/read", json={"a": 1}),
        post("/read"),
        raw("/read", "x", content_type="multipart/form-data"),
        post("/few", data={"a": "1", "b": "2"}),
        post("/few", data={"a": "1", "b": "2", "c": "3"}),
        post("/few", data={"a": "12345678901"}),
        post("/few", files={"a": (None, "12345678901")}),
        post("/few", files=[("a", FILE), ("b", FILE)]),
    ]
    assert_same(make_form_readers, *requests)


def test_a_form_that_parameters_read_is_the_requests_too() -> None:
    app = weft.App()

    @app.post("/")
    async def both(request: weft.Request, a: Annotated[str, weft.Form()]) -> Any:
        form = await request.form()
        return [a, list(form.multi_items())]

    with TestClient(app) as client:
        assert client.post("/", data={"a": "1", "b": "2"}).json() == [
            "1",
            [["a", "1"], ["b", "2"]],
        ]


def test_the_bytes_of_a_form_that_parameters_read_are_not_taken_for_an_empty_body() -> None:
    app = weft.App()
    seen: list[str] = []

    @app.middleware("http")
    async def signed(request: weft.Request, call_next: Any) -> Any:
        if request.url.path == "/":
            with pytest.raises(RuntimeError, match="read as the form") as raised:
                await request.body()
            seen.append(str(raised.value))
        return await call_next(request)

    @app.post("/")
    async def both(request: weft.Request, a: Annotated[str | None, weft.Form()] = None) -> Any:
        with pytest.raises(RuntimeError, match="read as the form"):
            await request.body()
        return [a, len(await request.form())]

    @app.post("/none")
    async def none(request: weft.Request, a: Annotated[str | None, weft.Form()] = None) -> Any:
        return [a, (await request.body()).decode()]

    with TestClient(app) as client:
        assert client.post("/", data={"a": "1"}).json() == ["1", 1]
        assert client.post("/", files={"a": (None, "1")}).json() == ["1", 1]
        assert client.post("/", json={"a": "1"}).json() == [None, 0]
        assert len(seen) == 3
        assert client.post("/none").json() == [None, ""]


def test_validation_errors_have_the_form_as_their_body() -> None:
    app = weft.App()
    seen: list[Any] = []

    @app.exception_handler(weft.RequestValidationError)
    async def invalid(request: weft.Request, exc: weft.RequestValidationError) -> Any:
        seen.append(exc.body)
        return weft.PlainTextResponse("invalid", 422)

    @app.post("/")
    async def endpoint(a: Annotated[int, weft.Form()]) -> Any: ...

    with TestClient(app) as client:
        assert client.post("/", data={"a": "x"}).text == "invalid"
    assert seen == [FormData([("a", "x")])]


# ---- what is malformed ----


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"--b",
        b"--b\r\n",
        part("name", "1").encode(),
        part("name", "1").encode() + b"--b",
        part("name", "1").encode() + b"--bx",
        b"--b\r\n\r\n1\r\n--b--",
        b'--b\r\nContent-Disposition: form-data; name="name\x00"\r\n\r\n1\r\n--b--',
        b'--b\nContent-Disposition: form-data; name="name"\n\n1\n--b--',
        b"--b\r\n" + b"x" * 10000,
        b"--b\r\n" + b"X: y\r\n" * 100 + b"\r\n1\r\n--b--",
    ],
)
@pytest.mark.parametrize("path", ["/parameters", "/request"])
def test_malformed_multipart_is_a_400(content: bytes, path: str) -> None:
    app = weft.App()

    @app.post("/parameters")
    async def parameters(name: Annotated[str, weft.Form()]) -> str:
        return name

    @app.post("/request")
    async def by_request(request: weft.Request) -> list[str]:
        return list(await request.form())

    with on_weft(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        reply = client.post(path, content=content, headers=MULTIPART)
        assert reply.status_code == 400
        assert isinstance(reply.json()["detail"], str)
        good = client.post(path, content=part("name", "1") + "--b--", headers=MULTIPART)
        assert good.status_code == 200


def test_limits_of_a_route() -> None:
    app = weft.App()

    @app.post("/", form_limits={"max_fields": 1, "max_files": 0, "max_part_size": 4096})
    async def endpoint(a: Annotated[str, weft.Form()]) -> str:
        return a

    with TestClient(app) as client:
        assert client.post("/", data={"a": "1"}).status_code == 200
        for request in (
            {"data": {"a": "1", "b": "2"}},
            {"data": {"a": "x" * 5000}},
            {"files": {"f": FILE}},
        ):
            assert client.post("/", **request).status_code == 400  # type: ignore[arg-type]


def test_a_body_past_the_limit_is_a_413() -> None:
    app = weft.App()

    @app.post("/", max_body_size=1000)
    async def endpoint(f: weft.UploadFile) -> Any:
        return f.size

    with TestClient(app) as client:
        assert client.post("/", files={"f": b"x" * 1001}).status_code == 413


# ---- large files ----


def test_large_files_are_not_in_memory() -> None:
    app = weft.App(max_body_size=100_000_000)
    kinds: list[Any] = []

    @app.post("/")
    async def endpoint(f: weft.UploadFile) -> Any:
        kinds.append((f._in_memory, os.fstat(f.file.fileno()).st_nlink))
        first = await f.read(10)
        await f.seek(0)
        size = 0
        while chunk := await f.read(1 << 20):
            size += len(chunk)
        await f.write(b"more")
        return [first.decode(), size, f.size]

    content = b"0123456789" + bytes(30_000_000)
    with TestClient(app) as client:
        reply = client.post("/", files={"f": content})
        assert reply.json() == ["0123456789", len(content), len(content) + 4]
    assert kinds == [(False, 0)]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_file_that_cannot_be_stored_is_in_the_log_once(
    by_hand: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = weft.App()

    @app.post("/by-hand", max_body_size=32 << 20)
    async def read(request: weft.Request) -> None:
        await request.form()

    @app.post("/", max_body_size=32 << 20)
    async def parameter(file: weft.UploadFile) -> None: ...

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with TestClient(app) as client:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, hard))  # of all files of this process
        try:
            reply = client.post(
                "/by-hand" if by_hand else "/", files={"file": ("x", bytes(17 << 20))}
            )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (reply.status_code, reply.json()) == (
        507,
        {"detail": "an uploaded file could not be stored"},
    )
    (record,) = [r for r in caplog.records if r.name == "weft.error"]
    where, why = tempfile.gettempdir(), os.strerror(errno.EFBIG)
    assert record.getMessage() == f"An uploaded file could not be stored in {where}: {why}"


def test_files_are_closed_when_nobody_has_them() -> None:
    app = weft.App()

    @app.post("/")
    async def endpoint(f: weft.UploadFile) -> Any:
        return f.size

    with TestClient(app) as client:
        client.post("/", files={"f": b"1"})
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            assert client.post("/", files={"f": bytes(2_000_000)}).status_code == 200
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_client_that_leaves_in_its_upload_reaches_no_handler() -> None:
    app = weft.App()
    called: list[int] = []

    @app.post("/")
    async def endpoint(f: weft.UploadFile) -> None:
        called.append(1)

    with on_weft(app) as port:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(
                    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n"
                    b"content-type: multipart/form-data; boundary=b\r\n\r\n"
                    + part("f", "", '; filename="x"').encode()[:-2]
                    + bytes(2_000_000)
                )
        with httpx.Client() as client:
            assert client.get(f"http://127.0.0.1:{port}/").status_code == 405
    assert called == []


# ---- objects ----


def test_upload_files_can_be_made() -> None:
    from io import BytesIO

    file = weft.UploadFile(
        BytesIO(b"x"), size=1, filename="f", headers=Headers({"content-type": "a/b"})
    )
    assert (file.content_type, file.size, file.filename) == ("a/b", 1, "f")
    assert "filename='f'" in repr(file)
    assert weft.UploadFile(BytesIO(b"")).headers == Headers()


def test_uploads_without_pydantic_are_native() -> None:
    from weft.signature import describe

    async def endpoint(
        f: weft.UploadFile, g: list[weft.UploadFile], b: Annotated[bytes, weft.File()]
    ) -> None: ...

    description = describe(endpoint)
    assert description.body_mode == "form"
    assert [step.native for step in description.steps] == [True, True, True]


MIB = 1 << 20


@pytest.mark.parametrize("size", [MIB + 1, 5 * MIB, 16 * MIB + 1])
@pytest.mark.parametrize("by_hand", [False, True])
def test_larger_files_are_files_wherever_they_are_kept(size: int, by_hand: bool) -> None:
    app = weft.App()

    async def used(file: weft.UploadFile) -> list[Any]:
        first = await file.read(MIB)
        await file.seek(size - 3)
        last = await file.read()
        file.file.seek(MIB - 1)
        line = file.file.readline()
        await file.seek(size + 2)
        await file.write(b"new")
        await file.seek(size - 1)
        end = await file.read(100)
        file.file.truncate(4)
        await file.seek(0)
        start = await file.read()
        await file.close()
        return [len(first), last.decode(), line.decode(), end.decode(), start.decode(), file.size]

    @app.post("/parameter", max_body_size=32 * MIB)
    async def parameter(file: weft.UploadFile) -> Any:
        return await used(file)

    @app.post("/hand", max_body_size=32 * MIB)
    async def hand(request: weft.Request) -> Any:
        async with request.form() as form:
            file = form["file"]
            assert isinstance(file, weft.UploadFile)
            return await used(file)

    content = b"a" * (MIB - 1) + b"b\n" + b"c" * (size - MIB - 1)
    with TestClient(app) as client:
        path = "/hand" if by_hand else "/parameter"
        got = client.post(path, files={"file": ("x", content)}).json()
    last = content[-3:].decode()
    assert got == [MIB, last, "b\n", last[-1] + "\0\0new", "aaaa", size + 3]


def test_memory_of_files_is_given_back() -> None:
    app = weft.App()
    kinds: list[str] = []
    kept: list[weft.UploadFile] = []

    @app.post("/")
    async def post(file: weft.UploadFile, keep: bool = False) -> int | None:
        kinds.append(type(file.file).__name__)
        if keep:
            kept.append(file)
        return file.size

    content = b"x" * (9 * MIB)
    with TestClient(app) as client:

        def send(count: int, **params: Any) -> list[str]:
            kinds.clear()
            for _ in range(count):
                reply = client.post("/", files={"file": ("x", content)}, params=params)
                assert reply.json() == len(content)
            return kinds[:]

        assert set(send(10)) == {"_Kept"}
        assert send(9, keep=True).count("_Spooled") >= 2  # 64 MiB are seven of them
        kept.clear()
        assert set(send(3)) == {"_Kept"}


def test_the_whole_of_a_long_file_is_read_without_a_copy() -> None:
    app = weft.App()

    @app.post("/")
    async def post(file: weft.UploadFile) -> list[Any]:
        whole = await file.read()
        await file.seek(0)
        again = await file.read()
        same, exact = whole is again, type(whole) is bytes
        await file.seek(1)
        rest = await file.read()
        await file.seek(0)
        await file.write(b"new")  # what has been read does not change
        await file.seek(0)
        return [same, exact, rest == whole[1:], whole[:3].decode(), (await file.read(4)).decode()]

    @app.post("/two")
    async def two(a: weft.UploadFile, b: bytes = weft.File(), c: str = weft.Form()) -> list[Any]:
        whole = await a.read()
        await a.close()
        return [len(whole), whole[-1:].decode(), hash(whole) == hash(bytes(whole)), len(b), c]

    long = b"abcd" * (MIB // 2)
    with TestClient(app) as client:
        got = client.post("/", files={"file": ("x", long)}).json()
        assert got == [True, True, True, "abc", "newd"]
        files = {"a": ("a", long), "b": ("b", long + b"e")}
        got = client.post("/two", files=files, data={"c": "1"}).json()
        assert got == [len(long), "d", True, len(long) + 1, "1"]
