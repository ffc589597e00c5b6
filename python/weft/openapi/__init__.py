"""What an App's routes look like from outside: its OpenAPI 3.1 document, and pages that show it."""

from weft.openapi.document import openapi
from weft.openapi.schemas import SchemaError

__all__ = ["SchemaError", "openapi"]
