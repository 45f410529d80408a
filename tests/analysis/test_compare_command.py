"""`tunesmith compare RUN RUN` on stored runs, in an empty folder with a store of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from runs_to_compare import facts, questions, stored

from tunesmith.cli.main import run
from tunesmith.records import Evaluation, Recipe
from tunesmith.runs.run_folder import RECORD_FILES, RunFolder

TEST = questions(80)
HALF = [i % 2 == 0 for i in range(80)]
BETTER = [i % 2 == 0 or i < 30 for i in range(80)]


class Printed(NamedTuple):
    code: int
    out: str
    err: str


Door = Callable[..., Printed]
Runs = tuple[RunFolder, RunFolder]


@pytest.fixture
def tunesmith(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Door:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("TUNESMITH_STORE", raising=False)

    def door(*words: object) -> Printed:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Printed(code, *capsys.readouterr())

    return door


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    first = facts({"zero-shot": HALF, "tuned": HALF}, TEST, "first")
    second = facts({"zero-shot": HALF, "tuned": BETTER}, TEST, "second", Recipe(seed=3))
    return stored(first, tmp_path / "runs"), stored(second, tmp_path / "runs")


def test_what_changed_and_whether_it_is_noise(tunesmith: Door, runs: Runs) -> None:
    printed = tunesmith("compare", runs[0].path, runs[1].path)
    assert printed.code == 0, printed.err
    for words in (
        "recipe   seed  0      3",
        "+18.8",
        "significant",
        "not significant",
        "15 better, 0 worse",
        "Only the seed differs",
        "seed variance of tuned: standard deviation about 13.3 points",
    ):
        assert words in printed.out, printed.out
    assert printed.out.splitlines()[-1] == f"next: tunesmith show {runs[1].path}"


def test_one_json_document(tunesmith: Door, runs: Runs) -> None:
    printed = tunesmith("compare", runs[0].path, runs[1].path, "--json")
    assert printed.code == 0 and json.loads(printed.out)["scores"][1]["difference"][
        "value"
    ] == pytest.approx(15 / 80)


def test_runs_without_evaluation_are_named_together(tunesmith: Door, runs: Runs) -> None:
    for one in runs:
        (one.path / RECORD_FILES[Evaluation]).unlink()
    printed = tunesmith("compare", runs[0].path, runs[1].path)
    assert printed.code == 2
    assert printed.err.strip() == (
        "error[run/no-evaluation]: only evaluated runs of `tunesmith decide` can be "
        f"compared\n  at: {runs[0].path} (finished, no evaluation) and {runs[1].path} "
        "(finished, no evaluation)\n  hint: run tunesmith decide; or tunesmith evaluate "
        "with both runs on the same data"
    )


def test_a_folder_that_is_no_run(tunesmith: Door, runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    printed = tunesmith("compare", runs[0].path, tmp_path / "other")
    assert printed.code == 2 and "not a run: no run.json" in printed.err


def test_one_run_twice(tunesmith: Door, runs: Runs) -> None:
    printed = tunesmith("compare", runs[0].path, runs[0].path)
    assert printed.code == 2 and "error[usage/same-run]" in printed.err


def test_a_run_that_is_not_there(tunesmith: Door, runs: Runs) -> None:
    printed = tunesmith("compare", runs[0].path, "/nowhere/at/all")
    assert printed.code == 2 and "error[run/missing]" in printed.err


def test_a_damaged_answer_file(tunesmith: Door, runs: Runs) -> None:
    (runs[1].path / "answers" / "tuned.jsonl").write_text("{}\n")
    printed = tunesmith("compare", runs[0].path, runs[1].path)
    assert printed.code == 2 and "error[run/damaged]" in printed.err


def test_several_seeds_show_their_spread(tunesmith: Door, runs: Runs, tmp_path: Path) -> None:
    """40, 55 and 60 of 80 right: their mean, their standard deviation, Student's t with 2 degrees
    of freedom."""
    third = facts(
        {"zero-shot": HALF, "tuned": [i >= 20 for i in range(80)]}, TEST, "third", Recipe(seed=4)
    )
    folder = stored(third, tmp_path / "runs")
    printed = tunesmith("compare", *(one.path for one in (*runs, folder)))
    assert printed.code == 0, printed.err
    assert "3 runs of one recipe, seeds 0, 3, 4; accuracy, %" in printed.out
    row = next(line.split() for line in printed.out.splitlines() if line.startswith("tuned"))
    assert row == ["tuned", "50.0", "68.8", "75.0", "64.6", "13.0", "32.3", "to", "96.9"]
    assert "the intervals do not include the sampling error of the test set" in printed.out
    document = json.loads(
        tunesmith("compare", *(one.path for one in (*runs, folder)), "--json").out
    )
    assert [one["contender"] for one in document["contenders"]] == ["zero-shot", "tuned"]


def test_several_runs_that_differ_in_more_than_the_seed_are_refused(
    tunesmith: Door, runs: Runs, tmp_path: Path
) -> None:
    recipe = Recipe.model_validate({"seed": 4, "training": {"epochs": 2.0}})
    folder = stored(facts({"tuned": HALF}, TEST, "third", recipe), tmp_path / "runs")
    printed = tunesmith("compare", *(one.path for one in (*runs, folder)))
    assert (
        printed.code == 2
        and "error[usage/more-than-seeds]" in printed.err
        and "training.epochs" in printed.err
    )


def test_one_seed_twice_is_no_spread(tunesmith: Door, runs: Runs, tmp_path: Path) -> None:
    folder = stored(facts({"tuned": HALF}, TEST, "third", Recipe(seed=3)), tmp_path / "runs")
    for order in ((*runs, folder), (runs[1], folder, runs[0])):
        printed = tunesmith("compare", *(one.path for one in order))
        assert (
            printed.code == 2
            and "error[usage/same-seed]" in printed.err
            and "got: seed 3" in printed.err
        )


def test_who_is_not_in_all_runs_is_named(tunesmith: Door, runs: Runs, tmp_path: Path) -> None:
    folder = stored(
        facts({"rag": HALF, "zero-shot": HALF}, TEST, "third", Recipe(seed=4)), tmp_path / "runs"
    )
    printed = tunesmith("compare", *(one.path for one in (*runs, folder)))
    assert "Excluded because not scored in all runs: tuned, rag." in printed.out
    assert (
        "Same score in all runs, which does not prove that another seed would give it too: "
        "zero-shot."
    ) in printed.out
