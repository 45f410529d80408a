"""Training on this machine, in this process: the built-in training service."""

from tunesmith.evaluation.usage_meter import compute_waiting_fraction, read_scheduler_stats
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import Recipe, TrainingResult
from tunesmith.training.training_callbacks import MetricRecorder, build_generation_scorer
from tunesmith.training.training_service import TrainingJob

MIN_WARNED_FRACTION = 0.05
"""Fraction of a model's weights; below it no warning, because small convolutions also have
three-dimensional weights.
"""


class LocalTrainer:
    """The engine as a `TrainingService`; a stop ends it after a step, with a checkpoint."""

    is_local = True

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def submit(self, job: TrainingJob) -> None:
        """None: the training lives in this process, and continues from checkpoints."""

    def follow(self, job: TrainingJob, job_id: str | None) -> TrainingResult:
        """Train in this process, or continue from the job's checkpoint; afterwards the model in
        memory holds the best weights."""
        from tunesmith.engine.adapter_training import train_adapter

        # these load torch, which callers without a model must not import
        from tunesmith.engine.checkpoint import Checkpoints
        from tunesmith.engine.checkpointer import CheckpointConfig

        _warn_about_untrained_weights(job, job.session.listener)
        folder, listener, stop = job.session.folder, job.session.listener, job.session.stop
        recorder = MetricRecorder(
            folder, listener, job.recipe, job.checkpoint.step if job.checkpoint else 0
        )
        checkpoints = Checkpoints(folder.checkpoints)
        queue = read_scheduler_stats()
        result = train_adapter(
            job.model.loaded,
            job.data.arrays["train"],
            job.data.arrays["validation"],
            job.recipe,
            adapter_folder=job.output_folder,
            on_line=recorder,
            score=build_generation_scorer(
                job.data, job.recipe, folder, job.model, recorder, stop, job.scorer
            ),
            stop=stop.is_requested,
            at_once=stop.at_once,
            on_progress=listener.update_progress,
            checkpointing=CheckpointConfig(checkpoints, folder.record_journal, job.checkpoint),
        )
        result = result.replace(waiting=compute_waiting_fraction(queue, read_scheduler_stats()))
        # The energy of a resumed run would lack its earlier sessions.
        if job.checkpoint is None:
            result = result.replace(energy_joules=recorder.energy.accumulate_joules())
        return result

    def fetch(self, job: TrainingJob, job_id: str | None) -> LocalModel:
        """The model in memory: the engine has written its weights already."""
        return job.model


def _warn_about_untrained_weights(job: TrainingJob, listener: ProgressListener) -> None:
    """Warn if an adapter leaves much of the model untrained: stacked experts are not linear
    layers.
    """
    from tunesmith.engine.adapters.linear_layers import count_stacked_weights

    stacked, total = count_stacked_weights(job.model.loaded.model)
    if job.recipe.adapter.kind != "full" and stacked > MIN_WARNED_FRACTION * total:
        listener.warn(
            "training/untrained-weights",
            f"{stacked / total:.0%} of the model weights are experts, which adapters do not "
            "support; they are not trained (adapter.kind=full trains them)",
            fraction=stacked / total,
        )
