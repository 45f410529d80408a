"""A measured number with its 95 % interval and the number of observations behind it."""

from tunesmith.records.record import Record


class Quantity(Record):
    """`value` in [`low`, `high`] with 95 % confidence from `n` observations; `failed` of them gave no score."""

    value: float
    low: float
    high: float
    n: int
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}] n={self.n}"
