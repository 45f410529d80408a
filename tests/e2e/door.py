"""What a test sees of one command line."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Printed(NamedTuple):
    """What one command line left: its exit code and its two streams."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


Door = Callable[..., Printed]
