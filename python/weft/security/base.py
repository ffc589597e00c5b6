"""What every security scheme is: a dependency that the OpenAPI document tells of."""

from __future__ import annotations

from typing import Any


class SecurityBase:
    """`model` is its Security Scheme Object (OpenAPI 3.1), `scheme_name` its key there."""

    model: Any
    scheme_name: str
