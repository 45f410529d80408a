"""The training loop: one for all methods. What differs between methods is handed to it.

AdamW in float32 on the adapter's weights (arXiv:1711.05101; betas 0.9 and 0.95 as is usual for language models),
gradient clipped by norm. The best adapter so far is always on disk, whole. The same seed gives the same bits on a CPU
when the recipe counts epochs; a time budget cannot be repeated exactly.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tunesmith.engine.adapters.lora import attach_lora, lora_parameters
from tunesmith.engine.batches import batches
from tunesmith.engine.best import BestAdapter
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.memory import peak_memory_bytes, return_unused_memory
from tunesmith.engine.methods.choose import method_of
from tunesmith.engine.schedule import Progress, rate_share
from tunesmith.engine.step import Stepper, clip_gradient
from tunesmith.records import MetricLine, Recipe, RunStatus, TokenArrays, TrainingResult

Score = Callable[[], tuple[str, float]]
"""Generates with the current weights and scores the answers: (name of the metric, value; higher is better)."""


def train_adapter(
    loaded: LoadedModel,
    train: TokenArrays,
    validation: TokenArrays,
    recipe: Recipe,
    *,
    adapter_folder: Path,
    on_line: Callable[[MetricLine], None],
    score: Score | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainingResult:
    """Train a fresh LoRA; leave the best one in `adapter_folder` and on the model.

    `recipe` is complete: it has a learning rate, and either epochs or minutes (validation counts in the minutes).
    `stop` is asked after each step; it and Ctrl-C end the training as "interrupted" with the best adapter, or the
    current one when none was measured yet. Interrupted before the first step, `steps` is 0 and no folder is written.

    Errors: `TrainingError` when loss or gradient is not finite, or memory does not suffice: that step is not applied.
    """
    with torch.random.fork_rng(devices=[loaded.device] if loaded.device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        attach_lora(loaded.model, recipe.adapter.rank, recipe.adapter.alpha, recipe.adapter.dropout)
        training = Training(
            loaded,
            train,
            validation,
            recipe,
            BestAdapter(loaded.model, adapter_folder, recipe.model, recipe.revision),
            on_line,
        )
        try:
            status = training.run(score, stop)
        except KeyboardInterrupt:
            status = "interrupted"
        finally:
            loaded.model.eval()
        return training.finish(status)


class Training:
    """One training under way."""

    def __init__(
        self,
        loaded: LoadedModel,
        train: TokenArrays,
        validation: TokenArrays,
        recipe: Recipe,
        best: BestAdapter,
        on_line: Callable[[MetricLine], None],
    ) -> None:
        self.loaded, self.train, self.validation, self.best, self.on_line = loaded, train, validation, best, on_line
        self.seed, self.recipe = recipe.seed, recipe.training
        assert self.recipe.learning_rate is not None  # `complete_recipe` fills it
        self.peak_rate = self.recipe.learning_rate
        self.parameters = lora_parameters(loaded.model)
        self.optimizer = torch.optim.AdamW(self.parameters, betas=(0.9, 0.95), weight_decay=self.recipe.weight_decay)
        self.stepper = Stepper(
            loaded, method_of(recipe), self.recipe.micro_batch, longest=int(np.diff(train.starts_S1).max())
        )
        self.steps_per_epoch = math.ceil(len(train) / self.recipe.batch_size)
        epochs, minutes = self.recipe.epochs, self.recipe.minutes
        self.progress = Progress(
            planned_steps=None if epochs is None else max(1, round(epochs * self.steps_per_epoch)),
            budget_seconds=None if minutes is None else minutes * 60,
        )
        self.tokens_trained = self.tokens_read = 0

    def run(self, score: Score | None, stop: Callable[[], bool]) -> RunStatus:
        """Steps, and looks at the validation split spread evenly over them, the last one at the end."""
        looks = 0
        self._look(None)
        for batch in batches(len(self.train), self.recipe.batch_size, self.seed):
            self._step(batch)
            due = int(self.progress.done * self.recipe.evaluations)
            if due > looks:
                looks = due
                self._look(score)
            if due == self.recipe.evaluations:
                break
            if stop():
                return "interrupted"
        return "finished"

    def _step(self, batch: list[int]) -> None:
        progress, recipe, began = self.progress, self.recipe, self.progress.seconds
        rate = self.peak_rate * rate_share(progress.middle_of_next_step, recipe.warmup_share, recipe.decay)
        self.loaded.model.train()
        loss = self.stepper.backward(self.train, batch, progress.step + 1)
        norm = clip_gradient(self.parameters, recipe.clip_norm, batch, progress.step + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        progress.step_seconds = progress.seconds - began
        self.tokens_read += sum(len(self.train.sequence(e)[0]) for e in batch)
        self.tokens_trained += sum(int((self.train.sequence(e)[1] > 0).sum()) for e in batch)
        self.on_line(self._line("step", loss, learning_rate=rate, gradient_norm=norm))

    def _look(self, score: Score | None) -> None:
        """Held-out loss and, with `score`, generated answers. Before step 1 it is the base model's loss."""
        began = self.progress.seconds
        return_unused_memory()
        self.loaded.model.eval()
        loss = self.stepper.mean_loss(self.validation)
        name, value = score() if score else (None, None)
        self.progress.look_seconds = self.progress.seconds - began
        if self.progress.step:
            self.best.consider(self.progress.step, loss, value)
        self.on_line(self._line("validation", loss, score=value, score_name=name))

    def _line(self, kind: Literal["step", "validation"], loss: float, **more: Any) -> MetricLine:
        step = self.progress.step
        return MetricLine(
            kind=kind, step=step, epoch=step / self.steps_per_epoch, loss=loss, seconds=self.progress.seconds,
            tokens_trained=self.tokens_trained, tokens_read=self.tokens_read, **more,
        )  # fmt: skip

    def finish(self, status: RunStatus) -> TrainingResult:
        """Leave the best adapter on the model and tell how it went."""
        self.best.settle(self.progress.step)
        return TrainingResult(
            status=status, steps=self.progress.step, planned_steps=self.progress.planned_steps,
            best_step=self.best.step, best_validation_loss=self.best.loss, best_score=self.best.score,
            seconds=self.progress.seconds, tokens_trained=self.tokens_trained, tokens_read=self.tokens_read,
            peak_memory_bytes=peak_memory_bytes(self.loaded.device),
            trainable_parameters=sum(weight.numel() for weight in self.parameters),
        )  # fmt: skip
