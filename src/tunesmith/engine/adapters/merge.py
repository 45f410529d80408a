"""Merge an adapter into its model's weights, with a proof that the answers stay the same.

    W' = W + s B A  DoRA: each row then rescaled to its trained magnitude. Computed and written in float32.

The proof compares the log-probabilities of all tokens of the vocabulary at the last positions of
some prompts: by the model with its adapter, by the merged model in memory, and by the merged model
read back from disk. They may differ by rounding only, otherwise no output remains. The folder is
written under a temporary name and renamed.

Why float32: an update is small compared to its weight, and bfloat16 keeps one part in 256 of a
weight. How far the answers move when the result is computed in bfloat16 is measured and reported
(docs/decisions/030-write-merged-models-in-float32-with-proof.md).

Shapes: K positions where probes are compared, V vocabulary, O outputs, I inputs.
"""  # noqa: E501

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
"""Largest accepted difference of a log-probability, in nats. The order of float32 sums alone moved
one by up to 7e-5 on SmolLM2-135M."""
MAX_POSITIONS_PER_PROBE = 32
PROOF_FILE = "merge_proof.json"


class MergeProof(Record):
    """How far the log-probabilities of a merged model differ from those of its parts, in nats.

    `adapter_shift`: the largest change that the adapter makes to one of the base's. `merge_error`
    and `reload_error`: the largest changes by merging, and by writing and reading after that.
    `positions`: positions compared. The `bf16_` values are measured when computing in bfloat16:
    mean Kullback-Leibler divergence and fraction of positions with another most likely token, for
    the merged model and (`_beside`) for the unmerged model with its adapter. None where there was
    no adapter (full fine-tuning). `from_four_bits`: the adapter was trained on weights held in 4
    bits, and is merged into exactly the dequantized values.
    """

    probes: int
    positions: int
    tolerance: float
    adapter_shift: float | None
    merge_error: float
    reload_error: float
    bf16_divergence: float
    bf16_changed_token_fraction: float
    bf16_divergence_unmerged: float | None
    bf16_changed_token_fraction_unmerged: float | None
    from_four_bits: bool


