"""What the typed workloads are of, on every server: rows that are sent, bodies that are read."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field


class Row(BaseModel):
    id: int
    name: str
    price: float
    in_stock: bool
    note: str | None = None


def rows() -> list[dict]:
    return [
        {"id": i, "name": f"item {i}", "price": i * 1.25, "in_stock": i % 3 != 0, "note": None}
        for i in range(50)
    ]


# Made once: what is measured is the framework.
ROWS = rows()


class Address(BaseModel):
    street: str
    zip: str = Field(max_length=10)


class Item(BaseModel):
    sku: str = Field(min_length=1)
    quantity: int = Field(ge=1)
    price: float


class Order(BaseModel):
    """A validated body with models in it."""

    id: int
    customer: str
    placed: datetime
    address: Address
    items: list[Item]
    note: str | None = None


@dataclass
class Point:
    x: float
    y: float


@dataclass
class Track:
    """A body of dataclasses."""

    name: str
    points: list[Point]
