"""Callbacks of a training: metric lines are stored and shown, and at each validation pass answers
are generated and scored.
"""

import math
import time

from tunesmith.decision.undertraining import compute_training_length
from tunesmith.engine.validation_budget import ScoreFunction
from tunesmith.evaluation.energy import EnergyCounters
from tunesmith.evaluation.harness import compute_primary_scores
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import LocalModel
from tunesmith.recipe.defaults import get_default_epochs
from tunesmith.records import MetricLine, Recipe, ResolvedRecipe, TrainingLength, TrainingResult
from tunesmith.runs.run_folder import RunFolder, ValidationSample
from tunesmith.runs.signals import StopSignal
from tunesmith.runs.training_data import TrainingData


class MetricRecorder:
    """Stores and reports every metric line, and the progress of the training.

    `step` is the latest step; energy counters are read with every line, because they overflow and
    restart at 0.
    """

    def __init__(
        self, folder: RunFolder, listener: ProgressListener, recipe: ResolvedRecipe, step: int
    ) -> None:
        self.folder, self.listener, self.recipe, self.step = folder, listener, recipe, step
        self.energy = EnergyCounters()

    def __call__(self, line: MetricLine) -> None:
        self.energy.accumulate_joules()
        self.step = line.step
        self.folder.append_metric(line)
        self.listener.log_metric(line)
        if line.kind == "step":
            self._report_progress(line)

    def _report_progress(self, line: MetricLine) -> None:
        length, unit = self.recipe.training.length
        rate = (line.tokens_read or 0) / max(line.seconds, 1e-9)
        if unit == "minutes":
            done, total = min(line.seconds, length * 60), length * 60
        else:
            done, total = line.epoch, length
        self.listener.update_progress(
            "tuning", done, total, f"step {line.step}  loss {line.loss:.3f}  {rate:,.0f} tokens/s"
        )


def measure_training_length(
    folder: RunFolder, data: TrainingData, recipe: Recipe, result: TrainingResult
) -> TrainingLength:
    """The number of passes over the data of a training, from all metric lines of its folder."""
    train_examples = len(data.arrays["train"])
    return compute_training_length(
        folder.read_metrics().records,
        train_examples=train_examples,
        batch_size=recipe.training.batch_size,
        wanted_passes=get_default_epochs(train_examples, recipe.method),
        seconds=result.seconds,
        validation_seconds=result.validation_seconds,
    )


class _GenerationStopped(Exception):
    """A stop was requested while answers were generated."""


def build_generation_scorer(
    data: TrainingData,
    recipe: ResolvedRecipe,
    folder: RunFolder,
    model: LocalModel,
    lines: MetricRecorder,
    stop: StopSignal,
    given_scorer: Scorer | None = None,
) -> "ScoreFunction | None":
    """A function that generates and scores answers to the first validation examples and stores each
    as a sample; None if there is nothing to generate.

    The function returns None if a stop is requested meanwhile: then no sample of this validation
    pass is stored.
    """
    # loads torch, which callers without a model must not import
    from tunesmith.engine.validation_budget import TooLong

    answerable = [example for example in data.validation if example.messages]
    if not answerable:
        return None
    # The plain scorer, also with a judge: it runs at every validation pass.
    scorer = given_scorer
    if scorer is None:
        scorer, _ = choose_scorer(data.train_answers, recipe.evaluation.scorer, LocalEmbedder)
    completer = model.create_completer(recipe.evaluation.max_new_tokens)

    def generate_and_score(
        examples: int, *, is_trial: bool = False, seconds: float = math.inf
    ) -> tuple[str, float] | None:
        asked, began = answerable[:examples], time.monotonic()

        def stop_if_asked(ready: int, total: int) -> None:
            if stop.is_requested():
                raise _GenerationStopped
            if time.monotonic() - began > seconds and ready < total:
                raise TooLong

        try:
            completions = completer.complete([example.prompt for example in asked], stop_if_asked)
        except _GenerationStopped:
            return None
        scores = compute_primary_scores(completions, asked, scorer)
        values = [value for value in scores if value is not None]
        # A trial only times the pass: its answers are not stored as samples.
        if is_trial:
            return scorer.metric, sum(values) / max(len(values), 1)
        with stop.finishing():  # a stop must not leave a part of the samples
            for example, completion, value in zip(asked, completions, scores, strict=True):
                folder.append_sample(
                    ValidationSample(
                        step=lines.step,
                        example=example.id,
                        question=example.question,
                        expected=example.answer,
                        answer=completion.text,
                        score=value,
                    )
                )
        if len(values) < len(asked):
            lines.listener.note(
                "validation/unscored",
                (
                    f"{len(asked) - len(values):,} of {len(asked):,} validation examples have no "
                    "score"
                ),
                count=len(asked) - len(values),
            )
        return scorer.metric, sum(values) / max(len(values), 1)

    return generate_and_score
