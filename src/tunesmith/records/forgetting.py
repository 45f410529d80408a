"""What a model can do in general, measured before and after tuning, and what it forgot in between.

Everything here is measured on items and texts of our own (`evaluation/forgetting/`): the user's
test examples are never used.
"""

from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record


class ProbeAnswer(Record):
    """The answer to one item of the general probe. `is_correct` is None if there was no answer."""

    item: str
    kind: str
    text: str
    is_correct: bool | None


class TextLoss(Record):
    """The loss of one paragraph of general text: total nats, over how many tokens."""

    nats: float
    tokens: int


class GeneralAbility(Record):
    """One model on the general probe. `probe` is the fingerprint of items and texts: only equal
    ones are compared.

    `texts` is empty if the model cannot compute the likelihood of a text.
    """

    probe: str
    answers: tuple[ProbeAnswer, ...]
    texts: tuple[TextLoss, ...] = ()
    seconds: float = 0.0


class AbilityChange(Record):
    """The fraction of one kind of items that is right, before and after; `drop` is before - after,
    paired.

    `p` is corrected (Holm) for all kinds.
    """

    kind: str
    before: Quantity
    after: Quantity
    drop: Quantity
    p: float


class TextLossChange(Record):
    """Nats per token of general text, before and after; `rise` is after - before with its interval
    over paragraphs.
    """

    before: float
    after: float
    rise: Quantity


class Regression(Record):
    """An item that was right before tuning and is wrong after it."""

    item: str
    kind: str
    prompt: str
    before: str
    after: str


class Forgetting(Record):
    """General ability lost by tuning. `drop` is compared with `Requirements.max_forgetting`.

    `drop` is the paired difference before - after of the fraction of items that are right, so a
    positive one is a loss; `p` is that of McNemar's test (`evaluation/stats/paired_difference.py`).
    `gained` counts the items that only the tuned model gets right; `regressions` are some of the
    `lost` ones.
    """

    before: Quantity
    after: Quantity
    drop: Quantity
    p: float
    lost: int
    gained: int
    kinds: tuple[AbilityChange, ...]
    regressions: tuple[Regression, ...] = ()
    text: TextLossChange | None = None
    seconds: float = 0.0
