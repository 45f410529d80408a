"""What every contender answered on the same examples, how that scored, what it took, and how sure we are."""

from pydantic import Field

from tunesmith.records.contender_kinds import ContenderKind, get_contender_kind
from tunesmith.records.example import Message
from tunesmith.records.origin import Origin
from tunesmith.records.protocols import GenerationMode
from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record

MAX_WAITING_FRACTION = 0.15
"""The share of its time that a program may wait for a core before its times are called uncertain; our rule."""


class Answer(Record):
    """One contender's answer to one test example.

    A score is a number in [0, 1] for one example; metrics that only exist over all examples (macro-F1) are not here.
    `scores` is empty when there is no answer (`error` says why) or when the scorer could not judge it (`unscored` says
    why): both are counted in `Quantity.failed` and never scored 0. `question` and `expected` are there where answers
    stand by themselves (`tunesmith evaluate --out`).
    """

    example: str
    text: str
    scores: dict[str, float]
    tokens_in: int
    tokens_out: int
    seconds: float
    finished: bool
    error: str | None = None
    unscored: str | None = None
    question: str | None = None
    expected: str | None = None
    tokens_shared: int = 0
    way: GenerationMode = "written"


class TokenPrice(Record):
    """What a provider charges, with who says so and when (ISO date)."""

    usd_per_million_in: float = Field(ge=0)
    usd_per_million_out: float = Field(ge=0)
    source: str
    date: str

    def compute_usd(self, tokens_in: float, tokens_out: float) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.usd_per_million_in + tokens_out * self.usd_per_million_out) / 1e6


class Usage(Record):
    """What asking took, measured. `seconds` is wall time of all requests together, answered in batches (throughput);
    where `latency_seconds` was measured (the median wait for one request that is alone), of those single ones, too.
    `usd_charged` is what all of them cost, where whoever answered says so itself. `waiting` is the share of the time in
    which this program was ready to run and got no core, because others used the machine. None: nobody tells."""

    requests: int
    tokens_in: int
    tokens_out: int
    seconds: float
    latency_seconds: float | None = None
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    usd_charged: float | None = None
    waiting: float | None = None


class ContenderSpec(Record):
    """What a contender is, apart from its answers.

    `kind` is a name in the table of `contender_kinds.py`, `traits` its row; `given` says in words what it was given
    besides the question; `chosen` are sentences about what was chosen for it on the validation examples, with numbers.
    `setup_seconds` of this machine and `setup_usd_charged` by a provider had to be spent once (tuning, searching a
    prompt, indexing). `build_token_price` is set where a provider answers: then the machine's hours are not counted.
    `retrieval_hits` is the share of questions for which the right material was among what was retrieved.
    """

    name: str
    kind: str
    given: str
    chosen: tuple[str, ...] = ()
    setup_seconds: float = 0.0
    setup_usd_charged: float = 0.0
    token_price: TokenPrice | None = None
    retrieval_hits: Quantity | None = None

    @property
    def traits(self) -> ContenderKind:
        """What follows from its kind. Errors: `RecordError` for a kind that this version does not know."""
        return get_contender_kind(self.kind, self.name)


class ContenderRecord(Record):
    """A contender that was asked, apart from its answers: with them, all that judging it again needs.

    `judging` is what a judge took to mark its answers, where there is one.
    """

    profile: ContenderSpec
    usage: Usage | None = None
    judging: Usage | None = None


class TestExample(Record):
    """A test example as a scorer needs it. `group`: those of one group count as one observation. `prompt` is what
    contenders were given, where that is more than the question as a user's turn."""

    __test__ = False  # not for pytest

    id: str
    question: str
    answer: str
    group: str | None = None
    prompt: tuple[Message, ...] = ()
    line: int = 0
    origin: Origin | None = None


class TestSet(Record):
    """What all contenders were asked and how it was scored: with `ContenderRecord` and the answers, a verdict can be
    made again.

    `labels` are the different train answers where the scorer is made from them; `leaked` are ids of examples that
    something in training resembles.
    """

    __test__ = False

    task: str
    scorer: str
    scorer_reason: str
    metric: str
    examples: tuple[TestExample, ...]
    labels: tuple[str, ...] = ()
    leaked: tuple[str, ...] = ()
    machine_usd_per_hour: float
    seed: int = 0