def export_merged(
    folder: Path, adapter: Path | None, probes: Sequence[Sequence[int]], to: Path
) -> MergeProof:
    """Write the model of a folder with its adapter merged, as a float32 model folder `to`.

    Without an adapter the folder's own weights are written. `probes`: prompts as token ids. Errors:
    `ModelError` when `to` exists already, or the adapter changes nothing or cannot be merged;
    `GateFailed` when the answers would differ. In both cases no output remains.
    """
    if os.path.lexists(to):  # also a dangling link
        raise ModelError(
            "target-exists",
            "output path already exists",
            at=str(to),
            hint="choose another folder",
        )
    model = load_model(folder, "float32", adapter).model
    from_four_bits = has_four_bit_layers(model)
    tuned_KV = compute_log_probabilities(model, probes)
    moved = _measure_adapter_shift(model, probes, tuned_KV, adapter) if adapter else None
    merge(model)
    merged = _check_same_answers(
        tuned_KV, compute_log_probabilities(model, probes), "merged in memory"
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    with make_temporary_folder(to) as place:
        write_model(model, place, adapter)
        del model  # only one model in memory at a time
        read_back = _check_same_answers(
            tuned_KV, _compute_from_folder(place, "float32", probes), "read back from disk"
        )
        in_bf16 = _compare_distributions(tuned_KV, _compute_from_folder(place, "bfloat16", probes))
        beside: tuple[float | None, float | None] = (None, None)
        if adapter is not None:
            beside = _compare_distributions(
                tuned_KV, _compute_from_folder(folder, "bfloat16", probes, adapter)
            )
        proof = MergeProof(
            probes=len(probes),
            positions=len(tuned_KV),
            tolerance=TOLERANCE_NATS,
            adapter_shift=moved,
            merge_error=merged,
            reload_error=read_back,
            bf16_divergence=in_bf16[0],
            bf16_changed_token_fraction=in_bf16[1],
            bf16_divergence_unmerged=beside[0],
            bf16_changed_token_fraction_unmerged=beside[1],
            from_four_bits=from_four_bits,
        )
        proof.write(place / PROOF_FILE)
        # Durable before it becomes visible under its final name.
        sync_folder(place)
        place.rename(to)
    sync_folder(to.parent)
    return proof


def merge(model: PreTrainedModel) -> None:
    """Replace each adapted layer by one plain linear layer.

    Errors: `ModelError` where the weight is shared.
    """
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    for name, layer in find_lora_layers(model).items():
        if layer is head and getattr(layer.frozen, "weight", None) is embedding.weight:
            raise ModelError(
                "tied-head",
                "adapter changes the output head, whose weight is tied to the embedding",
                at=name,
                hint="serve the adapter with its base model; it cannot be merged",
            )
        replace_layer(model, name, build_plain_layer(layer.frozen, layer.compute_merged_OI()))
    # 4-bit layers without an adapter are dequantized as well: the result is an ordinary float
    # model.
    for name, frozen in find_linear_layers(model).items():
        if isinstance(frozen, FourBitLinear):
            replace_layer(
                model,
                name,
                build_plain_layer(frozen, compute_dense_OI(frozen, get_adapter_dtype(model))),
            )


@torch.inference_mode()
def compute_log_probabilities(model: PreTrainedModel, probes: Sequence[Sequence[int]]) -> Tensor:
    """Log-probabilities of the vocabulary at the last `MAX_POSITIONS_PER_PROBE` positions of each
    probe: KV, on the CPU.
    """
    parts = []
    for probe in probes:
        hidden_TD = compute_hidden_states(model, torch.tensor([list(probe)], device=model.device))[
            0
        ]
        parts.append(
            compute_logits(model, hidden_TD[-MAX_POSITIONS_PER_PROBE:])
            .log_softmax(-1)
            .float()
            .cpu()
        )
    return torch.cat(parts)


def _compute_from_folder(
    folder: Path, precision: Precision, probes: Sequence[Sequence[int]], adapter: Path | None = None
) -> Tensor:
    return compute_log_probabilities(load_model(folder, precision, adapter).model, probes)


def _measure_adapter_shift(
    model: PreTrainedModel, probes: Sequence[Sequence[int]], tuned_KV: Tensor, adapter: Path
) -> float:
    """The adapter's largest change of a log-probability, in nats. Errors: `ModelError` below the
    tolerance, because an effect that cannot be measured cannot be proven to survive the merge."""
    with disable_adapter(model):
        moved = float((compute_log_probabilities(model, probes) - tuned_KV).abs().max())
    if moved <= TOLERANCE_NATS:
        raise ModelError(
            "adapter-inert",
            "adapter has no effect that could be merged",
            at=str(adapter),
            got=f"log-probabilities at {len(tuned_KV):,} positions differ by at most "
            f"{moved:.1e} nats",
            hint="train it first; or use the base model",
        )
    return moved


def _check_same_answers(tuned_KV: Tensor, merged_KV: Tensor, where: str) -> float:
    """The largest difference in nats. Errors: `GateFailed` when it is more than rounding."""
    difference = float((tuned_KV - merged_KV).abs().max())
    if not difference <= TOLERANCE_NATS:  # also true for NaN
        raise GateFailed(
            "merge-differs",
            "merged model differs from the model with its adapter; it was not saved",
            at=where,
            got=(
                f"maximum log-probability difference {difference:.1e} nats; tolerance "
                f"{TOLERANCE_NATS:.0e}"
            ),
            hint="serve the adapter with its base model, and report this",
        )
    return difference


def _compare_distributions(tuned_KV: Tensor, other_KV: Tensor) -> tuple[float, float]:
    """(mean KL divergence in nats, fraction of positions with another most likely token)."""
    divergence_K = (tuned_KV.exp() * (tuned_KV - other_KV)).sum(-1)
    return float(divergence_K.mean()), float(
        (tuned_KV.argmax(-1) != other_KV.argmax(-1)).float().mean()
    )
