"""What every contender answered on the same examples, how that scored, and how sure we are."""

from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record


class Answer(Record):
    """One contender's answer to one test example. `scores` is empty when `error` says that there is no answer.

    A score is a number in [0, 1] for one example; metrics that only exist over all examples (macro-F1) are not here.
    """

    example: str
    text: str
    scores: dict[str, float]
    tokens_in: int
    tokens_out: int
    seconds: float
    finished: bool
    error: str | None = None


class Contender(Record):
    """One way to do the task, measured.

    `kind` is one of zero-shot, few-shot, rag, tuned, tuned+rag; `given` says in words what it was given besides the
    question. `metrics` by name; `seconds_per_request` is wall time over requests, `usd_per_1000` follows from it and
    the machine's hourly price. `setup_seconds` is what had to be spent once (tuning, indexing).
    """

    name: str
    kind: str
    given: str
    metrics: dict[str, Quantity]
    seconds_per_request: float
    tokens_in_per_request: float
    tokens_out_per_request: float
    usd_per_1000: float
    setup_seconds: float = 0.0
    setup_usd: float = 0.0


class Comparison(Record):
    """Paired difference a - b of one metric on the same examples, with 95 % interval and p value.

    `needed_n` is the number of test examples at which a difference of this size would be told from noise (80 % power),
    None when it is told already or there is no difference at all.
    """

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    n: int
    needed_n: int | None = None


class Evaluation(Record):
    """All contenders on the same test examples. The first metric is the one that decides."""

    task: str
    scorer: str
    scorer_reason: str
    metric: str
    examples: tuple[str, ...]
    contenders: tuple[Contender, ...]
    comparisons: tuple[Comparison, ...]
    machine_usd_per_hour: float

    def contender(self, name: str) -> Contender:
        """The contender of that name. Errors: KeyError."""
        return {contender.name: contender for contender in self.contenders}[name]
