"""`evaluate RUN` scores as the run did: its scorer, and the labels of its train answers."""

import json
from pathlib import Path

from tunesmith.records import Recipe, Split, TestExample, TestSet
from tunesmith.runs.run_folder import RunFolder
from tunesmith.workflow.data_preparation import read_examples
from tunesmith.workflow.evaluation_inputs import choose_evaluation_scorer, find_run_scorer

LABELS = tuple(f"intent_{i}" for i in range(20))
FEW = ["intent_1", "intent_7", "intent_3", "intent_9"]
"""Too few answers to tell that they are labels."""


def run_in(folder: Path, recipe: Recipe) -> RunFolder:
    run = RunFolder.create(folder, "run")
    run.write_recipe(recipe)
    return run


def test_the_labels_of_a_decided_run_are_taken(tmp_path: Path) -> None:
    run = run_in(tmp_path, Recipe())
    tested = TestExample(id="x", question="q", answer="intent_1", group=None)
    run.write(
        TestSet(
            task="t",
            scorer="label + judge",
            scorer_reason="",
            metric="accuracy",
            examples=(tested,),
            labels=LABELS,
            machine_usd_per_hour=0.0,
        )
    )
    scorer, reason, built_from = choose_evaluation_scorer(FEW, Recipe(), {"mine": str(run.path)})
    assert built_from == LABELS
    assert scorer.score("The intent is intent_12.", "intent_12") == {"accuracy": 1.0}
    assert (
        scorer.name == "label"
        and reason == "Set as label in the configuration. Taken from the run mine."
    )
    assert choose_evaluation_scorer(FEW, Recipe(), {})[0].name == "normalised"


def test_a_run_that_was_only_trained_is_scored_by_what_its_train_answers_are(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": f"question {i}", "completion": LABELS[i % 20]} for i in range(80)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe(data=Recipe().data.model_copy(update={"path": str(data)}))
    run = run_in(tmp_path / "runs", recipe)
    ids = tuple(example.id for example in read_examples(recipe).examples)
    run.write(
        Split(
            seed=0,
            method="hash",
            grouped_by=None,
            stratified=True,
            train=ids[:70],
            validation=ids[70:],
            test=(),
        )
    )
    scorer, reason, built_from = choose_evaluation_scorer(FEW, Recipe(), {"mine": str(run.path)})
    assert len(built_from) == 70
    assert scorer.name == "label" and reason.startswith("The 70 training answers are 20 labels")
    data.unlink()
    assert find_run_scorer(str(run.path)) == (None, ())


def test_a_scorer_that_is_named_is_taken(tmp_path: Path) -> None:
    named = Recipe(evaluation=Recipe().evaluation.model_copy(update={"scorer": "exact"}))
    assert (
        choose_evaluation_scorer(FEW, named, {"mine": str(run_in(tmp_path, Recipe()).path)})[0].name
        == "exact"
    )


def test_a_place_that_is_no_run_has_no_scorer(tmp_path: Path) -> None:
    assert find_run_scorer(str(tmp_path)) == (None, ())
