"""The markers."""

import pytest

from weft.params import Body, Cookie, Header, Options, Path, Query


@pytest.mark.parametrize("marker", [Path, Query, Header, Cookie, Body])
def test_every_marker_takes_every_option(marker):
    for name in Options.__annotations__:
        marker(**{name: None})


@pytest.mark.parametrize("marker", [Path, Query, Header, Cookie, Body])
def test_an_unknown_option_is_refused(marker):
    words = f"{marker.__name__}\\(\\) got an unexpected keyword argument 'lenght'"
    with pytest.raises(TypeError, match=words):
        marker(lenght=3)


def test_a_path_parameter_has_no_default():
    with pytest.raises(TypeError, match="cannot have a default"):
        Path(5)


def test_default_or_factory():
    with pytest.raises(TypeError, match="not both"):
        Query(5, default_factory=int)


def test_repr():
    assert repr(Query()) == "Query()"
    assert repr(Header("x")) == "Header('x')"


def test_options_are_sorted_by_who_reads_them():
    marker = Query(ge=1, strict=True, title="T", alias="a")
    assert marker.constraints == {"ge": 1}
    assert marker.pydantic_options == {"strict": True}
    assert marker.documentation == {"title": "T"}
    assert marker.alias == "a"
