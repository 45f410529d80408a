"""What the reference model says of every answer, computed once before the first step.

The reference is the model before it is trained: the adapter is off, or (full fine-tuning) still untouched. Its
log-probabilities never change, so they are kept with the checkpoints: a training that goes on has the same ones, also
when the untouched weights are no longer in memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tunesmith.engine.forest import reading_order
from tunesmith.engine.methods.kto import mismatched
from tunesmith.engine.methods.method import Method
from tunesmith.engine.step import Stepper
from tunesmith.records import TokenArrays

if TYPE_CHECKING:
    from tunesmith.engine.loop import Training

EXAMPLES_AT_ONCE = 128  # between two looks at whether to stop

Tell = Callable[[str, int, int], None]
"""(what is done, how many of, how many)."""


def for_method(method: Method, arrays: TokenArrays) -> TokenArrays:
    """The arrays with the sequences that the method reads beside them."""
    return replace(arrays, mismatched=mismatched(arrays)) if method.estimates_kl else arrays


def refer(training: "Training", stop: Callable[[], bool]) -> bool:
    """Put what the reference says into the data, asked now or kept with the checkpoint; False when asked to stop."""
    splits = {"train": training.train, "validation": training.validation}
    if not training.reference:
        with training.trained.off():
            logps = reference_logps(training.stepper, splits, training.tell, stop)
        if logps is None:
            return False
        training.reference = logps
    training.train, training.validation = (
        with_reference(name, arrays, training.reference) for name, arrays in splits.items()
    )
    return True


def reference_logps(
    stepper: Stepper, splits: Mapping[str, TokenArrays], tell: Tell, stop: Callable[[], bool]
) -> dict[str, Tensor] | None:
    """Log-probabilities of all sequences by the model as it stands, float64, by the name of their split.

    None when it was asked to stop.
    """
    parts = _parts(splits)
    wanted, done = sum(map(len, parts.values())), 0
    logps = {name: torch.empty(len(arrays.starts_S1) - 1, dtype=torch.float64) for name, arrays in parts.items()}
    for name, arrays in parts.items():
        order = reading_order([arrays.sequence(arrays.sequences_of(e)[0])[0] for e in range(len(arrays))])
        for begin in range(0, len(order), EXAMPLES_AT_ONCE):
            if stop():
                return None
            examples = order[begin : begin + EXAMPLES_AT_ONCE]
            logps[name][arrays.sequences_of_all(examples)] = stepper.sequence_logps(arrays, examples)
            done += len(examples)
            tell("reference", done, wanted)
    return logps


def with_reference(name: str, arrays: TokenArrays, logps: Mapping[str, Tensor]) -> TokenArrays:
    """A split with what `reference_logps` found."""
    beside = arrays.mismatched
    if beside is not None:
        beside = replace(beside, reference_S=logps[f"{name}/mismatched"].numpy())
    return replace(arrays, reference_S=logps[name].numpy(), mismatched=beside)


def _parts(splits: Mapping[str, TokenArrays]) -> dict[str, TokenArrays]:
    beside = {f"{name}/mismatched": arrays.mismatched for name, arrays in splits.items()}
    return {**splits, **{name: arrays for name, arrays in beside.items() if arrays is not None}}
