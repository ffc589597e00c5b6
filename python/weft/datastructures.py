"""What requests and replies are made of: addresses, URLs, headers, multidicts, state."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from io import BufferedRandom, BytesIO, FileIO
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self, TypeVar, cast
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from weft import _core

K = TypeVar("K")
V = TypeVar("V", covariant=True)


class Address(NamedTuple):
    """One end of a connection; a unix socket has port 0."""

    host: str
    port: int


class URL:
    """An immutable URL whose parts can be read and replaced.

    `URL("https://example.org/books?page=2")`, or `URL(scheme="https", netloc="example.org")`.
    """

    __slots__ = ("_parts", "_text")

    def __init__(self, url: str = "", **components: Any) -> None:
        if components and url:
            raise TypeError("give URL a string or its components, not both")
        self._text = str(URL("").replace(**components)) if components else url
        self._parts: SplitResult | None = None

    @property
    def components(self) -> SplitResult:
        """Its parts as `urllib.parse.urlsplit` has them (RFC 3986); `ValueError` for what is no
        URL."""
        if self._parts is None:
            self._parts = urlsplit(self._text)
        return self._parts

    @property
    def scheme(self) -> str:
        """Such as "https"; empty where it has none."""
        return self.components.scheme

    @property
    def netloc(self) -> str:
        """User, host and port as they stand in it (the authority of RFC 3986, section 3.2)."""
        return self.components.netloc

    @property
    def path(self) -> str:
        """Percent-encoded, as it stands in the URL."""
        return self.components.path

    @property
    def query(self) -> str:
        """Without its question mark, percent-encoded."""
        return self.components.query

    @property
    def fragment(self) -> str:
        """Without its `#`."""
        return self.components.fragment

    @property
    def username(self) -> str | None:
        """None where it names no user."""
        return self.components.username

    @property
    def password(self) -> str | None:
        """None where it has none."""
        return self.components.password

    @property
    def hostname(self) -> str | None:
        """In lower case and without the brackets of an IPv6 address; None where it has no host."""
        return self.components.hostname

    @property
    def port(self) -> int | None:
        """None where it says none; `ValueError` for one that is no number up to 65535."""
        return self.components.port

    @property
    def is_secure(self) -> bool:
        """Is it of `https` or `wss`?"""
        return self.scheme in ("https", "wss")

    def replace(self, **components: Any) -> URL:
        """The same URL with other parts: `urlsplit`'s, or username, password, hostname, port."""
        if not components.keys().isdisjoint(("username", "password", "hostname", "port")):
            components["netloc"] = self._netloc(
                components.pop("username", self.username),
                components.pop("password", self.password),
                components.pop("hostname", None),
                components.pop("port", self.port),
            )
        return URL(self.components._replace(**components).geturl())

    def _netloc(
        self, username: str | None, password: str | None, hostname: str | None, port: int | None
    ) -> str:
        if hostname is None:
            # Not self.hostname, which is lower-cased and without an IPv6 address's brackets.
            hostname = self.netloc.rpartition("@")[2]
            if not hostname.endswith("]"):
                hostname = hostname.rpartition(":")[0] or hostname
        elif ":" in hostname and not hostname.startswith("["):
            hostname = f"[{hostname}]"
        netloc = hostname if port is None else f"{hostname}:{port}"
        if username is None:
            return netloc
        return f"{username}@{netloc}" if password is None else f"{username}:{password}@{netloc}"

    def include_query_params(self, **params: Any) -> URL:
        """The same URL with these query parameters set; others stay."""
        kept = MultiDict(parse_qsl(self.query, keep_blank_values=True))
        kept.update({key: str(value) for key, value in params.items()})
        return self.replace(query=urlencode(kept.multi_items()))

    def replace_query_params(self, **params: Any) -> URL:
        """The same URL with these query parameters and no others."""
        return self.replace(query=urlencode([(key, str(value)) for key, value in params.items()]))

    def remove_query_params(self, keys: str | Iterable[str]) -> URL:
        """The same URL without the query parameters named."""
        unwanted = {keys} if isinstance(keys, str) else set(keys)
        pairs = parse_qsl(self.query, keep_blank_values=True)
        return self.replace(query=urlencode([pair for pair in pairs if pair[0] not in unwanted]))

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        shown = self.replace(password="********") if self.password else self
        return f"URL({str(shown)!r})"


