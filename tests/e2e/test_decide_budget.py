"""`decide --budget`, run to its verdict: what was left open is picked and told, and the model is
timed once."""

from pathlib import Path

import pytest
from door import Door

from tunesmith.engine import profiling
from tunesmith.records import Run
from tunesmith.runs.run_folder import RunFolder


def test_a_decision_with_a_time_ends_in_a_verdict_and_its_model_is_timed_once(
    tunesmith: Door,
    tiny_model: Path,
    labels_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed: list[int] = []
    rates_of = profiling._rates

    def counted(*given: object) -> profiling.Rates:
        timed.append(1)
        return rates_of(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(profiling, "_rates", counted)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    printed = tunesmith(
        "decide",
        labels_csv,
        "--model",
        tiny_model,
        "--budget",
        "2h",
        "--test-limit",
        "10",
        "--validation-limit",
        "8",
        "--shots",
        "1",
        "--trials",
        "0",
        "--max-forgetting",
        "null",
        "--minutes",
        "0.05",
        "--precision",
        "float32",
        "--k",
        "1",
        "--search",
        "bm25",
        "--out",
        tmp_path / "runs",
    )
    assert printed.code == 0, printed.err
    assert "chosen to fit: training.evaluations 4" in printed.err, "all else was set"
    assert "estimated total time" in printed.err and "verdict: " in printed.out
    (path,) = (tmp_path / "runs").iterdir()
    run = RunFolder.open(path).read(Run)
    assert run.status == "finished" and run.result is not None
    assert len(timed) == 1 and len(list((tmp_path / "home" / "rates").iterdir())) == 1
