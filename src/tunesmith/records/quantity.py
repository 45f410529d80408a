"""A measured number with its 95 % interval and number of observations, and how numbers are
formatted.

Scores are in [0, 1]; they are shown as percentages and their differences as percentage points.
"""

from collections.abc import Sequence

from tunesmith.records.record import Record


class Quantity(Record):
    """`value` in [`low`, `high`] with 95 % confidence from `n` observations; `n_failed` further
    ones gave no score.
    """

    value: float
    low: float
    high: float
    n: int
    n_failed: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}] n={self.n}"


def format_percent(fraction: float) -> str:
    """For example `81.2 %`."""
    return f"{100 * fraction:.1f} %"


def format_with_interval(quantity: Quantity) -> str:
    """For example `81.2 % (95 % interval 77.9 to 84.3 %, n = 240)`."""
    return (
        f"{format_percent(quantity.value)} (95 % interval {100 * quantity.low:.1f} to "
        f"{format_percent(quantity.high)}, n = {quantity.n:,})"
    )


def format_points(difference: float) -> str:
    """For example `12.3 points`, `−1.7 points`: hundredths of a score."""
    return f"{format_points_number(difference)} points"


def format_points_number(difference: float) -> str:
    """For example `12.3`, `−1.7`: points without the word, with a true minus sign."""
    # "-0.0" is a rounded zero and must not look negative; U+2212 is the minus sign.
    return f"{100 * difference:.1f}".replace("-0.0", "0.0").replace("-", "−")


def format_usd(amount: float, beside: Sequence[float] = ()) -> str:
    """For example `$1.30`, `$0.0042`: two significant digits, also for the smallest of the amounts
    it is shown `beside`.
    """
    least = min((one for one in (amount, *beside) if one > 0), default=1.0)
    decimals = max(2, -int(f"{least:.1e}".partition("e")[2]) + 1)
    return f"${amount:,.{decimals}f}"


def format_duration(seconds: float) -> str:
    """For example `0.42 s`, `42 s`, `7 min`, `3.2 h`: two significant digits or slightly more."""
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
    "ter": "TER",
    "l": "L",
}


def format_metric_name(metric: str) -> str:
    """A metric's name as used in a sentence: `field_f1` -> `field F1`."""
    if metric == "exact":
        return "exact match"
    return " ".join(_METRIC_SPELLINGS.get(word, word) for word in metric.replace("_", " ").split())
