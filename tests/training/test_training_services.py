"""The built-in training service and the fake hold the contract of the seam."""

from pathlib import Path

import pytest

from tunesmith.errors import TrainingError
from tunesmith.records import Recipe, Run
from tunesmith.records.training_services import TRAINING_SERVICES
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.fake_training_service import JOB_ID, FakeTrainingService
from tunesmith.testing.training_service_conformance import TrainingServiceConformance
from tunesmith.workflow.training_job import train


class TestLocal(TrainingServiceConformance):
    service = "local"


class TestFake(TrainingServiceConformance):
    service = "fake"

    @pytest.fixture(autouse=True)
    def _register(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(TRAINING_SERVICES.builtins, "fake", FakeTrainingService)
        monkeypatch.setattr(FakeTrainingService, "submitted", 0)

    def test_a_stop_leaves_a_run_that_resume_finishes_with_the_same_job(
        self, recipe: Recipe, tmp_path: Path
    ) -> None:
        super().test_a_stop_leaves_a_run_that_resume_finishes_with_the_same_job(recipe, tmp_path)
        assert FakeTrainingService.submitted == 1

    def test_the_id_of_the_job_is_stored_and_no_estimate_is_made(
        self, recipe: Recipe, tmp_path: Path
    ) -> None:
        run = train(recipe, tmp_path / "runs").run
        assert (run.training_job, run.estimate) == (JOB_ID, None)

    def test_a_failure_at_the_service_is_the_runs_failure(
        self, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(FakeTrainingService, "fails", True)
        with pytest.raises(TrainingError, match="service-failed"):
            train(recipe, tmp_path / "runs")
        (place,) = (tmp_path / "runs").iterdir()
        run = RunFolder.open(place).read(Run)
        assert (run.status, run.training_job) == ("failed", JOB_ID)
