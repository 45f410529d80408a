"""`evaluate` says what it will take before it begins, and times each model once on a machine."""

from pathlib import Path

import pytest
from door import Door

from tunesmith.engine import machine_measurement
from tunesmith.workflow import evaluation_estimate


def test_an_evaluation_is_estimated_with_its_total_first_and_a_model_is_timed_once(
    tunesmith: Door,
    tiny_model: Path,
    labels_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[int] = []
    measure = machine_measurement._measure_answering

    def counted(*given: object) -> machine_measurement.Rates:
        timed.append(1)
        return measure(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(machine_measurement, "_measure_answering", counted)
    # Rates of a busy machine are measured again.
    monkeypatch.setattr(evaluation_estimate, "compute_waiting_fraction", lambda *_: 0.0)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    words = ("evaluate", tiny_model, "--data", labels_csv, "--max-test-examples", "8")
    for _ in range(2):
        printed = tunesmith(*words, "--dtype", "float32")
        assert printed.code == 0, printed.err
        before, told, after = printed.err.partition("estimated total time")
        assert told and f": {tiny_model.name} " in after.partition("\n")[0]
        assert "evaluating" not in before and f"evaluating {tiny_model.name}" in after
    assert timed == [1]
