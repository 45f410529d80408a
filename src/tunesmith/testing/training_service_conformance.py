"""What every training service promises, as tests on a tiny Llama with random weights. Subclass it,
name the service, let pytest collect the class:

    class TestMyService(TrainingServiceConformance):
        service = "my-service"
"""

import os
import signal
from pathlib import Path

import pytest

from tunesmith.errors import Interrupted
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Recipe, Run
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.tiny_model import write_tiny_model
from tunesmith.workflow.resume import resume
from tunesmith.workflow.training_job import TRAINING_STAGE, train

NUM_EXAMPLES = 96


class StoppingListener(ProgressListener):
    """Requests a stop when the training begins, as Ctrl-C does."""

    def start_stage(self, title: str) -> None:
        """Stop at the stage before a job is submitted."""
        if title == TRAINING_STAGE:
            os.kill(os.getpid(), signal.SIGINT)


class TrainingServiceConformance:
    """The contract: a finished run with its metrics and weights that fit the base model; a stop
    leaves a run that resume finishes, and the job is submitted once.
    """

    service: str
    method = "sft"

    def set_up(self, folder: Path, model: Path) -> None:
        """What the service needs before a job is submitted, in a folder of its own; `model` is the
        folder of the base model."""

    @pytest.fixture
    def recipe(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
        """A training of a second or two."""
        monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.delenv("TUNESMITH_STORE", raising=False)
        model = write_tiny_model(tmp_path / "model")
        data = tmp_path / "data.csv"
        rows = [f"{n} a boat is painted,{('red', 'blue')[n % 2]}" for n in range(NUM_EXAMPLES)]
        data.write_text("\n".join(["prompt,completion", *rows]) + "\n", encoding="utf-8")
        self.set_up(tmp_path, model)
        return load_recipe(
            None,
            [
                f"model={model}",
                f"data.path={data}",
                f"method={self.method}",
                f"training.service={self.service}",
                "training.epochs=1",
                "training.learning_rate=0.01",
                "training.dtype=float32",
                "training.batch_size=8",
                "training.num_evals=1",
                "adapter.rank=4",
                "evaluation.max_new_tokens=8",
            ],
        )

    def test_a_training_ends_with_metrics_and_weights_that_fit_the_base_model(
        self, recipe: Recipe, tmp_path: Path
    ) -> None:
        trained = train(recipe, tmp_path / "runs")
        run, folder = trained.run, RunFolder.open(trained.path)
        assert run.status == "finished" and run.result is not None and run.result.steps > 0
        steps = [line.step for line in folder.read_metrics().records if line.kind == "step"]
        assert steps == sorted(set(steps)) and steps[-1:] in ([], [run.result.steps])
        assert run.adapter_files and (folder.adapter / "adapter_config.json").is_file()
        folder.check_integrity()
        tuned = ResolvedModel.open(str(folder.path)).load("float32")
        assert tuned.loaded.adapter is not None

    def test_a_stop_leaves_a_run_that_resume_finishes_with_the_same_job(
        self, recipe: Recipe, tmp_path: Path
    ) -> None:
        with pytest.raises(Interrupted):
            train(recipe, tmp_path / "runs", StoppingListener())
        (place,) = (tmp_path / "runs").iterdir()
        stopped = RunFolder.open(place).read(Run)
        assert stopped.status == "interrupted"
        resume(str(place), listener=NULL_LISTENER)
        finished = RunFolder.open(place).read(Run)
        assert finished.status == "finished" and finished.adapter_files
        assert finished.training_job == stopped.training_job
