"""What was forgotten: the same probe before and after, compared item by item and paragraph by
paragraph.

Items: the paired difference of right and wrong (`stats.paired_difference`: McNemar's test, Tango's
interval).

Text: with nats n_i before, m_i after, and t_i tokens of paragraph i, the rise in nats per token is
the ratio
    R = sum (m_i - n_i) / sum t_i,  standard error  s = sqrt(N / (N - 1) sum r_i^2) / sum t_i
with residuals r_i = (m_i - n_i) - R t_i, and the interval R +- t_{0.975, N - 1} s. Paragraphs are
the units, because the tokens of one paragraph are correlated.

Source: Cochran 1977, "Sampling Techniques", 6.4 (ratio estimator).
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from tunesmith.errors import RecordError
from tunesmith.evaluation.forgetting.probe import load_probe_items
from tunesmith.evaluation.stats.intervals import mean_interval
from tunesmith.evaluation.stats.multiple_testing import holm_adjust
from tunesmith.evaluation.stats.paired_difference import paired_difference
from tunesmith.evaluation.stats.significance import ALPHA, FloatArray
from tunesmith.records import (
    AbilityChange,
    Forgetting,
    GeneralAbility,
    ProbeAnswer,
    Quantity,
    Regression,
    TextLoss,
    TextLossChange,
)

MAX_SHOWN_REGRESSIONS = 6
BeforeAfter = tuple[ProbeAnswer, ProbeAnswer]


def compute_forgetting(before: GeneralAbility, after: GeneralAbility) -> Forgetting:
    """The change of general ability. Errors: `RecordError` if the two probes differ."""
    if before.probe != after.probe:
        raise RecordError(
            "other-probe",
            "general ability was measured with two different probes and cannot be compared",
            got=f"{before.probe[:12]} before, {after.probe[:12]} after",
            hint="measure both with the same version of tunesmith",
        )
    pairs = list(zip(before.answers, after.answers, strict=True))
    whole = _compute_change("all", pairs)
    lost = [(x, y) for x, y in pairs if x.is_correct and y.is_correct is False]
    names = dict.fromkeys(x.kind for x, _ in pairs)
    kinds = [
        _compute_change(kind, [pair for pair in pairs if pair[0].kind == kind]) for kind in names
    ]
    corrected = holm_adjust([change.p for change in kinds])
    return Forgetting(
        before=whole.before,
        after=whole.after,
        drop=whole.drop,
        p=whole.p,
        lost=len(lost),
        gained=sum(x.is_correct is False and bool(y.is_correct) for x, y in pairs),
        # Holm over the kinds; the overall p-value is a single comparison and stays as it is.
        kinds=tuple(change.replace(p=p) for change, p in zip(kinds, corrected, strict=True)),
        regressions=_select_regressions(lost),
        text=_compute_text_change(before.texts, after.texts),
        seconds=before.seconds + after.seconds,
    )


def _compute_change(kind: str, pairs: Sequence[BeforeAfter]) -> AbilityChange:
    """The change over the items answered both times; the others count as failed."""
    both = [
        (x.is_correct, y.is_correct)
        for x, y in pairs
        if x.is_correct is not None and y.is_correct is not None
    ]
    # `reshape` gives two empty rows if no item was answered both times.
    before_N, after_N = np.array(both, dtype=np.float64).reshape(-1, 2).T
    # Before minus after: a positive value is a drop.
    difference = paired_difference(before_N, after_N)
    failed = len(pairs) - len(both)
    return AbilityChange(
        kind=kind,
        before=_compute_rate(before_N, failed),
        after=_compute_rate(after_N, failed),
        drop=Quantity(
            value=difference.value,
            low=difference.low,
            high=difference.high,
            n=difference.n,
            n_failed=failed,
        ),
        p=difference.p,
    )


def _compute_rate(is_right_N: FloatArray, failed: int) -> Quantity:
    share = mean_interval(is_right_N)
    return Quantity(value=share.value, low=share.low, high=share.high, n=share.n, n_failed=failed)


def _select_regressions(lost: Sequence[BeforeAfter]) -> tuple[Regression, ...]:
    """Up to `MAX_SHOWN_REGRESSIONS` of the lost items, alternating between kinds."""
    prompts = {item.id: item.prompt for item in load_probe_items()}
    turn: dict[str, int] = {}
    ordered = []
    for x, y in lost:
        turn[x.kind] = turn.get(x.kind, 0) + 1
        ordered.append((turn[x.kind], x, y))
    return tuple(
        Regression(
            item=x.item, kind=x.kind, prompt=prompts.get(x.item, ""), before=x.text, after=y.text
        )
        for _, x, y in sorted(ordered, key=lambda entry: entry[0])[:MAX_SHOWN_REGRESSIONS]
    )


def _compute_text_change(
    before: Sequence[TextLoss], after: Sequence[TextLoss]
) -> TextLossChange | None:
    """The change in loss; None if one of the two was not measured.

    Errors: `RecordError` if the token counts differ.
    """
    if not before or not after:
        return None
    tokens_N = np.array([text.tokens for text in before], dtype=np.float64)
    # Equal counts per paragraph stand for equal tokenizers; else nats per token do not compare.
    if [text.tokens for text in after] != [text.tokens for text in before]:
        raise RecordError(
            "other-tokens",
            "losses per token of two different tokenizers cannot be compared",
            got=f"{int(tokens_N.sum()):,} and {sum(text.tokens for text in after):,} tokens",
            hint="measure forgetting on a model and on a model tuned from it",
        )
    before_N = np.array([text.nats for text in before])
    after_N = np.array([text.nats for text in after])
    tokens = float(tokens_N.sum())
    value, half = estimate_ratio(after_N - before_N, tokens_N)
    return TextLossChange(
        before=float(before_N.sum()) / tokens,
        after=float(after_N.sum()) / tokens,
        rise=Quantity(value=value, low=value - half, high=value + half, n=len(before)),
    )


def estimate_ratio(amounts_N: FloatArray, sizes_N: FloatArray) -> tuple[float, float]:
    """(sum(amounts) / sum(sizes), half of its 95 % interval) by the module's formula. Needs at
    least two units."""
    n, total = len(amounts_N), float(sizes_N.sum())
    ratio = float(amounts_N.sum()) / total
    residuals_N = amounts_N - ratio * sizes_N
    error = float(np.sqrt(n / (n - 1) * (residuals_N**2).sum())) / total
    return ratio, float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * error
