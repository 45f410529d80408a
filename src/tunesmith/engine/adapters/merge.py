"""An adapter worked into its model's weights, with the proof that the answers stay the same.

    W' = W + s B A        DoRA: each row of it brought to its trained length. Computed and written in float32.

The proof: the log-probability of every token of the vocabulary at the last places of some prompts, by the model with
its adapter, by the merged model in memory, and by the merged model read back from the disk. They may differ by rounding
and by nothing else, or nothing is left behind. The folder is written beside its place and renamed.

Why float32: an update is small beside its weight, and bfloat16 keeps one part in 256 of a weight. How far the answers
move when it is computed in bfloat16 is measured and told (docs/decisions/030-merged-models-are-float32.md).

Shapes: K places where probes are compared, V vocabulary, O outputs, I inputs.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tunesmith.atomic_io import sync_folder
from tunesmith.engine.adapters.four_bit import FourBitLinear
from tunesmith.engine.adapters.full_model_io import write_model
from tunesmith.engine.adapters.linear_layers import (
    build_plain_layer,
    compute_dense_OI,
    find_linear_layers,
    replace_layer,
)
from tunesmith.engine.adapters.lora import disable_adapter, find_lora_layers, get_adapter_dtype
from tunesmith.engine.adapters.qlora import has_four_bit_layers
from tunesmith.engine.lm_head import compute_hidden_states, compute_logits
from tunesmith.engine.model_loading import Precision, load_model
from tunesmith.errors import GateFailed, ModelError
from tunesmith.records import Record
from tunesmith.temporary_files import make_temporary_folder

TOLERANCE_NATS = 1e-3
"""Nats. The order of float32 sums alone moved a log-probability by up to 7e-5 on SmolLM2-135M (docs/lab)."""
MAX_POSITIONS_PER_PROBE = 32
PROOF_FILE = "merge_proof.json"


class MergeProof(Record):
    """How far the log-probabilities of a merged model are from those of what it was made of, in nats.

    `moved` is the most that the adapter moves one away from the base's; `merged` and `read_back` are the most that
    merging, and then writing and reading, moved one. The others are of computing in bfloat16: mean divergence
    (Kullback-Leibler) and share of places with another likeliest token, for the merged model and for the model with its
    adapter beside it. None where there was no adapter (full fine-tuning). `from_four_bits`: the adapter was trained on
    weights held in 4 bits, and is merged onto exactly the values that these stood for.
    """

    probes: int
    places: int
    tolerance: float
    moved: float | None
    merged: float
    read_back: float
    bf16_divergence: float
    bf16_other_token: float
    bf16_divergence_beside: float | None
    bf16_other_token_beside: float | None
    from_four_bits: bool


def export_merged(folder: Path, adapter: Path | None, probes: Sequence[Sequence[int]], to: Path) -> MergeProof:
    """Write the model of a folder, with its adapter worked in, as an ordinary model folder `to`, in float32.

    Without an adapter the folder's own weights are written.
    Errors: `ModelError` when `to` is there already, or the adapter changes nothing or sits where it cannot be merged;
    `GateFailed` when the answers would differ. Nothing is left behind then.
    """
    if os.path.lexists(to):  # also a link to nowhere
        raise ModelError(
            "target-exists", "There is something at this place already.", where=str(to), do="choose another folder"
        )
    model = load_model(folder, "float32", adapter).model
    from_four_bits = has_four_bit_layers(model)
    tuned_KV = compute_log_probabilities(model, probes)
    moved = _measure_adapter_shift(model, probes, tuned_KV, adapter) if adapter else None
    merge(model)
    merged = _check_same_answers(tuned_KV, compute_log_probabilities(model, probes), "merged in memory")
    to.parent.mkdir(parents=True, exist_ok=True)
    with make_temporary_folder(to) as place:
        write_model(model, place, adapter)
        del model  # one at a time in memory
        read_back = _check_same_answers(
            tuned_KV, _compute_from_folder(place, "float32", probes), "read back from the disk"
        )
        in_bf16 = _compare_distributions(tuned_KV, _compute_from_folder(place, "bf16", probes))
        beside: tuple[float | None, float | None] = (None, None)
        if adapter is not None:
            beside = _compare_distributions(tuned_KV, _compute_from_folder(folder, "bf16", probes, adapter))
        proof = MergeProof(
            probes=len(probes), places=len(tuned_KV), tolerance=TOLERANCE_NATS, moved=moved, merged=merged,
            read_back=read_back, bf16_divergence=in_bf16[0], bf16_other_token=in_bf16[1],
            bf16_divergence_beside=beside[0], bf16_other_token_beside=beside[1], from_four_bits=from_four_bits,
        )  # fmt: skip
        proof.write(place / PROOF_FILE)
        sync_folder(place)
        place.rename(to)
    sync_folder(to.parent)
    return proof


def merge(model: PreTrainedModel) -> None:
    """Put one plain linear layer in the place of each adapted one. Errors: `ModelError` where a weight is shared."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    for name, layer in find_lora_layers(model).items():
        if layer is head and getattr(layer.frozen, "weight", None) is embedding.weight:
            raise ModelError(
                "tied-head", "The adapter changes the output head, whose weight is the embedding too.", where=name,
                do="serve the adapter beside its model; it cannot be merged",
            )  # fmt: skip
        replace_layer(model, name, build_plain_layer(layer.frozen, layer.compute_merged_OI()))
    for name, frozen in find_linear_layers(model).items():
        if isinstance(frozen, FourBitLinear):
            replace_layer(model, name, build_plain_layer(frozen, compute_dense_OI(frozen, get_adapter_dtype(model))))


