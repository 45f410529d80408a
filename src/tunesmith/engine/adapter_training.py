"""Token arrays -> trained adapter: the entry point of training. The loop is in `trainer.py`."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.best_checkpoint import BestCheckpoint
from tunesmith.engine.checkpointer import CheckpointConfig, Checkpointer
from tunesmith.engine.memory import get_peak_memory_bytes
from tunesmith.engine.methods.training_method import prepare_arrays
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.reference_logprobs import (
    StageProgressCallback,
    compute_reference_logps,
    with_reference_logps,
)
from tunesmith.engine.trainer import Trainer
from tunesmith.engine.trainer_state import TrainerState
from tunesmith.engine.validation_budget import ScoreFunction
from tunesmith.records import MetricLine, ResolvedRecipe, RunStatus, TokenArrays, TrainingResult


def train_adapter(
    loaded: LoadedModel,
    train: TokenArrays,
    validation: TokenArrays,
    recipe: ResolvedRecipe,
    *,
    adapter_folder: Path,
    on_line: Callable[[MetricLine], None],
    score: ScoreFunction | None = None,
    stop: Callable[[], bool] = lambda: False,
    at_once: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_progress: StageProgressCallback = lambda what, done, of: None,
    checkpointing: CheckpointConfig | None = None,
) -> TrainingResult:
    """Train by the recipe; leave the best weights in `adapter_folder` and in the model.

    The recipe's minutes include validation. `stop` is called after each step; it and Ctrl-C end the
    training as "interrupted" with the best adapter, or the current one if none was validated yet.
    If interrupted before the first step, `steps` is 0 and no folder is written. Work that can be
    discarded (trials, validation passes, reference log-probabilities) runs inside `at_once()`,
    which may raise `KeyboardInterrupt`. `on_line` receives every metric line; `on_progress` the
    progress of the work before the first step (name, done, total). With `checkpointing` the
    training is checkpointed on the way, or resumes from a checkpoint.

    Errors: `TrainingError` when loss or gradient is not finite, or memory is insufficient; that
    step is not applied. `DiskFull`. `RunError` for a checkpoint of another training.
    """
    # The caller's random state stays as it was; inside, everything follows from the recipe's seed.
    with torch.random.fork_rng(devices=[loaded.device] if loaded.device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        trained = build_trainable(loaded, recipe.adapter)
        best = BestCheckpoint(trained, adapter_folder, recipe.model, recipe.revision)
        state = TrainerState.from_recipe(loaded, best, recipe, train)
        method = state.training_step.method
        given = {"train": train, "validation": validation}
        splits = {name: prepare_arrays(method, arrays) for name, arrays in given.items()}
        checkpointer = Checkpointer(checkpointing, recipe.training.checkpoint_minutes)
        status: RunStatus = "interrupted"  # unless the trainer says otherwise
        try:
            is_resumed = checkpointer.restore_or_start(state)
            with at_once():
                ready = _add_reference(state, splits, on_progress, stop)
                trainer = None
                if ready is not None:
                    trainer = Trainer(
                        state, **ready, recipe=recipe, on_line=on_line, checkpointer=checkpointer
                    )
                if trainer and not is_resumed:  # else the plan came with the checkpoint
                    trainer.plan(score)
            if trainer:
                status = trainer.run(score, stop, at_once)
        except KeyboardInterrupt:
            pass
        finally:
            loaded.model.eval()
        # Also after an interruption: the user gets the best adapter so far.
        # Also after an interruption: the user gets the best adapter so far.
        best.finalize(state.progress.step)
        return _build_result(state, status)


def _add_reference(
    state: TrainerState,
    splits: dict[str, TokenArrays],
    on_progress: StageProgressCallback,
    stop: Callable[[], bool],
) -> dict[str, TokenArrays] | None:
    """The splits with the reference log-probabilities, from the checkpoint or computed, if the
    method uses them; None when `stop` returned True.

    The state holds them from now on, so that every checkpoint does.
    """
    reference = state.training_step.method.reference
    if reference is None:
        return splits
    if not state.reference:
        with state.trainable.use_base_model():
            logps = compute_reference_logps(state.training_step, splits, on_progress, stop)
        if logps is None:
            return None
        state.reference = logps
    by_token = reference == "tokens"
    return {
        name: with_reference_logps(name, arrays, state.reference, by_token=by_token)
        for name, arrays in splits.items()
    }


def _build_result(state: TrainerState, status: RunStatus) -> TrainingResult:
    progress, best = state.progress, state.best
    return TrainingResult(
        status=status,
        steps=progress.step,
        planned_steps=progress.planned_steps,
        best_step=best.step,
        best_validation_loss=best.loss,
        best_score=best.score,
        seconds=progress.seconds,
        tokens_trained=progress.tokens_trained,
        tokens_read=progress.tokens_read,
        peak_memory_bytes=get_peak_memory_bytes(state.device),
        trainable_parameters=sum(weight.numel() for weight in state.weights.values()),
        plan=state.training_step.plan,
        stopped_early=status == "finished" and progress.validations < progress.planned_validations,
        validation_seconds=progress.validation_seconds,
    )
