"""Log-probabilities of every answer under the reference model, computed once before the first step.

The reference is the model before training: with the adapter off, or (full fine-tuning) not yet
changed. Its log-probabilities are constant, so they are saved with the checkpoints: a resumed
training uses the same ones, also when the original weights are no longer in memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tunesmith.engine.prefix_forest import sort_by_prefix
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import TokenArrays

MAX_CHUNK_EXAMPLES = 128  # examples between two checks of `stop`

StageProgressCallback = Callable[[str, int, int], None]
"""(name of the stage, number done, total)."""


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
    total, done = sum(map(len, parts.values())), 0
    by_token = training_step.method.reference == "tokens"
    logps = {
        name: torch.zeros(
            len(arrays.tokens_N) if by_token else len(arrays.starts_S1) - 1, dtype=torch.float64
        )
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
            if by_token:
                places = torch.from_numpy(arrays.list_trained_tokens(examples))
                logps[name][places] = training_step.compute_token_logps(arrays, examples)
            else:
                logps[name][arrays.list_sequence_indices(examples)] = (
                    training_step.compute_sequence_logps(arrays, examples)
                )
            done += len(examples)
            on_progress("reference", done, total)
    return logps


def with_reference_logps(
    name: str, arrays: TokenArrays, logps: Mapping[str, Tensor], *, by_token: bool = False
) -> TokenArrays:
    """A split with the reference log-probabilities of `compute_reference_logps`."""
    extras = {
        key: with_reference_logps(f"{name}/{key}", extra, logps, by_token=by_token)
        for key, extra in arrays.extras.items()
    }
    own = logps[name].numpy()
    if by_token:
        return replace(arrays, reference_N=own, extras=extras)
    return replace(arrays, reference_S=own, extras=extras)


def _collect_splits(splits: Mapping[str, TokenArrays]) -> dict[str, TokenArrays]:
    """The splits and their extras, which are named `split/extra`."""
    extras = {
        f"{name}/{key}": extra
        for name, arrays in splits.items()
        for key, extra in arrays.extras.items()
    }
    return {**splits, **extras}
