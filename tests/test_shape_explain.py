"""weft.shape(T).explain(): which parts are native, which are handed over, and why."""

from typing import Annotated, Any

from pydantic import (
    AnyUrl,
    BaseModel,
    BeforeValidator,
    Json,
    WrapValidator,
    computed_field,
    field_serializer,
    field_validator,
)

from weft import shape


class Whole(BaseModel):
    """Read by pydantic, for more than one reason."""

    before: Annotated[int, BeforeValidator(lambda value: value)]
    around: Annotated[int, WrapValidator(lambda value, handler: handler(value))]
    url: AnyUrl
    text: Json
    plain: int

    @field_validator("plain", mode="plain")
    @classmethod
    def check_plain(cls, value: Any) -> Any:
        return value

    @field_serializer("plain")
    def write_plain(self, value: Any) -> Any:
        return value

    @computed_field
    @property
    def computed(self) -> int:
        return 1


def test_explain_names_all_that_is_handed_over() -> None:
    read = shape(Whole).explain().splitlines()
    assert read[0].startswith("Whole: handed over to pydantic: ")
    assert "  check_plain(): a plain validator of plain" in read
    for name in ("before", "around", "url", "text"):
        assert any(f"  {name}, by itself: " in line for line in read), name
    written = shape(Whole).explain(mode="serialization").splitlines()
    assert written[0] == "Whole: native"
    assert any(line.startswith("  text: ") and "handed over" in line for line in written)
    assert "  plain: any: written by write_plain()" in written
    assert "  computed, computed: int: native" in written
