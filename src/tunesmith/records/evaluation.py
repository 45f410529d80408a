"""The answers of all contenders to the same examples, their scores, cost and uncertainty."""

from pydantic import Field

from tunesmith.records.contender_kinds import ContenderKind, get_contender_kind
from tunesmith.records.example import Message
from tunesmith.records.origin import Origin
from tunesmith.records.protocols import GenerationMode
from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record

MAX_WAITING_FRACTION = 0.15
"""Fraction of its time that a program may wait for a core before its measured times are called
uncertain; our own rule.
"""


class Answer(Record):
    """One contender's answer to one test example.

    A score is a number in [0, 1] for one example; metrics that exist only over all examples
    (macro-F1) are not here. `scores` is empty if there is no answer (`error` has the reason) or the
    scorer could not judge it (`scoring_error` has the reason): both are counted in
    `Quantity.failed` and never scored 0. `question` and `expected` are set if the answers are
    stored on their own (`tunesmith evaluate --out`).
    """

    example: str
    text: str
    scores: dict[str, float]
    tokens_in: int
    tokens_out: int
    seconds: float
    is_complete: bool
    error: str | None = None
    scoring_error: str | None = None
    question: str | None = None
    expected: str | None = None
    tokens_shared: int = 0
    mode: GenerationMode = "written"


class TokenPrice(Record):
    """A provider's price in USD, with source and ISO date."""

    usd_per_million_in: float = Field(ge=0)
    usd_per_million_out: float = Field(ge=0)
    source: str
    date: str

    def compute_usd(self, tokens_in: float, tokens_out: float) -> float:
        """USD for this many tokens."""
        return (tokens_in * self.usd_per_million_in + tokens_out * self.usd_per_million_out) / 1e6


class Usage(Record):
    """The measured cost of answering.

    `seconds` is the wall time of all requests together, answered in batches (throughput); it
    includes the single requests by which `latency_seconds` (median seconds of one request on its
    own) was measured. `usd_charged` is the total charge if the service reports it.
    `waiting_fraction` is the fraction of the time in which this program was ready to run and got no
    core, because others used the machine. None: unknown.
    """

    requests: int
    tokens_in: int
    tokens_out: int
    seconds: float
    latency_seconds: float | None = None
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    usd_charged: float | None = None
    waiting_fraction: float | None = None


class ContenderSpec(Record):
    """What a contender is, apart from its answers.

    `kind` is one of outside, zero-shot, few-shot, rag, tuned, tuned+rag; `description` describes
    its input besides the question; `selection_notes` are sentences about what was chosen for it on
    the validation examples, with numbers. `setup_seconds` of this machine and `setup_usd_charged`
    by a provider were spent once (tuning, prompt search, indexing). `token_price` is set if a
    provider answers: then machine time is not counted. `retrieval_hit_rate` is the hit rate: the
    fraction of questions whose retrieved texts contained the right material.
    """

    name: str
    kind: str
    description: str
    selection_notes: tuple[str, ...] = ()
    setup_seconds: float = 0.0
    setup_usd_charged: float = 0.0
    token_price: TokenPrice | None = None
    retrieval_hit_rate: Quantity | None = None

    @property
    def traits(self) -> ContenderKind:
        """What follows from its kind. Errors: `RecordError` for a kind that this version does not
        know.
        """
        return get_contender_kind(self.kind, self.name)


class ContenderRecord(Record):
    """A contender that was run, apart from its answers: together they suffice to score it again.

    `judging` is the usage of a judge on its answers, if there is one.
    """

    spec: ContenderSpec
    usage: Usage | None = None
    judging: Usage | None = None


class TestExample(Record):
    """A test example as a scorer needs it. Examples of one `group` count as one observation.
    `prompt` is the contenders' input if it is more than the question as a user turn.
    """

    __test__ = False  # keeps pytest from collecting this class

    id: str
    question: str
    answer: str
    group: str | None = None
    prompt: tuple[Message, ...] = ()
    line: int = 0
    origin: Origin | None = None


class TestSet(Record):
    """The test examples and how they were scored: with `ContenderRecord` and the answers, the
    verdict can be recomputed.

    `labels` are the distinct training answers if the scorer is built from them; `contaminated` are
    ids of contaminated examples.
    """

    __test__ = False

    task: str
    scorer: str
    scorer_reason: str
    metric: str
    examples: tuple[TestExample, ...]
    labels: tuple[str, ...] = ()
    contaminated: tuple[str, ...] = ()
    machine_usd_per_hour: float
    seed: int = 0


