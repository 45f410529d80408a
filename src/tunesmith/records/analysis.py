"""What a contender still gets wrong, what to do about it, and what changed between two runs."""

from typing import Literal

from tunesmith.records.origin import Origin, name_places
from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record

ErrorGrouping = Literal["label", "labels", "field", "form", "length", "topic"]
FailureKind = Literal["wrong", "no answer", "unscored"]


class ErrorGroup(Record):
    """Errors that have something in common, against the rest.

    By "label", `name` is the wanted one, by "labels" it is "wanted → said"; by "field", the field and what is wrong
    with it; by "form", in what way the answer is none; by "length" and "topic", the kind of question. `rate` is the
    share of errors of this sort among what the group could get wrong (`of`); `lift` is the difference of that rate to
    the rest's, with its interval; `p` that it is no worse, corrected (Holm) for all groups of one sort, and
    `is_beyond_noise` where it is below 0.05; both are None where there is no rest. `share` is the part of all wrong
    examples; several groups may hold the same example. `examples` are the ids of some of them.
    """

    by: ErrorGrouping
    name: str
    errors: int
    of: int
    share: float
    rate: Quantity
    lift: Quantity | None
    p: float | None
    is_beyond_noise: bool
    examples: tuple[str, ...]


class Neighbor(Record):
    """A train example near a question."""

    example: str
    line: int
    question: str
    answer: str
    origin: Origin | None = None

    @property
    def named_place(self) -> str:
        """`tickets.jsonl line 17`."""
        return name_places([(self.origin, self.line)])


class Failure(Record):
    """A test example that was not answered rightly, and the train examples nearest to it, nearest first.

    `taught` says how many of these neighbours have the wanted answer, `misled` how many have the one that was given.
    """

    example: str
    outcome: FailureKind
    score: float | None
    wanted: str
    said: str
    neighbours: tuple[Neighbor, ...]
    taught: int
    misled: int


class LabelIssue(Record):
    """A train example whose answer may be wrong: so many independent `signals` name another one; `why` in words."""

    example: str
    line: int
    question: str
    answer: str
    instead: str
    signals: int
    why: str
    origin: Origin | None = None

    @property
    def named_place(self) -> str:
        """`tickets.jsonl line 17`."""
        return name_places([(self.origin, self.line)])


class Suggestion(Record):
    """One thing to do. `errors` of the `of` errors speak for it.

    `expected_gain` is what the deciding metric would gain on these test examples if the group became as good as the
    rest, `most_gain` if none of its errors were left; None where no number can be given. `answers` are the answers that
    new examples should have, `rows` how many are asked for, `neighbours` train examples that show what is meant.
    """

    text: str
    reason: str
    errors: int
    of: int
    expected_gain: float | None
    most_gain: float | None
    may_be_chance: bool = False
    rows: int = 0
    answers: tuple[str, ...] = ()
    neighbours: tuple[Neighbor, ...] = ()


class Analysis(Record):
    """The errors of one contender, from stored answers.

    A test example counts as wrong when its score is below `wrong_below`. `failures` are the worst ones, `wrong` counts
    all. `suspects_by` names the signals that were compared (two must agree), `suspects_among` counts the train
    examples they spoke about; `suspected` counts all that were found.
    """

    contender: str
    metric: str
    wrong_below: float
    n: int
    wrong: int
    unanswered: int
    groups: tuple[ErrorGroup, ...]
    failures: tuple[Failure, ...]
    suspects: tuple[LabelIssue, ...]
    suspected: int
    suspects_by: str
    suspects_among: int
    suggestions: tuple[Suggestion, ...]


class RunDifference(Record):
    """One thing that is not the same in two runs."""

    key: str
    first: str
    second: str


class ScoreChange(Record):
    """One contender in two runs: `difference` is second - first. `method` says how interval and `p` were found.

    `p` is corrected (Holm) for all contenders that were compared. `gained` and `lost` are the examples that both runs
    scored and that the second answered better or worse; None where the examples are not the same. Time and cost of a
    request are None where nobody knows them.
    """

    contender: str
    first: Quantity
    second: Quantity
    difference: Quantity
    p: float
    is_beyond_noise: bool
    method: str
    gained: tuple[str, ...] | None = None
    lost: tuple[str, ...] | None = None
    seconds_per_request: tuple[float | None, float | None]
    usd_per_1000: tuple[float | None, float | None]


class SeedScores(Record):
    """One contender in runs that differ in their seed; `mean` with the interval of the recipe's mean over seeds."""

    contender: str
    scores: tuple[float, ...]
    mean: Quantity
    standard_deviation: float


class SeedComparison(Record):
    """Runs of one recipe with different seeds, and the spread of every contender's deciding score."""

    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    metric: str
    contenders: tuple[SeedScores, ...]
    notes: tuple[str, ...] = ()


class RunComparison(Record):
    """What changed between two runs. `only_in` names contenders that only the first, or only the second, asked.

    `summarize_seeds` is the standard deviation between seeds of each tuned contender's score, where nothing but the
    seed
    changed: from two seeds, so it is known roughly at best.
    """

    first: str
    second: str
    metric: str
    recipe: tuple[RunDifference, ...]
    data: tuple[RunDifference, ...]
    model: tuple[RunDifference, ...]
    versions: tuple[RunDifference, ...]
    training: tuple[RunDifference, ...]
    same_test_examples: int
    test_examples: tuple[int, int]
    scores: tuple[ScoreChange, ...]
    only_in: tuple[tuple[str, ...], tuple[str, ...]]
    only_seed_differs: bool
    seed_spread: dict[str, float]
    notes: tuple[str, ...] = ()
