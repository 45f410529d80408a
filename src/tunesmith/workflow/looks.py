"""What a training tells while it goes: its lines kept and shown, and at each look answers generated and scored."""

import math
import time
from typing import TYPE_CHECKING

from tunesmith.decision.extent import extent_of
from tunesmith.evaluation.energy import EnergyCounters
from tunesmith.evaluation.evaluate import deciding_scores
from tunesmith.evaluation.scorers.choose import choose_scorer
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import LocalModel
from tunesmith.recipe.defaults import usual_passes
from tunesmith.records import MetricLine, Recipe, TrainingExtent, TrainingResult
from tunesmith.runs.folder import RunFolder, Sample
from tunesmith.runs.lesson import Lesson
from tunesmith.runs.stop import Stop
from tunesmith.workflow.listener import Listener

if TYPE_CHECKING:
    from tunesmith.engine.loop import Score


class Lines:
    """Keeps every metric line and shows progress, rate and loss. `step` is the last one that was told; `energy` is read
    with every line, because its counters begin again."""

    def __init__(self, folder: RunFolder, listener: Listener, recipe: Recipe, step: int) -> None:
        self.folder, self.listener, self.recipe, self.step = folder, listener, recipe, step
        self.energy = EnergyCounters()

    def __call__(self, line: MetricLine) -> None:
        self.energy.add_up()
        self.step = line.step
        self.folder.append_metric(line)
        if line.warning:
            self.listener.note(f"warning: step {line.step}: {line.warning}")
        if line.kind == "validation":
            won = f", preferred rightly {line.reward_accuracy:.1%}" if line.reward_accuracy is not None else ""
            score = f", {line.score_name} {line.score:.3f}" if line.score is not None else ""
            self.listener.note(f"step {line.step}: held-out loss {line.loss:.4f}{won}{score}")
        elif line.kind == "step":
            self._show(line)

    def _show(self, line: MetricLine) -> None:
        training = self.recipe.training
        rate = (line.tokens_read or 0) / max(line.seconds, 1e-9)
        if training.minutes is not None:
            done, total = min(line.seconds, training.minutes * 60), training.minutes * 60
        else:
            done, total = line.epoch, training.epochs or line.epoch
        self.listener.progress("tuning", done, total, f"step {line.step}  loss {line.loss:.3f}  {rate:,.0f} tokens/s")


def measured_extent(folder: RunFolder, lesson: Lesson, recipe: Recipe, result: TrainingResult) -> TrainingExtent:
    """How many passes over the data a training was, from all lines that it wrote."""
    train_examples = len(lesson.arrays["train"])
    return extent_of(
        folder.metrics().records,
        train_examples=train_examples,
        batch_size=recipe.training.batch_size,
        wanted_passes=usual_passes(train_examples, recipe.method),
        seconds=result.seconds,
        validation_seconds=result.validation_seconds,
    )


class _Stopped(Exception):
    """Somebody asked to stop while answers were generated."""


def generation_score(
    lesson: Lesson, recipe: Recipe, folder: RunFolder, model: LocalModel, lines: Lines, stop: Stop
) -> "Score | None":
    """Generates answers to the first of the validation examples and scores them; every answer is kept as a sample.

    Examples that use tools are not asked: no scorer can judge a call. Gives None when nothing is left to ask, and
    when somebody asks to stop meanwhile: then nothing of the look is kept.
    """
    from tunesmith.engine.validation_budget import TooLong  # with torch: not on the way of what needs no model

    answerable = [example for example in lesson.validation if example.messages and not example.uses_tools]
    if with_tools := sum(example.uses_tools for example in lesson.validation):
        lines.listener.note(
            f"{with_tools:,} of {len(lesson.validation):,} validation examples use tools: no answers to them are "
            "generated, for nothing here scores a tool call; the loss on them is measured"
        )
    if not answerable:
        return None
    scorer, _ = choose_scorer(lesson.answers, recipe.evaluation.scorer, LocalEmbedder)
    completer = model.completer(recipe.evaluation.max_new_tokens or 1)

    def score(examples: int, *, is_trial: bool = False, seconds: float = math.inf) -> tuple[str, float] | None:
        asked, began = answerable[:examples], time.monotonic()

        def stop_if_asked(ready: int, wanted: int) -> None:
            if stop.asked():
                raise _Stopped
            if time.monotonic() - began > seconds and ready < wanted:
                raise TooLong

        try:
            completions = completer.complete([example.prompt for example in asked], stop_if_asked)
        except _Stopped:
            return None
        scores = deciding_scores(completions, asked, scorer)
        values = [value for value in scores if value is not None]
        if is_trial:
            return scorer.metric, sum(values) / max(len(values), 1)
        with stop.finishing():  # all of them, or none
            for example, completion, value in zip(asked, completions, scores, strict=True):
                folder.append_sample(
                    Sample(step=lines.step, example=example.id, question=example.question, expected=example.answer,
                           answer=completion.text, score=value)
                )  # fmt: skip
        if len(values) < len(asked):
            lines.listener.note(f"{len(asked) - len(values):,} of {len(asked):,} validation examples got no score")
        return scorer.metric, sum(values) / max(len(values), 1)

    return score
