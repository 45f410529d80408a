"""The training loop: one for all methods and adapters. What differs between them is handed to it.

AdamW in float32 on the trained weights (arXiv:1711.05101; betas 0.9 and 0.95 as is usual for language models), gradient
clipped by norm. The best adapter so far is always on disk, whole. The same seed gives the same bits on a CPU when the
recipe counts epochs, also when the process was killed and went on (`snapshot.py`); a time budget cannot be repeated.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

from tunesmith import faults
from tunesmith.engine.batches import batches
from tunesmith.engine.best import Best
from tunesmith.engine.budget import plan_of
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.memory import return_unused_memory
from tunesmith.engine.methods.choose import method_of
from tunesmith.engine.odd import may_skip, spike
from tunesmith.engine.reference import Tell, for_method, refer
from tunesmith.engine.schedule import Progress, rate_share
from tunesmith.engine.snapshot import Keeper
from tunesmith.engine.step import Stepper, adamw, clip_gradient
from tunesmith.engine.validation_budget import (
    CUT_TOLD,
    TRIAL_SHARE,
    TooLong,
    allowance_of,
    examples_that_fit,
    leaves_no_room,
    passes_that_fit,
    seconds_left,
    thinned_told,
    unvalidated_told,
)
from tunesmith.errors import TrainingError
from tunesmith.records import MetricLine, Recipe, RunStatus, TokenArrays

AtOnce = Callable[[], AbstractContextManager[None]]
"""Makes a block in which a stop is not waited with; it may raise `KeyboardInterrupt`."""


class Score(Protocol):
    """Generates answers to the first `examples` validation examples and scores them."""

    def __call__(self, examples: int, *, is_trial: bool = False, seconds: float = math.inf) -> tuple[str, float] | None:
        """(Name of the metric, value; higher is better); None: cut short, does not count. A trial is only timed.

        Errors: `TooLong` when it takes more than `seconds`.
        """


class Training:
    """One training under way. `snapshot.py` takes it apart and puts it together."""

    def __init__(
        self,
        loaded: LoadedModel,
        train: TokenArrays,
        validation: TokenArrays,
        recipe: Recipe,
        best: Best,
        on_line: Callable[[MetricLine], None],
        keeper: Keeper,
        tell: Tell = lambda what, done, of: None,
    ) -> None:
        self.loaded, self.best, self.on_line, self.keeper, self.tell = loaded, best, on_line, keeper, tell
        self.method = method_of(recipe)
        self.train, self.validation = for_method(self.method, train), for_method(self.method, validation)
        self.reference: dict[str, Tensor] = {}
        self.seed, self.recipe = recipe.seed, recipe.training
        assert self.recipe.learning_rate is not None  # `complete_recipe` fills it
        self.peak_rate = self.recipe.learning_rate
        self.trained, self.weights = best.trained, best.trained.weights()
        self.parameters = list(self.weights.values())
        self.optimizer = adamw(self.parameters, loaded.device, weight_decay=self.recipe.weight_decay)
        self.stepper = Stepper(loaded, self.method, longest=int(np.diff(train.starts_S1).max()))
        self.steps_per_epoch = math.ceil(len(train) / self.recipe.batch_size)
        self.progress = Progress.of(self.recipe, self.steps_per_epoch)
        self.untold: str | None = None

    def run(self, score: Score | None, stop: Callable[[], bool], at_once: AtOnce = nullcontext) -> RunStatus:
        """Steps, and looks at the validation split spread evenly over them; the last is the end, planned or early."""
        goes_on = self.keeper.begin(self)
        with at_once():
            if self.method.uses_reference and not refer(self, stop):
                return "interrupted"
            if not goes_on:  # else the plan came with the checkpoint
                self.stepper.follow(plan_of(self.stepper, self.train, self.recipe, self.seed))
                self._fit_validation(score)
        progress = self.progress
        order = islice(batches(len(self.train), self.recipe.batch_size, self.seed), progress.step, None)
        while True:
            # However long the plan and the trials took: the base model's pass comes first.
            due = 0 if progress.looks < 0 else int(progress.done * progress.evaluations)
            if 0 <= progress.looks < due < progress.evaluations and leaves_no_room(progress):
                progress.looks = due
            is_interrupted = due > progress.looks and not self._look(score, due, at_once)
            is_over = due == progress.evaluations or progress.is_out_of(self.recipe.patience)
            if is_interrupted or (stop() and not is_over):
                self.keeper.save(self)
                return "interrupted"
            if is_over:
                return "finished"
            self.keeper.save_if_due(self)
            self._step(next(order))

    def _step(self, batch: list[int]) -> None:
        progress, recipe, began = self.progress, self.recipe, self.progress.seconds
        faults.hit("train.step")
        rate = self.peak_rate * rate_share(progress.middle_of_next_step, recipe.warmup_share, recipe.decay)
        if not self.loaded.model.training:  # all its parts are switched together, and there are many
            self.loaded.model.train()
        try:
            loss = self.stepper.backward(self.train, batch, progress.step + 1)
            self.trained.collect()
            norm = clip_gradient(self.parameters, recipe.clip_norm, batch, progress.step + 1)
        except TrainingError as error:
            self._skip(error)
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.trained.publish()
        self.optimizer.zero_grad(set_to_none=True)
        faults.hit("train.stepped")
        progress.step += 1
        progress.step_seconds = progress.seconds - began
        for tokens_T, weights_T in map(self.train.sequence, self.train.sequences_of_all(batch)):
            progress.tokens_read += len(tokens_T)
            progress.tokens_trained += int((weights_T > 0).sum())
        warning = "; ".join(filter(None, (self.untold, spike(loss, progress)))) or None
        self.untold = None
        self.on_line(self._line("step", loss, learning_rate=rate, gradient_norm=norm, warning=warning))

    def _skip(self, error: TrainingError) -> None:
        """Leave out a step that went wrong, where the recipe allows it; nothing of it has reached the weights."""
        if not may_skip(error, self.recipe.on_bad_step, self.progress):
            raise error
        self.optimizer.zero_grad(set_to_none=True)
        self.loaded.model.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.on_line(self._line("skipped", None, warning=f"left out: {error.found} ({error.where})"))

    def _fit_validation(self, score: Score | None) -> None:
        """With a time budget, cut the validation split to what may be looked at; what the trials take is counted."""
        progress, allowance = self.progress, allowance_of(self.progress)
        if allowance is None:
            return

        def seconds_of(examples: int) -> float | None:
            began = progress.seconds
            self.loaded.model.eval()
            self.stepper.validate(self.validation, examples)
            try:
                if score:
                    score(examples, is_trial=True, seconds=TRIAL_SHARE * allowance - (progress.seconds - begin))
            except TooLong:
                return None
            return progress.seconds - began

        begin = progress.seconds
        progress.look_examples = examples_that_fit(len(self.validation), allowance, seconds_of)
        progress.validation_seconds += progress.seconds - begin
        if progress.look_examples == 0:
            self.untold = unvalidated_told(progress)

    def _look(self, score: Score | None, number: int, at_once: AtOnce) -> bool:
        """Held-out loss and, with `score`, generated answers; False when it was cut short: then nothing of it counts.

        Before step 1 it is the base model's loss. With a time budget the base model answers too: the time that this
        takes is what is set aside for the last look. Answers that take more than validation may are not scored: the
        best weights so far stay the best, and where it is the base model's, no look follows.
        """
        progress, began = self.progress, self.progress.seconds
        if progress.look_examples == 0:
            progress.looks = number
            return True
        return_unused_memory()
        self.loaded.model.eval()
        examples = progress.look_examples or len(self.validation)
        try:
            with at_once():
                loss, accuracy = self.stepper.validate(self.validation, examples)
                faults.hit("train.look")
                left = seconds_left(progress) - (progress.seconds - began)
                scored = score(examples, seconds=left) if score and (progress.step or left < math.inf) else (None, None)
        except TooLong:
            self._cut(number, progress.seconds - began, loss)
            return True
        except KeyboardInterrupt:
            return False
        if scored is None:
            return False
        seconds = progress.seconds - began
        is_best = progress.step > 0 and self.best.consider(progress.step, loss, scored[1])
        progress.looked(number, seconds, loss, is_best=is_best)
        found = {"score": scored[1], "score_name": scored[0], "reward_accuracy": accuracy}
        self.on_line(self._line("validation", loss, **found, warning=None if progress.step else self._remarks()))
        self.keeper.save(self)  # before the adapter: `Best.restore` knows what to do with either alone
        if is_best:
            self.best.write()
        return True

    def _cut(self, number: int, seconds: float, loss: float) -> None:
        """Count a look that took more than validation may: its time and its loss, but no score."""
        progress = self.progress
        progress.looks, progress.validation_seconds = number, progress.validation_seconds + seconds
        if progress.step == 0:
            progress.look_examples = 0
        warning = CUT_TOLD if progress.step else unvalidated_told(progress)
        self.on_line(self._line("validation", loss, warning=warning))

    def _remarks(self) -> str | None:
        """What is to be known of all validation passes, once the first is made: how many will follow."""
        progress, planned = self.progress, self.recipe.evaluations
        progress.evaluations = passes_that_fit(planned, progress)
        thinned = thinned_told(progress, planned, len(self.validation))
        return "; ".join(filter(None, (self.stepper.unshared, thinned))) or None

    def _line(self, kind: Literal["step", "validation", "skipped"], loss: float | None, **more: Any) -> MetricLine:
        progress = self.progress
        return MetricLine(
            kind=kind, step=progress.step, epoch=progress.step / self.steps_per_epoch, loss=loss,
            seconds=progress.seconds, tokens_trained=progress.tokens_trained, tokens_read=progress.tokens_read, **more,
        )  # fmt: skip
