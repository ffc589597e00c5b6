"""Replies in gzip, br or zstd (RFC 9110 section 8.4), compressed in C as they are written."""

from __future__ import annotations

from collections.abc import Collection

from weft import _core
from weft.middleware.layers import Middleware, _texts

__all__ = ["EXCLUDED_CONTENT_TYPES", "CompressionMiddleware", "GZipMiddleware"]

EXCLUDED_CONTENT_TYPES = (
    "application/grpc",
    "application/gzip",
    "application/x-gzip",
    "application/zip",
    "application/zstd",
    "audio/*",
    "font/woff",
    "font/woff2",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/event-stream",
    "video/*",
)
"""Media types that are compressed already, or read as they come: Starlette's, and zstd's own."""

_LIBRARIES = {
    "gzip": "zlib with its headers (zlib1g-dev)",
    "br": "brotli with its headers (libbrotli-dev)",
    "zstd": "zstd with its headers (libzstd-dev)",
}


class CompressionMiddleware(Middleware):
    """Replies of at least `minimum_size` bytes, in the coding that the client likes best (RFC 9110,
    sections 8.4 and 12.5.3).

    `codings` are in the order that decides where it likes several as well: zstd, br, gzip, as far
    as weft was built with them. Levels go from fast to small: `gzip_level` from 1 to 9, `br_level`
    0 to 11, `zstd_level` 1 to 19. Streams are compressed chunk by chunk, and so is a reply of at
    least `piecewise_size` bytes: 32 KiB in a turn of the event loop, so that others are not held
    up by it; it is sent without a content-length, as a stream is. What is coded already, a
    part of a file, marked `no-transform` or of `exclude_content_types` is left alone; an ETag
    becomes weak (section 8.8.1). `ValueError` for a coding that weft was built without.
    """

    def __init__(
        self,
        minimum_size: int = 500,
        gzip_level: int = 6,
        br_level: int = 4,
        zstd_level: int = 3,
        *,
        codings: Collection[str] | None = None,
        piecewise_size: int = 128 * 1024,
        exclude_content_types: Collection[str] = EXCLUDED_CONTENT_TYPES,
    ) -> None:
        levels = {"zstd": zstd_level, "br": br_level, "gzip": gzip_level}
        if minimum_size < 0 or piecewise_size < 0:
            raise ValueError("minimum_size and piecewise_size are at least 0")
        if isinstance(codings, str):
            raise TypeError(f"codings are a list of names, not {codings!r}")
        if codings is None:
            codings = [name for name in levels if name in _core.content_codings]
        for name in codings:
            if name not in levels:
                raise ValueError(
                    f"there is no content coding {name!r}: zstd, br and gzip are known"
                )
            if name not in _core.content_codings:
                raise ValueError(
                    f"weft was built without the content coding {name!r}: install "
                    f"{_LIBRARIES[name]} and pkg-config, and build weft again"
                )
        types = [name.partition(";")[0].strip().lower() for name in exclude_content_types]
        self._config = (
            minimum_size,
            piecewise_size,
            tuple((name, levels[name]) for name in dict.fromkeys(codings)),
            _texts(types),
        )

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "compress", self._config


class GZipMiddleware(CompressionMiddleware):
    """Compression in gzip alone, with Starlette's arguments and defaults.

    What Starlette compresses in a thread, from `thread_minimum_size` bytes on, is compressed piece
    by piece: the `piecewise_size` of CompressionMiddleware.
    """

    def __init__(
        self,
        minimum_size: int = 500,
        compresslevel: int = 9,
        thread_minimum_size: int = 128 * 1024,
        *,
        exclude_content_types: Collection[str] = EXCLUDED_CONTENT_TYPES,
    ) -> None:
        super().__init__(
            minimum_size,
            compresslevel,
            codings=["gzip"],
            piecewise_size=thread_minimum_size,
            exclude_content_types=exclude_content_types,
        )