class Contender(Record):
    """One way to do the task, measured. The fields that it has in common with `ContenderSpec` are explained there.

    `metrics` by name, the deciding one first; `clean` is the deciding metric on the test examples that nothing in
    training resembles, None where nothing leaked. `usd_per_1000` requests follows from `build_token_price`, else from
    the machine's hourly price and the time that its tokens take by `Evaluation.machine`: equal work costs the same.
    `seconds_per_request` is the time that was measured. `setup_usd` follows from both.
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
    chosen: tuple[str, ...] = ()
    clean: Quantity | None = None
    usage: Usage | None = None
    token_price: TokenPrice | None = None
    retrieval_hits: Quantity | None = None

    @property
    def traits(self) -> ContenderKind:
        """What follows from its kind. Errors: `RecordError` for a kind that this version does not know."""
        return get_contender_kind(self.kind, self.name)

    @property
    def usd_per_1000_or_none(self) -> float | None:
        """None where nobody knows: an outside system that tells no price, a provider whose tokens nobody counted."""
        if self.token_price is not None:
            is_free = self.token_price.compute_usd(1, 1) == 0
            return self.usd_per_1000 if is_free or self.tokens_in_per_request else None
        is_told = not self.traits.is_external or (self.usage is not None and self.usage.usd_charged is not None)
        return self.usd_per_1000 if is_told else None

    @property
    def seconds_per_request_or_none(self) -> float | None:
        """None for an outside system that does not tell its time."""
        is_told = not self.traits.is_external or (self.usage is not None and self.usage.seconds > 0)
        return self.seconds_per_request if is_told else None


class Comparison(Record):
    """Paired difference a - b of one metric on the same examples, with 95 % interval and p value.

    `test` names how they were found, `clusters` the number of groups where examples come in groups. `required_n` is the
    number of test examples at which a difference of this size would be told from noise (80 % power), None when it is
    told already or there is no difference at all.
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
    test: str = ""
    clusters: int | None = None


class MachineTime(Record):
    """What answering takes on this machine, measured over all contenders of the model together.

    `seconds` by kind of work: a token read, a token written, a token written under a constraint, an answer picked among
    labels, a retrieval. `uncertainty` is the 95 % half-width, relative, of what one contender takes by these rates: two
    that differ by less cost the same as far as this run can tell. `waiting` as in `Usage`, the mean over contenders.
    """

    seconds: dict[str, float]
    uncertainty: float
    waiting: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether other programs slowed this one down so much that its times say little."""
        return self.waiting is not None and self.waiting > MAX_WAITING_FRACTION


class Evaluation(Record):
    """All contenders on the same test examples. The first metric is the one that decides.

    `leaked` are the test examples that something in training resembles (`Contender.clean` leaves them out); `clusters`
    is the number of groups that the examples come in, None where each stands for itself. `judging` is what a judge took
    to mark all answers, None where none did; its examination is told apart (`JudgeQualification.usage`). `machine` says
    what
    a token takes on this machine, None where no contender was asked here.
    """

    task: str
    scorer: str
    scorer_reason: str
    metric: str
    examples: tuple[str, ...]
    contenders: tuple[Contender, ...]
    comparisons: tuple[Comparison, ...]
    machine_usd_per_hour: float
    leaked: tuple[str, ...] = ()
    clusters: int | None = None
    judging: Usage | None = None
    machine: MachineTime | None = None

    @property
    def scorer_names(self) -> list[str]:
        """The names of the scorers in one: a judge stands beside a plain one as `label + judge`."""
        return split_scorer_name(self.scorer)

    def get_contender(self, name: str) -> Contender:
        """The contender of that name. Errors: KeyError."""
        return {contender.name: contender for contender in self.contenders}[name]


SCORER_SEPARATOR = " + "
"""Between the names of a scorer and of the judge beside it, as run folders store them."""


def join_scorer_names(first: str, second: str) -> str:
    """The name of two scorers that stand side by side, the deciding one first."""
    return f"{first}{SCORER_SEPARATOR}{second}"


def split_scorer_name(scorer: str) -> list[str]:
    """The names of the scorers in one: a judge stands beside a plain one as `label + judge`."""
    return scorer.split(SCORER_SEPARATOR)