class Contender(Record):
    """One way to do the task, measured. Fields that it has in common with `ContenderSpec` are
    explained there.

    `metrics` by name, the deciding one first; `score_without_contaminated` is the deciding metric
    on the test examples that nothing in training resembles, None if nothing leaked. `usd_per_1000`
    requests follows from `token_price`, or else from the machine's hourly price and the time that
    its tokens take by `Evaluation.machine`: equal work costs the same. `seconds_per_request` is the
    measured time. `setup_usd` follows from both.
    """

    name: str
    kind: str
    description: str
    metrics: dict[str, Quantity]
    seconds_per_request: float
    tokens_in_per_request: float
    tokens_out_per_request: float
    usd_per_1000: float
    setup_seconds: float = 0.0
    setup_usd: float = 0.0
    selection_notes: tuple[str, ...] = ()
    score_without_contaminated: Quantity | None = None
    usage: Usage | None = None
    token_price: TokenPrice | None = None
    retrieval_hit_rate: Quantity | None = None

    @property
    def traits(self) -> ContenderKind:
        """What follows from its kind. Errors: `RecordError` for a kind that this version does not
        know.
        """
        return get_contender_kind(self.kind, self.name)

    @property
    def usd_per_1000_or_none(self) -> float | None:
        """USD per 1,000 requests; None if unknown: an external system without a price, a provider
        that reported no tokens.
        """
        if self.token_price is not None:
            is_free = self.token_price.compute_usd(1, 1) == 0
            return self.usd_per_1000 if is_free or self.tokens_in_per_request else None
        is_told = not self.traits.is_external or (
            self.usage is not None and self.usage.usd_charged is not None
        )
        return self.usd_per_1000 if is_told else None

    @property
    def seconds_per_request_or_none(self) -> float | None:
        """Seconds per request; None for an external system that does not state them."""
        is_told = not self.traits.is_external or (self.usage is not None and self.usage.seconds > 0)
        return self.seconds_per_request if is_told else None


class Comparison(Record):
    """Paired difference a - b of one metric on the same examples, with 95 % interval and p-value.

    `test` names the method, `clusters` the number of groups if examples come in groups.
    `required_n` is the number of test examples at which a difference of this size would be
    significant (80 % power), None if it is significant already or there is no difference at all.
    """

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    n: int
    required_n: int | None = None
    test: str = ""
    clusters: int | None = None


class MachineTime(Record):
    """Time of answering on this machine, measured over all contenders of the model together.

    `seconds` by kind of work: a token read, a token generated, a token generated under a
    constraint, an answer picked among labels, a retrieval. `uncertainty` is the relative 95 %
    half-width of a contender's time by these rates: two that differ by less cost the same as far as
    this run can measure. `waiting_fraction` as in `Usage`, the mean over contenders.
    """

    seconds: dict[str, float]
    uncertainty: float
    waiting_fraction: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether other programs slowed this one down so much that its times are unreliable."""
        return self.waiting_fraction is not None and self.waiting_fraction > MAX_WAITING_FRACTION


class Evaluation(Record):
    """All contenders on the same test examples. The first metric is the deciding one.

    `contaminated` are contaminated test examples (`Contender.clean` excludes them); `clusters` is
    the number of groups of the examples, None if they are independent. `judging` is a judge's usage
    on all answers, None without a judge; its qualification is recorded separately
    (`JudgeQualification.usage`). `machine` has the time per token on this machine, None if no
    contender ran on it.
    """

    task: str
    scorer: str
    scorer_reason: str
    metric: str
    examples: tuple[str, ...]
    contenders: tuple[Contender, ...]
    comparisons: tuple[Comparison, ...]
    machine_usd_per_hour: float
    contaminated: tuple[str, ...] = ()
    clusters: int | None = None
    judging: Usage | None = None
    machine: MachineTime | None = None

    @property
    def scorer_names(self) -> list[str]:
        """The names of the combined scorers: `label + judge` is a plain one with a judge."""
        return split_scorer_name(self.scorer)

    def get_contender(self, name: str) -> Contender:
        """The contender of that name. Errors: KeyError."""
        return {contender.name: contender for contender in self.contenders}[name]


SCORER_SEPARATOR = " + "
"""Separates the names of a scorer and its judge, as stored in run folders."""


def join_scorer_names(first: str, second: str) -> str:
    """The name of two combined scorers, the deciding one first."""
    return f"{first}{SCORER_SEPARATOR}{second}"


def split_scorer_name(scorer: str) -> list[str]:
    """The names of the combined scorers: `label + judge` is a plain one with a judge."""
    return scorer.split(SCORER_SEPARATOR)
