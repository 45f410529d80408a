"""A choice that was made on the validation examples, kept with a run so that it is never made twice."""

from tunesmith.records.record import Record


class Tried(Record):
    """A candidate by its name, and its scores on the examples that it was asked; None where there was none."""

    name: str
    scores: tuple[float | None, ...]


class ChoiceMade(Record):
    """What was tried for `what` (`shots`, `prompt`, `rag`), the chosen one first, and what that took."""

    what: str
    trials: tuple[Tried, ...]
    seconds: float
    usd_charged: float = 0.0
