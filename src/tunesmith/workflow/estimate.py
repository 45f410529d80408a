"""Recipe -> time, memory and money, before anything is spent; and what came of it, after the run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil

from tunesmith.baselines.form import form_of
from tunesmith.baselines.instructions import ways_to_show
from tunesmith.errors import GateFailed, ModelError
from tunesmith.evaluation.meter import read_queue, share_waited
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    ChatTokenizer,
    Estimate,
    Machine,
    Recipe,
    Run,
    TokenArrays,
    minutes_told,
    passes_told,
)
from tunesmith.records.estimate import total
from tunesmith.records.quantity import duration, usd
from tunesmith.runs.environment import machine
from tunesmith.workflow.busy import BUSY_MACHINE, busy_with, stolen_between, timed_told
from tunesmith.workflow.forecast import Here, How, forecast
from tunesmith.workflow.forecast_asking import Work
from tunesmith.workflow.index import Index
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.material import Material, gather
from tunesmith.workflow.outsiders import own_prompts
from tunesmith.workflow.rates import RatesFile, Recall

if TYPE_CHECKING:
    from tunesmith.engine.pace import Prospect

RUNS_LOOKED_AT = 100


def estimate(recipe: Recipe, *, measure: bool = False, listener: Listener = SILENT) -> Estimate:
    """What the recipe's training will need; with `measure` the whole model is loaded and steps of it are timed.

    Nothing is written. Errors: as `train`, before its first step.
    """
    material = gather(recipe, listener)
    listener.stage("measuring this machine")
    with Index.open(listener) as index:
        return foresee(material, index, material.model.load_for(material.recipe) if measure else None)


@dataclass(frozen=True)
class Foresight:
    """What estimates are made of: the model timed, the work counted, past runs, and this machine as it is now;
    `seconds` is what finding it took. `timed_at`: when the rates were measured, None where that was just now; `stolen`:
    the share of the cores' time that the host gave to other machines meanwhile."""

    prospect: "Prospect"
    work: Work
    past: list[Run]
    here: Here
    machine: Machine
    validation_examples: int
    seconds: float
    timed_at: str | None = None
    stolen: float = 0.0

    def about(self, material: Material) -> "Foresight":
        """The same model on the same train examples, of which other questions are asked: nothing is timed again."""
        examples = len(material.arrays["validation"])
        share = min(1.0, examples / max(1, self.validation_examples))
        prospect = replace(self.prospect, look_tokens=int(self.prospect.look_tokens * share))
        return replace(self, prospect=prospect, work=work_of(material), validation_examples=examples)


def measure(material: Material, index: Index, model: LocalModel | None = None) -> Foresight:
    """Time a `model` (which gets an adapter), else a slice of it, unless its rates here are known (`rates.py`).

    Errors: `ModelError` when the model cannot be sliced, `TrainingError` when its memory cannot suffice.
    """
    from tunesmith.engine.pace import prospect_of_model, prospect_of_slices

    began, queue, cores_before = time.monotonic(), read_queue(), psutil.cpu_times()
    train, validation, recipe = material.arrays["train"], material.arrays["validation"], material.recipe
    identity, timed_at = material.model.identity, None
    if model is None:
        file = RatesFile.of(identity, machine(), recipe)
        recall = Recall(file.read(), lambda: share_waited(queue, read_queue()))
        prospect = prospect_of_slices(identity.folder, train, validation, recipe, recall)
        timed_at = recall.used_of
        if timed_at is None:
            file.write(prospect.pace.rates, recall.waiting())
    else:
        prospect = prospect_of_model(model.loaded, train, validation, recipe)
    now, waiting = machine(prospect.accelerator), share_waited(queue, read_queue())
    here = Here(identity.parameters, psutil.getloadavg()[0] / now.cores, datetime.now(UTC), waiting)
    return Foresight(
        prospect, work_of(material), past_runs(index, now), here, now, len(validation),
        seconds=round(time.monotonic() - began, 3), timed_at=timed_at,
        stolen=stolen_between(cores_before, psutil.cpu_times()),
    )  # fmt: skip


def foresee(
    material: Material, index: Index, model: LocalModel | None = None, known: Foresight | None = None
) -> Estimate:
    """The estimate for data that is ready, from what is `known` of the model already. Errors: as `measure`."""
    known = known.about(material) if known else measure(material, index, model)
    how: How = "quick" if model is None else "measured"
    found = forecast(known.prospect, known.work, material.recipe, known.past, how, known.here)
    assumptions = (
        *busy_of(known),
        *timed_told(known.timed_at),
        *found.assumptions,
    )
    return found.model_copy(update={"assumptions": assumptions, "estimating_seconds": known.seconds})


def busy_of(known: Foresight) -> tuple[str, ...]:
    """A warning when the machine was busy while the model was timed."""
    return busy_with(known.here.waiting, known.here.load, known.machine.cores, known.stolen)


