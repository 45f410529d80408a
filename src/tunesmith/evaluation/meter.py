"""What asking a contender took, measured while it was asked."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tunesmith.records import Answer, Usage


class Meter:
    """A context manager around the asking; `seconds` is known when the block is left."""

    seconds = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._began

    def usage(self, answers: Sequence[Answer]) -> Usage:
        """What was measured, with the tokens of these answers."""
        return Usage(
            requests=len(answers),
            tokens_in=sum(answer.tokens_in for answer in answers),
            tokens_out=sum(answer.tokens_out for answer in answers),
            seconds=self.seconds,
        )
