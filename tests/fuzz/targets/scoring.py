"""What a model may answer: any bytes, read as an answer to a reference, by every scorer that needs
no child process."""

from pathlib import Path

from tests.fuzz.target import Target
from tunesmith.data.final_answer import extract_final_answer
from tunesmith.evaluation.scorers.scorer_protocol import find_reference_error
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, choose_scorer

CHILD = ("regex", "sql", "code")
"""They run what they are given in a process of its own, and have their tests there."""
REFERENCES = {
    "number": ["#### 1.234,50 kg", "(12)", "3/4"],
    "json": ['{"a": [1, {"b": null}], "c": "x"}'],
    "match": ["Paris", '["60", "60%"]'],
    "label": ["card", "card_lost", "mW", "MW"],
}
SEEDS = [
    "<think>\n12 + 3\n</think>\n\nThe answer is **15**.",
    "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>card_lost<|return|>",
    "card\nThe label is `card_lost`, not card.\n\\boxed{\\text{MW}}",
    "It costs $1,234.50 (1 234,50 €), -5 %, 1½ or 3/4 of 1.2 x 10^3.\n#### 12,5",
    'Here it is:\n```json\n{"a": [1, {"b": null}], "c": "x"}\n```\nor {"label": "card"}',
    "Paris, France. 60% of \u22125 \uff14\uff12 Straße e\u0301\u0301\u0301",
]


def score_with(name: str) -> Target:
    """A target that is scored in [0, 1] by this scorer, whatever it is."""
    references = REFERENCES.get(name, ["The cat sat on the mat.", "今日は"])

    def score(data: bytes, folder: Path) -> list[float]:
        answer = extract_final_answer(data.decode("utf-8", "replace"))
        scorer, _ = choose_scorer(references, name)
        scores = [
            value for reference in references for value in scorer.score(answer, reference).values()
        ]
        assert all(0.0 <= value <= 1.0 for value in scores)
        for metric in scorer.corpus_metrics.values():
            metric.count(answer, references[0])
        return scores

    return Target(f"answer-to-{name}", score, seeds)


def choose_by_looking(data: bytes, folder: Path) -> str:
    """Any lines as expected answers: a scorer is found, and it takes each as right for itself."""
    references = data.decode("utf-8", "replace").splitlines() or [""]
    scorer, reason = choose_scorer(references * 3)
    finals = [extract_final_answer(reference) for reference in references]
    assert [
        one for one in finals if scorer.name == "label" and find_reference_error(scorer, one)
    ] == []
    return reason


def seeds() -> list[bytes]:
    """Answers as models write them."""
    return [seed.encode() for seed in SEEDS]


TARGETS = (
    *(score_with(name) for name in SCORERS.builtins if name not in CHILD),
    Target("expected-answers", choose_by_looking, seeds),
)
