"""What a contender still gets wrong, what to do about it, and what changed between two runs."""

from typing import Literal

from tunesmith.records.origin import Origin, name_places
from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record

ErrorGrouping = Literal["label", "labels", "field", "form", "length", "topic"]
"""By what a group of errors is formed."""
FailureKind = Literal["wrong", "no answer", "unscored"]
"""Why an example counts as an error: a wrong answer, none, or one that could not be scored."""


class ErrorGroup(Record):
    """Errors that have something in common, compared with all other examples.

    By "label", `name` is the expected one, by "labels" it is "expected → predicted"; by "field",
    the field and its fault; by "form", how the answer breaks the form; by "length" and "topic", the
    kind of question. `rate` is the fraction of errors among the `n` examples that could have this
    error; `excess_rate` is that rate minus the rate of all others, with its interval; `p` is the
    p-value of no positive lift, corrected (Holm) for all groups of one grouping, and
    `is_significant` is p < 0.05; `excess_rate` and `p` are None if there are no other examples.
    `fraction` is the fraction of all errors; one example may be in several groups. `examples` are
    the ids of some of them.
    """

    by: ErrorGrouping
    name: str
    errors: int
    n: int
    fraction: float
    rate: Quantity
    excess_rate: Quantity | None
    p: float | None
    is_significant: bool
    examples: tuple[str, ...]


class Neighbor(Record):
    """A training example close to a question."""

    example: str
    line: int
    question: str
    answer: str
    origin: Origin | None = None

    @property
    def named_place(self) -> str:
        """For example `tickets.jsonl line 17`."""
        return name_places([(self.origin, self.line)])


class Failure(Record):
    """A test example with an error, and the nearest training examples, nearest first.

    `expected` is the expected answer, `predicted` the predicted one. `neighbors_with_reference`
    counts the neighbors with the expected answer, `neighbors_with_prediction` those with the
    predicted one.
    """

    example: str
    outcome: FailureKind
    score: float | None
    expected: str
    predicted: str
    neighbors: tuple[Neighbor, ...]
    neighbors_with_reference: int
    neighbors_with_prediction: int


class LabelIssue(Record):
    """A training example whose answer may be wrong: `n_signals` independent methods predict another
    one; `reason` as a sentence.
    """

    example: str
    line: int
    question: str
    answer: str
    predicted: str
    n_signals: int
    reason: str
    origin: Origin | None = None

    @property
    def named_place(self) -> str:
        """For example `tickets.jsonl line 17`."""
        return name_places([(self.origin, self.line)])


class Suggestion(Record):
    """One recommended action, supported by `errors` of the `n` errors.

    `expected_gain` is the gain of the deciding metric on these test examples if the group became as
    good as the rest, `max_gain` if it had no errors left; None if no number can be given.
    `answers` are the answers that new examples should have, `n_new_examples` how many new examples
    are recommended, `neighbors` training examples for illustration.
    """

    text: str
    reason: str
    errors: int
    n: int
    expected_gain: float | None
    max_gain: float | None
    is_uncertain: bool = False
    n_new_examples: int = 0
    answers: tuple[str, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()


class Analysis(Record):
    """The errors of one contender, from stored answers.

    A test example is an error if its score is below `min_correct_score`. `failures` are the worst
    ones, `n_wrong` counts all. `label_issue_signals` names the signals that were compared (two must
    agree), `n_checked_labels` is the number of training examples they covered; `n_label_issues`
    counts all suspects.
    """

    contender: str
    metric: str
    min_correct_score: float
    n: int
    n_wrong: int
    n_unanswered: int
    groups: tuple[ErrorGroup, ...]
    failures: tuple[Failure, ...]
    label_issues: tuple[LabelIssue, ...]
    n_label_issues: int
    label_issue_signals: str
    n_checked_labels: int
    suggestions: tuple[Suggestion, ...]


class RunDifference(Record):
    """One item that differs between two runs."""

    key: str
    first: str
    second: str


class ScoreChange(Record):
    """One contender in two runs: `difference` is second - first; `method` names how interval and
    `p` were computed.

    `p` is corrected (Holm) for all compared contenders. `gained` and `lost` are the examples that
    both runs scored and that the second answered better or worse; None if the examples differ.
    Seconds and USD of a request are None if unknown.
    """

    contender: str
    first: Quantity
    second: Quantity
    difference: Quantity
    p: float
    is_significant: bool
    method: str
    gained: tuple[str, ...] | None = None
    lost: tuple[str, ...] | None = None
    seconds_per_request: tuple[float | None, float | None]
    usd_per_1000: tuple[float | None, float | None]


class SeedScores(Record):
    """One contender in runs that differ in their seed; `mean` has the interval of the recipe's mean
    over seeds.
    """

    contender: str
    scores: tuple[float, ...]
    mean: Quantity
    standard_deviation: float


class SeedComparison(Record):
    """Runs of one recipe with different seeds, and the variation of every contender's deciding
    score.
    """

    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    metric: str
    contenders: tuple[SeedScores, ...]
    notes: tuple[str, ...] = ()


class RunComparison(Record):
    """What changed between two runs.

    `only_in` names contenders that only the first, or only the second, has.
    `seed_standard_deviation` is the standard deviation of each tuned contender's score between
    seeds, if only the seed changed: from two seeds, so a rough estimate at best.
    """

    first: str
    second: str
    metric: str
    recipe: tuple[RunDifference, ...]
    data: tuple[RunDifference, ...]
    model: tuple[RunDifference, ...]
    versions: tuple[RunDifference, ...]
    training: tuple[RunDifference, ...]
    n_shared_test_examples: int
    test_examples: tuple[int, int]
    scores: tuple[ScoreChange, ...]
    only_in: tuple[tuple[str, ...], tuple[str, ...]]
    only_seed_differs: bool
    seed_standard_deviation: dict[str, float]
    notes: tuple[str, ...] = ()
