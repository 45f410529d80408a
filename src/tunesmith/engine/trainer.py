"""The training loop: one for all methods and adapters, which are passed in as objects.

The recipe's optimizer (`optimizer.py`) updates the trained weights in float32, after the gradient
is clipped by its norm. The best adapter so far is always complete on disk. With a length in epochs,
the same seed gives the same bits on a CPU, also when the process was killed and resumed
(`trainer_state.py`); a run with a time budget is not reproducible.

A step whose loss or gradient is not finite is detected before the optimizer moves, so it reaches
neither weights nor moments and nothing has to be rolled back (docs/decisions/050). The recipe
decides whether the run stops there or skips the step; several in a row are not an accident, and the
run stops. A sudden high loss is applied, with the gradient clipped, and reported.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, Literal

from tunesmith import failpoints
from tunesmith.engine.batching import count_steps_per_epoch, iterate_batches
from tunesmith.engine.checkpointer import Checkpointer
from tunesmith.engine.memory import release_unused_memory
from tunesmith.engine.memory_plan import plan_memory
from tunesmith.engine.schedule import TrainingProgress, compute_lr_multiplier
from tunesmith.engine.trainer_state import TrainerState
from tunesmith.engine.training_step import clip_gradient
from tunesmith.engine.validation_budget import (
    CUT_NOTICE,
    TRIAL_SHARE,
    ScoreFunction,
    TooLong,
    count_examples_that_fit,
    count_passes_that_fit,
    describe_thinning,
    describe_unvalidated,
    get_seconds_left,
    get_validation_allowance,
    is_last_pass_at_risk,
)
from tunesmith.errors import NonFiniteError, TrainingError
from tunesmith.records import MetricLine, ResolvedRecipe, RunStatus, TokenArrays

AtOnce = Callable[[], AbstractContextManager[None]]
"""Opens a block that a stop request interrupts at once, by `KeyboardInterrupt`."""

MAX_CONSECUTIVE_BAD_STEPS = 3
SPIKE_FACTOR = 100
# Below this the usual loss is that of a memorized text, and multiples of it mean nothing.
SPIKE_FLOOR_NATS = 0.01


class Trainer:
    """The loop over one `TrainerState`.

    `train` and `validation` hold the reference log-probabilities if the method uses them.
    """

    def __init__(
        self,
        state: TrainerState,
        train: TokenArrays,
        validation: TokenArrays,
        recipe: ResolvedRecipe,
        on_line: Callable[[MetricLine], None],
        checkpointer: Checkpointer,
    ) -> None:
        self.state, self.train, self.validation = state, train, validation
        self.on_line, self.checkpointer = on_line, checkpointer
        self.seed, self.recipe = recipe.seed, recipe.training
        self.peak_rate = self.recipe.learning_rate
        self.progress, self.training_step, self.best = (
            state.progress,
            state.training_step,
            state.best,
        )
        self.model = state.training_step.loaded.model
        self.parameters = list(state.weights.values())
        self.steps_per_epoch = count_steps_per_epoch(len(train), self.recipe.batch_size)
        self.untold: str | None = None

    def plan(self, score: ScoreFunction | None) -> None:
        """By trial, before step 1: how much fits into memory and into a time budget.

        A resumed training has both from its checkpoint.
        """
        plan = plan_memory(self.training_step, self.train, self.recipe, self.seed)
        self.training_step.set_plan(plan)
        self._fit_validation(score)

    def run(
        self, score: ScoreFunction | None, stop: Callable[[], bool], at_once: AtOnce = nullcontext
    ) -> RunStatus:
        """Train to the end: optimizer steps, with validation passes spread evenly over them.

        Returns "finished" when the length or the patience is used up, "interrupted" when `stop`
        returned True or a validation pass was interrupted; a checkpoint is then saved. Errors: as
        `TrainingStep.backward` and `Checkpointer.save`.
        """
        progress = self.progress
        # The order follows from the seed alone, so a resumed run skips the batches that it has
        # used.
        order = islice(
            iterate_batches(len(self.train), self.recipe.batch_size, self.seed), progress.step, None
        )
        while True:
            # Number of the validation pass that is due. The base model's pass (0) comes first even
            # when planning and trials have used a part of the time budget.
            due = (
                0
                if progress.validations < 0
                else int(progress.completed_fraction * progress.planned_validations)
            )
            # Skip a pass in the middle that would leave too little time for the last one.
            if (
                0 <= progress.validations < due < progress.planned_validations
                and is_last_pass_at_risk(progress)
            ):
                progress.validations = due
            is_interrupted = due > progress.validations and not self._validate(score, due, at_once)
            is_over = due == progress.planned_validations or progress.has_exhausted_patience(
                self.recipe.early_stopping_patience
            )
            if is_interrupted or (stop() and not is_over):
                self.checkpointer.save(self.state)
                # A stop during the last step still ends as "finished", because nothing is left to
                # do.
                return "interrupted"
            if is_over:
                return "finished"
            self.checkpointer.maybe_save(self.state)
            self._take_step(next(order))

    def _take_step(self, batch: list[int]) -> None:
        progress, recipe, began = self.progress, self.recipe, self.progress.seconds
        failpoints.hit("train.step")
        rate = self.peak_rate * compute_lr_multiplier(
            progress.next_step_midpoint, recipe.warmup_ratio, recipe.lr_scheduler
        )
        # `train()` walks over all modules, so it is called only when needed.
        if not self.model.training:
            self.model.train()
        try:
            loss = self.training_step.backward(self.train, batch, progress.step + 1)
            self.state.trainable.collect_gradients()
            # Both checks, of loss and gradient norm, come before the optimizer: a bad step never
            # reaches the moments.
            norm = clip_gradient(self.parameters, recipe.max_grad_norm, batch, progress.step + 1)
        except TrainingError as error:
            self._skip(error)
            return
        for group in self.state.optimizer.param_groups:
            group["lr"] = rate
        self.state.optimizer.step()
        self.state.trainable.sync_to_model()
        self.state.optimizer.zero_grad(set_to_none=True)
        failpoints.hit("train.stepped")
        progress.step += 1
        progress.step_seconds = progress.seconds - began
        for tokens_T, weights_T in map(
            self.train.get_sequence, self.train.list_sequence_indices(batch)
        ):
            progress.tokens_read += len(tokens_T)
            progress.tokens_trained += int((weights_T > 0).sum())
        warning = (
            "; ".join(filter(None, (self.untold, describe_loss_spike(loss, progress)))) or None
        )
        self.untold = None
        self.on_line(
            self._build_metric_line(
                "step", loss, learning_rate=rate, gradient_norm=norm, warning=warning
            )
        )

    def _skip(self, error: TrainingError) -> None:
        """Skip a step with a non-finite loss or gradient, if allowed; no weight has changed."""
        if not should_skip_step(error, self.recipe.on_nonfinite, self.progress):
            raise error
        self.state.optimizer.zero_grad(set_to_none=True)
        # The trained weights may be separate float32 copies (`adapters/full_finetune.py`), so both
        # have gradients.
        self.model.zero_grad(set_to_none=True)
        # The step number still advances: the data order and the schedule stay those of an
        # undisturbed run.
        self.progress.step += 1
        self.on_line(
            self._build_metric_line("skipped", None, warning=f"skipped: {error.got} ({error.at})")
        )

    def _fit_validation(self, score: ScoreFunction | None) -> None:
        """With a time budget, choose how many validation examples fit; the trials count too."""
        progress, allowance = self.progress, get_validation_allowance(self.progress)
        if allowance is None:
            return

        def seconds_of(examples: int) -> float | None:
            began = progress.seconds
            self.model.eval()
            self.training_step.validate(self.validation, examples)
            try:
                if score:
                    score(
                        examples,
                        is_trial=True,
                        seconds=TRIAL_SHARE * allowance - (progress.seconds - begin),
                    )
            except TooLong:
                return None
            return progress.seconds - began

        begin = progress.seconds
        progress.validation_examples = count_examples_that_fit(
            len(self.validation), allowance, seconds_of
        )
        progress.validation_seconds += progress.seconds - begin
        if progress.validation_examples == 0:
            self.untold = describe_unvalidated(progress)

    def _validate(self, score: ScoreFunction | None, number: int, at_once: AtOnce) -> bool:
        """Run validation pass `number`: held-out loss and, with `score`, generated answers.

        Returns False when it was interrupted; then nothing of it counts. Before step 1 only the
        loss of the base model is computed, but with a time budget the base model answers too,
        because the time this takes is reserved for the last pass. If the answers take longer than
        validation may, they are not scored: the best weights so far stay the best, and after such a
        pass of the base model no other one is made.
        """
        progress, began = self.progress, self.progress.seconds
        if progress.validation_examples == 0:
            progress.validations = number
            return True
        # Training leaves holes in the heap; generation needs memory for the keys and values of many
        # answers.
        release_unused_memory()
        self.model.eval()
        examples = progress.validation_examples or len(self.validation)
        try:
            with at_once():
                loss, accuracy = self.training_step.validate(self.validation, examples)
                failpoints.hit("train.look")
                left = get_seconds_left(progress) - (progress.seconds - began)
                scored = (
                    score(examples, seconds=left)
                    if score and (progress.step or left < math.inf)
                    else (None, None)
                )
        except TooLong:
            self._cut(number, progress.seconds - began, loss)
            return True
        except KeyboardInterrupt:
            return False
        if scored is None:
            return False
        seconds = progress.seconds - began
        is_best = progress.step > 0 and self.best.consider(progress.step, loss, scored[1])
        progress.record_validation(number, seconds, loss, is_best=is_best)
        found = {"score": scored[1], "score_name": scored[0], "reward_accuracy": accuracy}
        self.on_line(
            self._build_metric_line(
                "validation",
                loss,
                **found,
                warning=None if progress.step else self._describe_validation(),
            )
        )
        # Before the adapter is written: `BestCheckpoint.restore` handles a crash between the two
        # writes.
        self.checkpointer.save(self.state)
        if is_best:
            self.best.write()
        return True

    def _cut(self, number: int, seconds: float, loss: float) -> None:
        """Record a pass that exceeded the time for validation: its time counts and its loss is
        reported, but it cannot become the best.
        """
        progress = self.progress
        progress.validations, progress.validation_seconds = (
            number,
            progress.validation_seconds + seconds,
        )
        if progress.step == 0:
            progress.validation_examples = 0
        warning = CUT_NOTICE if progress.step else describe_unvalidated(progress)
        self.on_line(self._build_metric_line("validation", loss, warning=warning))

    def _describe_validation(self) -> str | None:
        """After the base model's pass: set the number of further passes that fit; return the
        user-visible notes.
        """
        progress, planned = self.progress, self.recipe.num_evals
        progress.planned_validations = count_passes_that_fit(planned, progress)
        thinned = describe_thinning(progress, planned, len(self.validation))
        return "; ".join(filter(None, (self.training_step.no_sharing_message, thinned))) or None

    def _build_metric_line(
        self, kind: Literal["step", "validation", "skipped"], loss: float | None, **more: Any
    ) -> MetricLine:
        progress = self.progress
        return MetricLine(
            kind=kind,
            step=progress.step,
            epoch=progress.step / self.steps_per_epoch,
            loss=loss,
            seconds=progress.seconds,
            tokens_trained=progress.tokens_trained,
            tokens_read=progress.tokens_read,
            **more,
        )


def should_skip_step(
    error: TrainingError, policy: Literal["stop", "skip"], progress: TrainingProgress
) -> bool:
    """Whether this failed step may be skipped; counts consecutive failed steps in `progress`."""
    progress.consecutive_bad_steps += 1
    return (
        policy == "skip"
        and isinstance(error, NonFiniteError)
        and progress.consecutive_bad_steps <= MAX_CONSECUTIVE_BAD_STEPS
    )


def describe_loss_spike(loss: float, progress: TrainingProgress) -> str | None:
    """A warning if the loss of an applied step is a spike, else None; updates the running mean."""
    progress.consecutive_bad_steps = 0
    usual = loss if progress.mean_loss is None else progress.mean_loss
    progress.mean_loss = 0.9 * usual + 0.1 * loss
    # The mean was updated first, but the spike is compared with the one before it.
    if loss <= SPIKE_FACTOR * max(usual, SPIKE_FLOOR_NATS):
        return None
    return f"loss {loss:.4g} is {loss / max(usual, SPIKE_FLOOR_NATS):,.0f} times its running mean"
