"""Log-probabilities of trained tokens only, in pieces: no matrix of tokens times vocabulary is ever held.

    -log p_u = log sum_v exp(z_uv) - z_u,target        z_u = W h_u

Each piece of positions makes its logits, its losses and their gradient with respect to the hidden states, and forgets
the logits. That gradient belongs to each loss on its own, so whatever a method does with the losses, the backward
pass is one product: nothing is computed twice. The idea is Liger Kernel's fused linear cross-entropy
(arXiv:2410.10989).

    d(-log p_u) / dh_u = (sum_v e_uv W_v) / (sum_v e_uv),    e_uv = exp(z_uv - max z_u), less sum_v e_uv at the target

Shapes: U positions, S of them summed at once, D hidden, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from tunesmith.engine.head import logits_of

POSITIONS_AT_ONCE = 256  # 256 x 49,152 logits in bfloat16 are 25 MB; larger pieces are not faster on a CPU
SUMMED_AT_ONCE = 64  # summing in float32 copies what it sums, and beyond 32 MB every copy is new memory


def token_losses(model: PreTrainedModel, hidden_UD: Tensor, targets_U: Tensor) -> Tensor:
    """-log p of each target in nats, U, float32 (float64 for a float64 model), with the gradient to `hidden_UD`."""
    head = model.get_output_embeddings()
    if is_plain(model) and not head.weight.requires_grad:
        losses: Tensor = _LossesInPieces.apply(hidden_UD, targets_U, head.weight)
        return losses
    pieces = zip(hidden_UD.split(POSITIONS_AT_ONCE), targets_U.split(POSITIONS_AT_ONCE), strict=True)
    return torch.cat([checkpoint(_losses, model, *piece, use_reentrant=False) for piece in pieces])


def is_plain(model: PreTrainedModel) -> bool:
    """Whether logits are hidden W^T and nothing else."""
    head, config = model.get_output_embeddings(), model.config
    changes = [getattr(config, name, None) for name in ("logit_scale", "logits_scaling", "final_logit_softcapping")]
    has_bias = getattr(head, "bias", None) is not None
    return type(head) is nn.Linear and not has_bias and all(change in (None, 1.0) for change in changes)


def _losses(model: PreTrainedModel, hidden_UD: Tensor, targets_U: Tensor) -> Tensor:
    """The plain way, for heads that are trained or do more than multiply; its logits are made again going backward."""
    return cross_entropy(logits_of(model, hidden_UD), targets_U, reduction="none")


class _LossesInPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_UD: Tensor, targets_U: Tensor, head_VD: Tensor) -> Tensor:
        exact = torch.promote_types(hidden_UD.dtype, torch.float32)
        losses_U = torch.empty(len(targets_U), dtype=exact, device=hidden_UD.device)
        gradient_UD = torch.empty_like(hidden_UD) if ctx.needs_input_grad[0] else None
        for begin in range(0, len(targets_U), POSITIONS_AT_ONCE):
            piece = slice(begin, begin + POSITIONS_AT_ONCE)
            e_UV = hidden_UD[piece] @ head_VD.mT
            at_target = (torch.arange(len(e_UV), device=e_UV.device), targets_U[piece])
            largest_U1 = e_UV.amax(-1, keepdim=True)
            target_U = e_UV[at_target].to(exact) - largest_U1[:, 0]
            parts = e_UV.sub_(largest_U1).exp_().split(SUMMED_AT_ONCE)
            sum_U = torch.cat([e_SV.sum(-1, dtype=exact) for e_SV in parts])
            losses_U[piece] = sum_U.log() - target_U
            if gradient_UD is not None:
                # Less the sum here, where e - sum is exact; subtracting W_target from the product would cancel digits.
                e_UV[at_target] = (e_UV[at_target].to(exact) - sum_U).to(e_UV.dtype)
                gradient_UD[piece] = (e_UV @ head_VD) / sum_U[:, None]
        if gradient_UD is not None:
            ctx.save_for_backward(gradient_UD)
        return losses_U

    @staticmethod
    def backward(ctx: Any, upstream_U: Tensor) -> tuple[Tensor, None, None]:
        (gradient_UD,) = ctx.saved_tensors
        return gradient_UD * upstream_U[:, None].to(gradient_UD.dtype), None, None