class URLPath(str):
    """A path within the application, from `url_path_for`."""

    host: str
    """of a route behind a host; else empty"""

    def __new__(cls, path: str, host: str = "") -> URLPath:
        made = super().__new__(cls, path)
        made.host = host
        return made

    def make_absolute_url(self, base_url: str | URL) -> URL:
        """The URL of this path where `base_url` is the application's."""
        base = URL(base_url) if isinstance(base_url, str) else base_url
        netloc = self.host or base.netloc
        return URL(scheme=base.scheme, netloc=netloc, path=base.path.rstrip("/") + self)


class ImmutableMultiDict(Mapping[K, V]):
    """A mapping that may hold a key several times.

    `m[key]` is its last value, `m.getlist(key)` all of them.
    """

    _list: list[tuple[K, V]]
    _dict: dict[K, V]

    def __init__(
        self,
        value: ImmutableMultiDict[K, V] | Mapping[K, V] | Iterable[tuple[K, V]] = (),
        /,
        **kwargs: Any,
    ) -> None:
        if isinstance(value, ImmutableMultiDict):
            pairs = value.multi_items()
        elif isinstance(value, Mapping):
            pairs = list(value.items())
        else:
            pairs = list(value)
        pairs.extend(cast("Iterable[tuple[K, V]]", kwargs.items()))
        self._list = pairs
        self._dict = dict(pairs)

    def getlist(self, key: object) -> list[V]:
        """All values of a key in their order; an empty list where it is not there."""
        return [value for name, value in self._list if name == key]

    def multi_items(self) -> list[tuple[K, V]]:
        """All pairs in their order, a key as often as it is there."""
        return list(self._list)

    def keys(self) -> KeysView[K]:
        """Each key once."""
        return self._dict.keys()

    def values(self) -> ValuesView[V]:
        """The last value of each key."""
        return self._dict.values()

    def items(self) -> ItemsView[K, V]:
        """Each key once, with its last value."""
        return self._dict.items()

    def __getitem__(self, key: K) -> V:
        return self._dict[key]

    def __contains__(self, key: object) -> bool:
        return key in self._dict

    def __iter__(self) -> Iterator[K]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return sorted(self._list, key=_first) == sorted(other._list, key=_first)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._list!r})"


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


class MultiDict(ImmutableMultiDict[Any, Any]):
    """A multidict that can be changed."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.setlist(key, [value])

    def __delitem__(self, key: Any) -> None:
        del self._dict[key]
        self._drop(key)

    def _drop(self, key: Any) -> None:
        self._list = [pair for pair in self._list if pair[0] != key]

    def setlist(self, key: Any, values: list[Any]) -> None:
        """Sets all values of a key; none removes it."""
        self._drop(key)
        if values:
            self._list.extend((key, value) for value in values)
            self._dict[key] = values[-1]
        else:
            self._dict.pop(key, None)

    def append(self, key: Any, value: Any) -> None:
        """Adds a value beside those that the key has."""
        self._list.append((key, value))
        self._dict[key] = value

    def pop(self, key: Any, default: Any = None) -> Any:
        """Removes a key; gives its last value, or `default` where it is not there."""
        self._drop(key)
        return self._dict.pop(key, default)

    def popitem(self) -> tuple[Any, Any]:
        """Removes a key; gives it with its last value. `KeyError` when there is none."""
        key, value = self._dict.popitem()
        self._drop(key)
        return key, value

    def poplist(self, key: Any) -> list[Any]:
        """Removes a key; gives all its values."""
        values = self.getlist(key)
        self.pop(key)
        return values

    def clear(self) -> None:
        """Removes everything."""
        self._list.clear()
        self._dict.clear()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The last value of a key, which gets `default` where it is not there."""
        if key not in self._dict:
            self.append(key, default)
        return self._dict[key]

    def update(self, value: Any = (), /, **kwargs: Any) -> None:
        """Replaces the values of every key that `value` has."""
        new = MultiDict(value, **kwargs)
        self._list = [pair for pair in self._list if pair[0] not in new] + new._list
        self._dict.update(new._dict)


