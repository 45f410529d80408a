"""A field whose value is a name in a registry: a closed set of words that plugins can extend."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from tunesmith.plugins import Registry


@dataclass(frozen=True)
class RegisteredName:
    """`Annotated[str, RegisteredName(METHODS)]`. An invalid value is reported as for a
    `Literal`."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, core_schema.str_schema())

    def _check(self, value: Any) -> Any:
        # The registry checks built-in names first, so entry points are read only for other names.
        if isinstance(value, str) and value in self.registry:
            return value
        *names, last = map(repr, self.registry)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(names)} or {last}"})
