"""Forgetting described in sentences, each with its numbers."""

from tunesmith.records import AbilityChange, Forgetting, Quantity
from tunesmith.records.quantity import format_percent, format_points, format_points_number

SIGNIFICANCE_LEVEL = 0.05
KIND_NAMES = {
    "instruction": "following instructions",
    "arithmetic": "arithmetic",
    "fact": "facts",
    "format": "formats",
    "willing": "answering harmless requests",
}


def describe_forgetting(forgetting: Forgetting, budget: float | None = None) -> list[str]:
    """Sentences for the report: the drop compared with `budget` (a fraction in [0, 1]), the kinds
    of tasks that dropped significantly, the loss on general text."""
    sentences = [_describe_drop(forgetting)]
    if budget is not None:
        sentences.append(_compare_with_budget(forgetting.drop, budget))
    # p-values of the kinds are already adjusted for multiple comparisons.
    fallen = [
        change
        for change in forgetting.kinds
        if change.drop.value > 0 and change.p < SIGNIFICANCE_LEVEL
    ]
    if fallen:
        sentences.append(
            f"Significant drops: {'; '.join(_describe_kind(change) for change in fallen)}."
        )
    if forgetting.text is not None:
        text, rise = forgetting.text, forgetting.text.rise
        verb = "rose" if rise.value > 0 else "fell"
        sentences.append(
            f"General text: {text.before:.3f} nats per token before, {text.after:.3f} after: it"
            f" {verb} by {abs(rise.value):.3f} (95 % interval of the change {rise.low:+.3f} to"
            f" {rise.high:+.3f}, {rise.n:,} paragraphs)."
        )
    if forgetting.drop.n_failed:
        sentences.append(
            f"{forgetting.drop.n_failed:,} items without an answer before or after are excluded."
        )
    # A typographic minus sign, but only where numbers are signed: other sentences have hyphens.
    return [
        sentence.replace("-", "−") if "nats per token" in sentence else sentence
        for sentence in sentences
    ]


def _describe_drop(forgetting: Forgetting) -> str:
    drop = forgetting.drop
    if drop.low > 0:
        verb = f"fell by {format_points(drop.value)}"
    elif drop.high < 0:
        verb = f"rose by {format_points(-drop.value)}"
    elif drop.value == 0:
        verb = "did not change"
    else:
        verb = (
            f"{'fell' if drop.value > 0 else 'rose'} by {format_points(abs(drop.value))}, "
            "which is not significant"
        )
    return (
        f"General ability {verb}: {format_percent(forgetting.before.value)} of {drop.n:,} "
        f"short tasks were correct before tuning, {format_percent(forgetting.after.value)} "
        f"after (95 % interval of the drop {format_points_number(drop.low)} to "
        f"{format_points(drop.high)}; {forgetting.lost:,} lost, {forgetting.gained:,} gained)."
    )


def _compare_with_budget(drop: Quantity, budget: float) -> str:
    if drop.low > budget:
        return (
            f"This is significantly more than the allowed {format_points(budget)} (max_forgetting)."
        )
    if drop.value > budget:
        return (
            f"This is more than the allowed {format_points(budget)} (max_forgetting), but not "
            "significantly."
        )
    if drop.high > budget:
        return (
            f"This is within the allowed {format_points(budget)} (max_forgetting), but a "
            "larger drop is not ruled out."
        )
    return f"A drop of more than the allowed {format_points(budget)} (max_forgetting) is ruled out."


def _describe_kind(change: AbilityChange) -> str:
    drop = change.drop
    return (
        f"{KIND_NAMES.get(change.kind, change.kind)} {format_points(drop.value)} (95 % interval"
        f" {format_points_number(drop.low)} to {format_points_number(drop.high)}, n = {drop.n:,})"
    )
