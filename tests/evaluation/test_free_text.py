"""Which scorers compare free text: each says so itself, and one with a judge says what its plain
scorer says."""

from tunesmith.evaluation.judge.judge_scorers import ScorerWithJudge
from tunesmith.evaluation.scorers.scorer_protocol import is_free_text
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, build_scorer


class Judge:
    name, metric = "judge", "judge"


def test_the_scorers_of_texts_declare_free_text() -> None:
    free = {name for name in SCORERS.builtins if getattr(SCORERS.load(name), "is_free_text", False)}
    assert free == {"rouge-l", "chrf", "bleu", "ter"}


def test_a_scorer_with_a_judge_is_as_its_plain_scorer() -> None:
    for name, expected in (("rouge-l", True), ("exact", False)):
        for decides in (True, False):
            judged = ScorerWithJudge(build_scorer(name, ["a"]), Judge(), decides=decides)  # type: ignore[arg-type]
            assert is_free_text(judged) is expected
