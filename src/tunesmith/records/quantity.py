"""A measured number with its 95 % interval and the number of observations behind it, and how numbers are told.

Scores lie in [0, 1]; people read them as percentages and their differences as points.
"""

from collections.abc import Sequence

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


def format_percent(fraction: float) -> str:
    """`81.2 %`."""
    return f"{100 * fraction:.1f} %"


def format_with_interval(quantity: Quantity) -> str:
    """`81.2 % (95 % interval 77.9 to 84.3 %, n = 240)`."""
    return (
        f"{format_percent(quantity.value)} (95 % interval {100 * quantity.low:.1f} to "
        f"{format_percent(quantity.high)}, n = {quantity.n:,})"
    )


def format_points(difference: float) -> str:
    """`12.3 points`, `−1.7 points`: hundredths of a score."""
    return f"{format_points_number(difference)} points"


def format_points_number(difference: float) -> str:
    """`12.3`, `−1.7`: points without their word, with a true minus sign."""
    return f"{100 * difference:.1f}".replace("-0.0", "0.0").replace("-", "−")


def format_usd(amount: float, beside: Sequence[float] = ()) -> str:
    """`$1.30`, `$0.0042`: two digits that mean something, also in the smallest of those it stands `beside`."""
    least = min((one for one in (amount, *beside) if one > 0), default=1.0)
    decimals = max(2, -int(f"{least:.1e}".partition("e")[2]) + 1)
    return f"${amount:,.{decimals}f}"


def format_duration(seconds: float) -> str:
    """`0.42 s`, `42 s`, `7 min`, `3.2 h`: two digits or a little more."""
    if seconds < 10:
        return f"{seconds:.2f} s" if 0.1 <= seconds < 1 else f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


_METRIC_SPELLINGS = {
    "f1": "F1",
    "squad": "SQuAD",
    "json": "JSON",
    "rouge": "ROUGE",
    "chrf": "chrF",
    "bleu": "BLEU",
    "l": "L",
}


def format_metric_name(metric: str) -> str:
    """A metric's name as it stands in a sentence: `field_f1` -> `field F1`."""
    if metric == "exact":
        return "exact match"
    return " ".join(_METRIC_SPELLINGS.get(word, word) for word in metric.replace("_", " ").split())