@torch.inference_mode()
def compute_log_probabilities(model: PreTrainedModel, probes: Sequence[Sequence[int]]) -> Tensor:
    """Of every token of the vocabulary after the last `MAX_POSITIONS_PER_PROBE` places of each probe: KV, on the
    CPU."""
    parts = []
    for probe in probes:
        hidden_TD = compute_hidden_states(model, torch.tensor([list(probe)], device=model.device))[0]
        parts.append(compute_logits(model, hidden_TD[-MAX_POSITIONS_PER_PROBE:]).log_softmax(-1).float().cpu())
    return torch.cat(parts)


def _compute_from_folder(
    folder: Path, precision: Precision, probes: Sequence[Sequence[int]], adapter: Path | None = None
) -> Tensor:
    return compute_log_probabilities(load_model(folder, precision, adapter).model, probes)


def _measure_adapter_shift(
    model: PreTrainedModel, probes: Sequence[Sequence[int]], tuned_KV: Tensor, adapter: Path
) -> float:
    """How far the adapter moves answers from the base's: what cannot be seen cannot be proven either."""
    with disable_adapter(model):
        moved = float((compute_log_probabilities(model, probes) - tuned_KV).abs().max())
    if moved <= TOLERANCE_NATS:
        raise ModelError(
            "adapter-inert", "The adapter changes nothing that could be merged.", where=str(adapter),
            found=f"log-probabilities of {len(tuned_KV):,} places move by at most {moved:.1e} nats",
            do="train it first, or use the base model",
        )  # fmt: skip
    return moved


def _check_same_answers(tuned_KV: Tensor, merged_KV: Tensor, where: str) -> float:
    """The largest difference. Errors: `GateFailed` when it is more than rounding."""
    difference = float((tuned_KV - merged_KV).abs().max())
    if not difference <= TOLERANCE_NATS:  # NaN is no proof either
        raise GateFailed(
            "merge-differs", "The merged model does not answer as the model with its adapter; it was not kept.",
            where=where, found=f"a log-probability moved by {difference:.1e} nats; rounding is at most "
                f"{TOLERANCE_NATS:.0e}",
            do="serve the adapter beside its model, and report this",
        )  # fmt: skip
    return difference


def _compare_distributions(tuned_KV: Tensor, other_KV: Tensor) -> tuple[float, float]:
    """(mean Kullback-Leibler divergence in nats, share of places with another likeliest token)"""
    divergence_K = (tuned_KV.exp() * (tuned_KV - other_KV)).sum(-1)
    return float(divergence_K.mean()), float((tuned_KV.argmax(-1) != other_KV.argmax(-1)).float().mean())
