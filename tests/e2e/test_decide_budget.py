"""`decide --budget`, run to its verdict: what was left open is picked and told, and the model is
timed once."""

from pathlib import Path

import pytest
from door import Door

from tunesmith import failpoints
from tunesmith.costs import budget_replanning
from tunesmith.costs.budget_replanning import BudgetClock
from tunesmith.engine import machine_measurement
from tunesmith.records import BudgetPlan, Evaluation, Run, Split, TestSet
from tunesmith.runs.run_folder import RunFolder


def test_a_decision_with_a_time_ends_in_a_verdict_and_its_model_is_timed_once(
    tunesmith: Door,
    tiny_model: Path,
    labels_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[int] = []
    rates_of = machine_measurement._rates

    def counted(*given: object) -> machine_measurement.Rates:
        timed.append(1)
        return rates_of(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(machine_measurement, "_rates", counted)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    printed = tunesmith(
        "decide",
        labels_csv,
        "--model",
        tiny_model,
        "--budget",
        "2h",
        "--max-test-examples",
        "10",
        "--max-validation-examples",
        "8",
        "--max-shots",
        "1",
        "--prompt-trials",
        "0",
        "--max-forgetting",
        "null",
        "--minutes",
        "0.05",
        "--dtype",
        "float32",
        "--top-k",
        "1",
        "--search",
        "bm25",
        "--out",
        tmp_path / "runs",
    )
    assert printed.code == 0, printed.err
    assert "chosen to fit: training.num_evals 4" in printed.err, "all else was set"
    assert "estimated total time" in printed.err and "verdict: " in printed.out
    (path,) = (tmp_path / "runs").iterdir()
    run = RunFolder.open(path).read(Run)
    assert run.status == "finished" and run.result is not None
    assert len(timed) == 1 and len(list((tmp_path / "home" / "rates").iterdir())) == 1


def test_a_decision_that_runs_out_of_time_compares_all_on_fewer_examples_also_when_resumed(
    tunesmith: Door,
    tiny_model: Path,
    labels_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock on which each look takes four minutes, everything is slower than expected."""
    seconds = iter(range(0, 10_000_000, 240))
    monkeypatch.setattr(BudgetClock, "spent", property(lambda self: float(next(seconds))))
    monkeypatch.setattr(budget_replanning, "MIN_TEST_EXAMPLES", 6)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    flags = (
        "--model", tiny_model, "--budget", "9h", "--max-validation-examples", "8",
        "--max-shots", "1", "--prompt-trials", "0", "--max-forgetting", "null",
        "--dtype", "float32", "--top-k", "1", "--search", "bm25", "--checkpoint-minutes", "0",
        "--out", tmp_path / "runs",
    )  # fmt: skip
    failpoints.arm("train.step:3:raise")
    assert tunesmith("decide", labels_csv, *flags).code == 70
    failpoints.arm(None)
    (path,) = (tmp_path / "runs").iterdir()
    folder = RunFolder.open(path)
    before, planned = folder.read(BudgetPlan), len(folder.read(Split).test)
    assert folder.read_recipe().training.minutes == before.training_minutes, "as it began"
    resumed = tunesmith("resume", path)
    assert resumed.code == 0, resumed.err
    plan, evaluation = folder.read(BudgetPlan), folder.read(Evaluation)
    assert plan.changes[: len(before.changes)] == before.changes
    size = int(plan.find_value("evaluation.max_test_examples") or 0)
    assert 6 <= size < planned == plan.test_examples
    assert [one.id for one in folder.read(TestSet).examples] == list(evaluation.examples) and len(
        evaluation.examples
    ) == size
    assert {one.metrics[evaluation.metric].n for one in evaluation.contenders} == {size}
    assert set(evaluation.examples) == set(folder.read(Split).test[:size])
    recipe = folder.read_recipe()
    assert (
        recipe.evaluation.max_test_examples == size
        and folder.read(Run).recipe == recipe.fingerprint
    )
    minutes = plan.find_value("training.minutes") or plan.training_minutes
    assert recipe.training.minutes == minutes
    again = tunesmith("decide", path)
    assert again.code == 0 and "same verdict as before" in again.out, again.err
    assert "evaluation.max_test_examples" in (path / "report.md").read_text()