def foreseen(
    material: Material, index: Index, listener: Listener, *, decides: bool = False, known: Foresight | None = None
) -> Estimate | None:
    """The estimate at the beginning of a run, told: what `decide` takes in all, or the tuning alone; None for a model
    that can be trained but not sliced.

    Errors: `GateFailed` when strict and the tuning would be too short to judge fine-tuning by.
    """
    listener.stage("estimating")
    try:
        found = foresee(material, index, known=known)
    except ModelError as error:
        listener.note(f"no estimate: {error.found or error.what}")
        return None
    listener.note(in_short(found, decides=decides))
    for line in found.assumptions:
        if line.startswith(BUSY_MACHINE):
            listener.note(f"warning: {line}")
    if warning := too_short(found):
        listener.note(f"warning: {warning}")
        if decides and material.recipe.strict:
            raise GateFailed(
                "too-short-tuning", warning, where="training.minutes", found=passes_of(found),
                do="give the tuning more time, or decide without strict",
            )  # fmt: skip
    return found


def too_short(estimate: Estimate) -> str:
    """What is to be told before a tuning that will be too short; empty where it will not."""
    extent = estimate.extent
    if extent is None or not extent.is_short:
        return ""
    return (
        f"{duration(estimate.seconds.expected)} of tuning are about {passes_told(extent)}: nothing can be said about "
        f"fine-tuning after that. {minutes_told(extent)}."
    )


def passes_of(estimate: Estimate) -> str:
    """How much the tuning will be."""
    return passes_told(estimate.extent) if estimate.extent else f"{estimate.steps:,} steps"


def in_short(estimate: Estimate, *, decides: bool = False) -> str:
    """`tuning takes about 5 min (4 min to 8 min) for 3 passes over the data (...), 1.3 GB of memory and $0.01`; for a
    decision, the total first."""
    seconds = estimate.seconds
    if decides:
        whole, asking = total([seconds, estimate.asking_seconds]), estimate.asking_seconds.expected
        return (
            f"the whole decision takes about {duration(whole.expected)} ({duration(whole.low)} to "
            f"{duration(whole.high)}): tuning {duration(seconds.expected)} for {passes_of(estimate)}, asking "
            f"{duration(asking)}; {estimate.memory_bytes.expected / 1e9:.1f} GB of memory and "
            f"{usd(estimate.decide_usd.expected)}"
        )
    between = f"{duration(seconds.low)} to {duration(seconds.high)}"
    memory = f"{estimate.memory_bytes.expected / 1e9:.1f} GB of memory"
    return (
        f"tuning takes about {duration(seconds.expected)} ({between}) for {passes_of(estimate)}, {memory} and "
        f"{usd(estimate.usd.expected)}"
    )


def past_runs(index: Index, here: Machine) -> list[Run]:
    """Finished runs on a machine like this one whose estimates came out somehow, newest first."""
    return [
        stored.run
        for stored in index.runs(RUNS_LOOKED_AT)
        if stored.run.estimate_error
        and (stored.run.machine.processor, stored.run.machine.cores, stored.run.machine.accelerator)
        == (here.processor, here.cores, here.accelerator)
    ]


def work_of(material: Material) -> Work:
    """What there is to do, counted in the data."""
    train, validation = material.prepared["train"], material.prepared["validation"]
    has_questions = any(example.messages for example in material.validation)
    answers = answer_lengths(material.arrays["validation"]) if has_questions else ()
    return Work(
        examples=train.examples,
        tokens_read=train.tokens_read,
        tokens_trained=train.tokens_trained,
        answers=answers,
        question=(validation.tokens_read - validation.tokens_trained) / max(1, validation.examples),
        tests=len(material.test) if has_questions else 0,
        longest=material.recipe.evaluation.max_new_tokens or max(answers, default=1),
        label_tokens=label_tokens([example.answer for example in material.train], material.model.tokenizer),
        ways_to_show=ways_to_show(form_of([example.answer for example in material.train])[0]),
        own_prompts=len(own_prompts(material.recipe)),
    )


def label_tokens(answers: Sequence[str], tokenizer: ChatTokenizer) -> int:
    """Tokens of all labels, what they begin with in common counted once; 0 where the answers are no labels."""
    form = form_of(answers)[0] if answers else None
    if form is None or not form.labels:
        return 0
    encoded = tokenizer.encode(list(form.labels))
    return len({tuple(one.ids[:t]) for one in encoded for t in range(1, len(one.ids) + 1)})


def answer_lengths(arrays: TokenArrays) -> tuple[int, ...]:
    """Trained tokens of the first sequence of each example."""
    return tuple(int((arrays.sequence(arrays.sequences_of(e)[0])[1] > 0).sum()) for e in range(len(arrays)))
