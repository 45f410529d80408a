"""A training service that trains nothing, for tests of what stands around one."""

from tunesmith.errors import TrainingError
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import MetricLine, Recipe, RunStatus, TrainingResult
from tunesmith.training.training_service import TrainingJob

JOB_ID = "job-1"


class FakeTrainingService:
    """A `TrainingService` that knows one job, of `STEPS` steps, and gives back an adapter with
    random weights.

    `submitted` counts the calls of `submit` of all instances; `fails` makes `follow` fail.
    """

    STEPS = 3
    is_local = False
    submitted = 0
    fails = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def submit(self, job: TrainingJob) -> str:
        """Always the same id."""
        type(self).submitted += 1
        return JOB_ID

    def follow(self, job: TrainingJob, job_id: str | None) -> TrainingResult:
        """One line for each step, and one validation."""
        assert job_id == JOB_ID
        record = job.build_recorder()
        for step in range(1, self.STEPS + 1):
            record(MetricLine(kind="step", step=step, epoch=step / 3, loss=1 / step, seconds=step))
            if job.session.stop.is_requested():
                return self._build_result("interrupted", step)
        if self.fails:
            raise TrainingError("service-failed", "training service reports a failure", got=JOB_ID)
        record(MetricLine(kind="validation", step=self.STEPS, epoch=1, loss=0.5, seconds=4))
        return self._build_result("finished", self.STEPS)

    def fetch(self, job: TrainingJob, job_id: str | None) -> LocalModel:
        """An adapter as the recipe wants it, with some noise in it."""
        import torch

        from tunesmith.engine.adapters.adapter_registry import build_trainable

        # A second copy: an adapter on the job's own model would be there before it is loaded.
        other = job.model.resolved.load_for_recipe(self.recipe)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trainable = build_trainable(other.loaded, self.recipe.adapter)
            with torch.no_grad():
                for weight in trainable.get_weights().values():
                    weight.add_(0.01 * torch.randn_like(weight))
        trainable.write(job.output_folder, self.recipe.model, self.recipe.revision)
        return job.load_tuned_model()

    def _build_result(self, status: RunStatus, steps: int) -> TrainingResult:
        return TrainingResult(
            status=status,
            steps=steps,
            planned_steps=self.STEPS,
            best_step=steps,
            best_validation_loss=0.5,
            best_score=None,
            seconds=4.0,
            tokens_trained=10 * steps,
            tokens_read=20 * steps,
            peak_memory_bytes=0,
            trainable_parameters=0,
        )
