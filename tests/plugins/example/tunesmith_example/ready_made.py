"""A training service: an adapter that was trained elsewhere already, to be proved by `decide`.

    training: {service: ready-made}         with TUNESMITH_READY_ADAPTER=FOLDER in the environment

It stands for a provider: where it looks into a folder, another service sends the examples
(`job.train`) to an API, asks for the state of the job, and downloads the adapter.
"""

import os
import shutil
from pathlib import Path

from tunesmith.errors import RecipeError
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import Recipe, TrainingResult
from tunesmith.training.training_service import TrainingJob

VARIABLE = "TUNESMITH_READY_ADAPTER"


class ReadyMade:
    """A `TrainingService` whose jobs are finished before they begin."""

    is_local = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def submit(self, job: TrainingJob) -> str:
        """The folder of the adapter, which the run remembers. Errors: `RecipeError`."""
        folder = Path(os.environ.get(VARIABLE, ""))
        if not (folder / "adapter_config.json").is_file():
            raise RecipeError(
                "no-ready-adapter",
                "no adapter is ready",
                at="training.service",
                got=f"{VARIABLE}={folder}",
                hint="name the folder of an adapter in PEFT's format",
            )
        return str(folder.absolute())

    def follow(self, job: TrainingJob, job_id: str | None) -> TrainingResult:
        """Nothing to wait for. Another service reports metric lines to `job.build_recorder()`."""
        return TrainingResult(
            status="interrupted" if job.session.stop.is_requested() else "finished",
            steps=1,
            planned_steps=1,
            best_step=1,
            best_validation_loss=None,
            best_score=None,
            seconds=0.0,
            tokens_trained=0,
            tokens_read=0,
            peak_memory_bytes=0,
            trainable_parameters=0,
        )

    def fetch(self, job: TrainingJob, job_id: str | None) -> LocalModel:
        """The adapter, copied into the run's folder. Errors: `ModelError` if it does not fit."""
        assert job_id is not None  # `submit` never returns None
        shutil.copytree(job_id, job.output_folder)
        return job.load_tuned_model()
