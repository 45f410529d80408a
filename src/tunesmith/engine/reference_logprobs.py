"""Log-probabilities of every answer under the reference model, computed once before the first step.

The reference is the model before training: with the adapter off, or (full fine-tuning) not yet
changed. Its log-probabilities are constant, so they are saved with the checkpoints: a resumed
training uses the same ones, also when the original weights are no longer in memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tunesmith.engine.methods.kto import build_mismatched
from tunesmith.engine.methods.training_method import TrainingMethod
from tunesmith.engine.prefix_forest import sort_by_prefix
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import TokenArrays

MAX_CHUNK_EXAMPLES = 128  # examples between two checks of `stop`

StageProgressCallback = Callable[[str, int, int], None]
"""(name of the stage, number done, total)."""


def add_mismatched(method: TrainingMethod, arrays: TokenArrays) -> TokenArrays:
    """The arrays together with the mismatched sequences, if the method reads them (KTO)."""
    return replace(arrays, mismatched=build_mismatched(arrays)) if method.estimates_kl else arrays


def compute_reference_logps(
    training_step: TrainingStep,
    splits: Mapping[str, TokenArrays],
    on_progress: StageProgressCallback,
    stop: Callable[[], bool],
) -> dict[str, Tensor] | None:
    """float64 log-probabilities of all sequences by the current model, by split name.

    None when `stop` returned True.
    """
    parts = _collect_splits(splits)
    wanted, done = sum(map(len, parts.values())), 0
    logps = {
        name: torch.empty(len(arrays.starts_S1) - 1, dtype=torch.float64)
        for name, arrays in parts.items()
    }
    for name, arrays in parts.items():
        # Sorted, so that examples with the same prompt are in the same forest.
        order = sort_by_prefix(
            [arrays.get_sequence(arrays.get_sequence_range(e)[0])[0] for e in range(len(arrays))]
        )
        for begin in range(0, len(order), MAX_CHUNK_EXAMPLES):
            if stop():
                return None
            examples = order[begin : begin + MAX_CHUNK_EXAMPLES]
            logps[name][arrays.list_sequence_indices(examples)] = (
                training_step.compute_sequence_logps(arrays, examples)
            )
            done += len(examples)
            on_progress("reference", done, wanted)
    return logps


def with_reference_logps(
    name: str, arrays: TokenArrays, logps: Mapping[str, Tensor]
) -> TokenArrays:
    """A split with the reference log-probabilities of `compute_reference_logps`."""
    beside = arrays.mismatched
    if beside is not None:
        beside = replace(beside, reference_S=logps[f"{name}/mismatched"].numpy())
    return replace(arrays, reference_S=logps[name].numpy(), mismatched=beside)


def _collect_splits(splits: Mapping[str, TokenArrays]) -> dict[str, TokenArrays]:
    beside = {f"{name}/mismatched": arrays.mismatched for name, arrays in splits.items()}
    return {**splits, **{name: arrays for name, arrays in beside.items() if arrays is not None}}