class QueryParams(ImmutableMultiDict[str, str]):
    """A request's query parameters, percent-decoded; `str()` gives a query string again."""

    def __init__(
        self,
        value: str | bytes | Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        /,
        **kwargs: Any,
    ) -> None:
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str):
            value = parse_qsl(value, keep_blank_values=True)
        super().__init__(value, **kwargs)
        self._list = [(str(key), str(item)) for key, item in self._list]
        self._dict = dict(self._list)

    def __str__(self) -> str:
        return urlencode(self._list)

    def __repr__(self) -> str:
        return f"QueryParams({str(self)!r})"


class Headers(Mapping[str, str]):
    """Header fields by case-insensitive name: `h[name]` is the first, `h.getlist(name)` all.

    `raw` is the list of (name, value) as bytes, names in lower case, in the order of the message.
    """

    __slots__ = ("_list",)

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        raw: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        if headers is not None and raw is not None:
            raise TypeError("give Headers a mapping or raw pairs, not both")
        if raw is None:
            raw = [] if headers is None else [_encode(*item) for item in headers.items()]
        self._list = raw

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """A copy of its fields in the order of the message; names in lower case."""
        return list(self._list)

    def getlist(self, key: str) -> list[str]:
        """All values of a field in their order; an empty list where it is not there."""
        wanted = key.lower().encode("latin-1")
        return [value.decode("latin-1") for name, value in self._list if name == wanted]

    def mutablecopy(self) -> MutableHeaders:
        """The same fields, to be changed."""
        return MutableHeaders(raw=list(self._list))

    # A field may be there several times; then so it is in these, unlike in a dict.
    def keys(self) -> list[str]:  # type: ignore[override]
        """The names in lower case, each as often as its field is there."""
        return [name.decode("latin-1") for name, _ in self._list]

    def values(self) -> list[str]:  # type: ignore[override]
        """All values, in the order of the message."""
        return [value.decode("latin-1") for _, value in self._list]

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        """All fields, in the order of the message."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._list]

    def __getitem__(self, key: str) -> str:
        wanted = key.lower().encode("latin-1")
        for name, value in self._list:
            if name == wanted:
                return value.decode("latin-1")
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        wanted = key.lower().encode("latin-1")
        return any(name == wanted for name, _ in self._list)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._list)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return sorted(self._list) == sorted(other._list)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(raw={self._list!r})"


def _encode(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")


class MutableHeaders(Headers):
    """Headers that can be changed; `raw` is the list itself, so a change shows in the message."""

    __slots__ = ()

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """The list of fields itself."""
        return self._list

    def __setitem__(self, key: str, value: str) -> None:
        """Sets a field where it stands first, and removes its repetitions."""
        field = _encode(key, value)
        for i, (name, _) in enumerate(self._list):
            if name == field[0]:
                self._list[i] = field
                self._list[i + 1 :] = [pair for pair in self._list[i + 1 :] if pair[0] != name]
                return
        self._list.append(field)

    def __delitem__(self, key: str) -> None:
        """Removes a field and its repetitions; nothing when it is not there."""
        unwanted = key.lower().encode("latin-1")
        self._list[:] = [pair for pair in self._list if pair[0] != unwanted]

    def setdefault(self, key: str, value: str) -> str:
        """The first value of a field, which is set to `value` where it is not there."""
        if key not in self:
            self.append(key, value)
        return self[key]

    def update(self, other: Mapping[str, str]) -> None:
        """Sets each of these fields, as `headers[name] = value` does."""
        for key, value in other.items():
            self[key] = value

    def append(self, key: str, value: str) -> None:
        """Adds a field beside those of the same name."""
        self._list.append(_encode(key, value))

    def add_vary_header(self, vary: str) -> None:
        """Adds a name to the `vary` field (RFC 9110, section 12.5.5)."""
        self["vary"] = ", ".join([*self.getlist("vary"), vary])

    def __ior__(self, other: Mapping[str, str]) -> Self:
        self.update(other)
        return self

    def __or__(self, other: Mapping[str, str]) -> MutableHeaders:
        both = self.mutablecopy()
        both.update(other)
        return both


class State:
    """A place for what the application keeps: `app.state.db = ...`, `request.state.user = ...`."""

    _state: dict[str, Any]

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        object.__setattr__(self, "_state", {} if state is None else state)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._state[name]
        except KeyError:
            raise AttributeError(
                f"nothing was stored in state as {name!r}", name=name, obj=self
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._state[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._state[name]
        except KeyError:
            raise AttributeError(
                f"nothing was stored in state as {name!r}", name=name, obj=self
            ) from None

    def __getitem__(self, name: str) -> Any:
        return self._state[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._state[name] = value

    def __delitem__(self, name: str) -> None:
        del self._state[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


class _Spooled(BufferedRandom):
    """A temporary file, by its descriptor; closed with its last reference, without a warning."""

    def __init__(self, fd: int) -> None:
        super().__init__(FileIO(fd, "w+b"))

    def __del__(self) -> None:
        self.close()


class _Kept(BytesIO):
    """What has been uploaded, where it was read to, and its share of the memory for that."""

    def __init__(self, content: bytes, claim: _core.FormClaim) -> None:
        super().__init__(content)  # it is not copied before something is written
        self._claim: _core.FormClaim | None = claim

    def close(self) -> None:
        super().close()
        self._claim = None


class UploadFile:
    """An uploaded file, part of a form (RFC 7578): `filename`, `content_type` and `headers` as the
    client said, `size` in bytes, and its content in `file`, a binary file that starts at its
    beginning. The name may be anything: it is no path to write to.

    Up to 1 MiB is in memory, up to 16 MiB while those of all requests together have no more than 64
    MiB, else in a temporary file that is gone once it is closed.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        size: int | None = None,
        filename: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        self.file = file
        self.size = size
        self.filename = filename
        self.headers = headers if headers is not None else Headers()

    @classmethod
    def _make(
        cls,
        content: bytes | int,
        claim: _core.FormClaim | None,
        size: int,
        filename: str,
        raw: list[tuple[bytes, bytes]],
    ) -> UploadFile:
        """What the core calls: `content` is all of it, or a descriptor to take over; `claim` is its
        share of the memory for long ones."""
        self = cls.__new__(cls)
        self.size = size
        self.filename = filename
        self.headers = Headers(raw=raw)
        if isinstance(content, int):
            self.file = _Spooled(content)
        else:
            self.file = BytesIO(content) if claim is None else _Kept(content, claim)
        return self

    @property
    def content_type(self) -> str | None:
        """Its media type as the client said, which nobody has checked; None where it said none."""
        return self.headers.get("content-type")

    @property
    def _in_memory(self) -> bool:
        return isinstance(self.file, BytesIO)

    def _content(self) -> bytes:
        position = self.file.tell()
        try:
            return self.file.read()
        finally:
            self.file.seek(position)

    async def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from where it is; all the rest when negative."""
        if self._in_memory:
            return self.file.read(size)
        return await to_thread(self.file.read, size)

    async def write(self, data: bytes) -> None:
        """Writes `data` where it is; `size` grows by its length."""
        if self.size is not None:
            self.size += len(data)
        if self._in_memory:
            self.file.write(data)
        else:
            await to_thread(self.file.write, data)

    async def seek(self, offset: int) -> None:
        """Goes to this byte, counted from the beginning."""
        if self._in_memory:
            self.file.seek(offset)
        else:
            await to_thread(self.file.seek, offset)

    async def close(self) -> None:
        """Closes the file; a temporary one is gone then."""
        if self._in_memory:
            self.file.close()
        else:
            await to_thread(self.file.close)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(filename={self.filename!r}, size={self.size!r}, "
            f"headers={self.headers!r})"
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls._validate)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "application/octet-stream"}

    @classmethod
    def _validate(cls, value: Any) -> UploadFile:
        if not isinstance(value, UploadFile):
            raise ValueError(f"Expected UploadFile, received: {type(value)}")
        return value


class FormData(ImmutableMultiDict[str, "UploadFile | str"]):
    """The fields and files of a submitted form, str and `UploadFile`, in the order they came."""

    async def close(self) -> None:
        """Closes its files."""
        for value in self._list:
            if isinstance(value[1], UploadFile):
                await value[1].close()
