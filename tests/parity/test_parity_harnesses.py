"""Tasks of OpenAI Evals and lm-eval scored by us, against what those said (`recorded/`, which names
the versions)."""

import json
from pathlib import Path

import pytest

from tunesmith.data.final_answer import extract_final_answer
from tunesmith.data.interop import ImportedTask, read_tool_file
from tunesmith.evaluation.scorers.number import NumberScorer
from tunesmith.evaluation.scorers.scorer_protocol import ScoringInput, score_items
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer

RECORDED = json.loads((Path(__file__).parent / "recorded" / "harnesses.json").read_text())


@pytest.mark.parametrize("grader", ["FuzzyMatch", "Includes", "Includes, ignore_case", "Match"])
def test_graders_of_openai_evals_judge_as_there(tmp_path: Path, grader: str) -> None:
    """Through the files as they are read: the reference is what the reader writes for the ideal
    answer."""
    name, _, ignores = grader.partition(", ")
    targets = list(dict.fromkeys(target for _, target in RECORDED["pairs"]))
    samples = [{"input": f"question {i}", "ideal": target} for i, target in enumerate(targets)]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    args = "{samples_jsonl: s.jsonl, ignore_case: true}" if ignores else "{samples_jsonl: s.jsonl}"
    (tmp_path / "e.yaml").write_text(f"e:\n  class: evals.elsuite.basic.x:{name}\n  args: {args}\n")
    task = read_tool_file(tmp_path / "e.yaml")
    assert isinstance(task, ImportedTask) and task.unsupported == ()
    references = dict(zip(targets, (one.answer for one in task.examples), strict=True))
    scorer, _ = choose_scorer(["x"], task.scorer)
    scored = score_items(
        scorer, [ScoringInput(answer, references[target]) for answer, target in RECORDED["pairs"]]
    )
    ours = [one[scorer.metric] if isinstance(one, dict) else None for one in scored]
    assert set(RECORDED[grader]) == {0.0, 1.0}
    assert [
        p for p, a, b in zip(RECORDED["pairs"], ours, RECORDED[grader], strict=True) if a != b
    ] == []


def test_gsm8k_of_lm_eval_is_scored_as_there_but_for_forms_of_the_same_number() -> None:
    """lm-eval compares the digits that its filter found; the same number written otherwise is right
    for us."""
    others = []
    for text, target, filtered, theirs in RECORDED["gsm8k"]:
        ours = NumberScorer([target]).score(extract_final_answer(filtered), target)["number_match"]
        if ours != theirs:
            others.append((text, target, ours))
    assert [(text, target.rpartition("#### ")[2]) for text, target, _ in others] == [
        ("#### 18.0", "18")
    ]
    assert {ours for _, _, ours in others} == {1.0}
