"""The answer to "should I prompt, retrieve or fine-tune?", with its reasons."""

from pydantic import Field

from tunesmith.records.contender_kinds import Verdict
from tunesmith.records.evaluation import Comparison
from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record
from tunesmith.records.training_length import TrainingLength
from tunesmith.records.usage_context import UsageContext


def format_verdict(verdict: Verdict) -> str:
    """The verdict as shown to users: files and rules call it `stop`, the advice is to keep the
    present system.
    """
    return "keep what you have" if verdict == "stop" else verdict


class Requirements(Record):
    """What the user requires of a winner (`decision/requirements.py` has the defaults)."""

    min_score: float | None = Field(
        None, description="Least value of the deciding metric, in [0, 1]. Default: 0.1."
    )
    min_gain: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="By how much a more complex contender must beat a simpler one to be worth "
        "it, in the metric's unit (0.02: two points).",
    )
    max_usd_per_1000: float | None = Field(
        None, description="Most USD for 1,000 requests. Default: no limit."
    )
    max_latency_seconds: float | None = Field(
        None, description="Most seconds for one request. Default: no limit."
    )
    max_forgetting: float | None = Field(
        0.05,
        ge=0,
        lt=1,
        description="By how much general ability may fall (0.05: five points); null: not measured.",
    )


class PairSummary(Record):
    """Two contenders as the verdict compares them: `p` corrected for its family, `required_n` the
    number of test examples that would separate them (None: they are separated, or no number can be
    promised).
    """

    a: str
    b: str
    p: float
    required_n: int | None = None


class Decision(Record):
    """A verdict that can be verified from the evaluation record alone, with the other inputs it was
    based on.

    `winner` is the contender's name; None for `cannot tell`, and for `stop` unless that means "keep
    what you have". `summary` states in three sentences what, how certain and at what cost;
    `key_contenders` are (role, contender): the verdict's, the user's current system, the runner-up;
    `gain` is the winner's over the current system, or else over the simplest contender; `pairs` are
    all comparisons as the verdict corrects them. All four are empty in older files. `reasons` are
    the details, each with its numbers; `warnings` are what a strict run refuses (too much
    forgotten, another verdict without contaminated examples, a winner that contradicts the usage
    context, a tuning too short to judge fine-tuning by). `required_test_examples` is set if the
    verdict is `cannot tell`. `forgetting` is general ability before tuning minus that after it;
    `training_length` how much the model was tuned, if one was.
    """

    verdict: Verdict
    winner: str | None
    metric: str
    requirements: Requirements
    reasons: tuple[str, ...]
    required_test_examples: int | None = None
    evaluation: str
    usage_context: UsageContext = UsageContext()
    forgetting: Quantity | None = None
    training_length: TrainingLength | None = None
    warnings: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()
    key_contenders: tuple[tuple[str, str], ...] = ()
    gain: Comparison | None = None
    pairs: tuple[PairSummary, ...] = ()


class PowerStatement(Record):
    """What a test set can show, stated before money is spent. Differences are those of the deciding
    metric.

    `min_detectable_gain` is the smallest true gain that `n` examples (in `groups` groups) prove to
    exceed `min_gain` in four of five evaluations, None if none could be proven; `target_gain` the
    target gain; `required_n` the number of examples that shows it. `disagreement_rate` is the
    fraction of examples on which two contenders disagree, `standard_deviation` the standard
    deviation of their differences if scores are graded and it was measured; `is_assumed`: nothing
    was measured yet. `sentence` states it; `options` are what to do about it, the best first, empty
    if the examples are enough.
    """

    n: int
    target_gain: float
    min_detectable_gain: float | None
    required_n: int
    disagreement_rate: float
    standard_deviation: float | None = None
    is_assumed: bool
    comparisons: int
    groups: int | None = None
    is_enough: bool
    sentence: str
    options: tuple[str, ...] = ()
