"""Preference methods from a file to a tuned model, and what is said when the data are not for
them."""

import json
from pathlib import Path

import pytest
from door import Door

from tunesmith.runs.run_folder import RunFolder

QUESTIONS = [
    f"{number} what colour is the {thing}"
    for number in range(12)
    for thing in ("apple", "boat", "cloud")
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"prompt": question, "chosen": "red", "rejected": "I do not know that"}
        for question in QUESTIONS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rated") / "rated.jsonl"
    rows = [
        {
            "prompt": question,
            "completion": "red" if number % 3 else "I do not know",
            "label": bool(number % 3),
        }
        for number, question in enumerate(QUESTIONS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recipe_of(folder: Path, data: Path, method: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(f"method: {method}\ndata: {{path: {data}}}\n")
    return path


@pytest.mark.parametrize("method", ["dpo", "orpo", "simpo", "kto"])
def test_training_on_pairs_prefers_the_chosen_answers(
    tunesmith: Door, pairs: Path, settings: list[str], tmp_path: Path, method: str
) -> None:
    recipe = recipe_of(tmp_path, pairs, method)
    printed = tunesmith(
        "train", recipe, *settings, "--set", "training.epochs=4", "--out", tmp_path / "runs"
    )
    assert printed.code == 0, printed.err
    (folder,) = (tmp_path / "runs").iterdir()
    looks = [
        line for line in RunFolder.open(folder).read_metrics().records if line.kind == "validation"
    ]
    assert looks[-1].loss < looks[0].loss and looks[-1].reward_accuracy == 1.0
    assert "reward accuracy 100.0%" in printed.err
    assert "⟦red" in (folder / "mask.txt").read_text()


def test_rated_answers_train_with_balanced_weights(
    tunesmith: Door, rated: Path, settings: list[str], tmp_path: Path
) -> None:
    recipe = recipe_of(tmp_path, rated, "kto")
    printed = tunesmith("train", recipe, *settings, "--out", tmp_path / "runs")
    assert printed.code == 0, printed.err
    (folder,) = (tmp_path / "runs").iterdir()
    kto = RunFolder.open(folder).read_recipe().kto
    assert kto.desirable_weight == 1 and (kto.undesirable_weight or 0) > 1
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert {sample["expected"] for sample in samples} == {"red"}, (
        "an unwanted answer is nothing to be compared with"
    )


def test_a_preference_tuned_model_is_decided_about(
    tunesmith: Door, pairs: Path, settings: list[str], tmp_path: Path
) -> None:
    printed = tunesmith(
        "decide", pairs, *settings, "--set", "method=dpo", "--out", tmp_path, "--json"
    )
    assert printed.code in (0, 1), printed.err
    assert "tuned" in {contender["name"] for contender in printed.document["contenders"]}


@pytest.mark.parametrize(
    ("method", "found", "do"),
    [
        ("dpo", "single answers", 'add columns "chosen" and "rejected"; or set method=sft'),
        ("kto", "single answers", 'add a column "label" with true and false'),
    ],
)
def test_data_without_preferences_are_told_before_the_model_is_read(
    tunesmith: Door,
    labels_csv: Path,
    settings: list[str],
    tmp_path: Path,
    method: str,
    found: str,
    do: str,
) -> None:
    printed = tunesmith(
        "train", recipe_of(tmp_path, labels_csv, method), *settings, "--out", tmp_path / "runs"
    )
    assert printed.code == 2 and "error[data/not-" in printed.err
    assert found in printed.err and do in printed.err and not (tmp_path / "runs").exists()
