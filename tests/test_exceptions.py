"""HTTPException and RequestValidationError are Starlette's and FastAPI's by another name."""

import fastapi.exceptions
import pytest

from weft.exceptions import HTTPException, RequestValidationError


@pytest.mark.parametrize(
    "arguments", [(404,), (418, "tea"), (400, {"a": 1}), (401, None, {"www-authenticate": "Basic"})]
)
def test_http_exception_is_fastapis(arguments):
    ours, theirs = HTTPException(*arguments), fastapi.exceptions.HTTPException(*arguments)
    for name in ("status_code", "detail", "headers"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert str(ours) == str(theirs)
    assert repr(ours) == repr(theirs)


def test_an_unknown_status_has_no_phrase():
    """It was a ValueError, and so a 500."""
    assert HTTPException(499).detail == fastapi.HTTPException(499).detail == ""
    assert HTTPException(599, "odd").detail == "odd"


@pytest.mark.parametrize("errors", [[], [{"type": "missing"}], [{"type": "a"}, {"type": "b"}]])
def test_request_validation_error_is_fastapis(errors):
    ours = RequestValidationError(errors, body=b"x")
    theirs = fastapi.exceptions.RequestValidationError(errors, body=b"x")
    assert ours.errors() == theirs.errors()
    assert ours.body == theirs.body
    assert str(ours) == str(theirs)
