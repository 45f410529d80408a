"""Log-probabilities of trained tokens in chunks, without a matrix of tokens times vocabulary.

    -log p_u = log sum_v exp(z_uv) - z_u,target        z_u = W h_u

For each chunk of positions and each chunk of the vocabulary the logits are computed once, added to
the losses and to their gradient with respect to the hidden states, and discarded while they are
still in the processor's cache. That gradient is the one of each loss alone, so for any function
that a method computes from the losses, the backward pass is one elementwise product: nothing is
computed twice. The ideas are those of Liger Kernel's fused linear cross-entropy (arXiv:2410.10989)
and of the online softmax of Milakov and Gimelshein (arXiv:1805.02867).

    d(-log p_u) / dh_u = sum_v e_uv (W_v - W_t) / sum_v e_uv,  e_uv = exp(z_uv - max z_u),  t the target of u

The target is excluded from the sums: with a target of probability near 1 the result is a small
difference, which would be lost as the difference of two large sums.

Shapes: U positions, D hidden, V vocabulary, P tokens of a vocabulary chunk, T the targets' rows of
W.
"""  # noqa: E501

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from tunesmith.engine.lm_head import compute_logits

MAX_CHUNK_POSITIONS = 1024
MAX_FULL_VOCABULARY_POSITIONS = {"cpu": 256, "cuda": 1024}
"""Positions whose logits over the whole vocabulary are held at once, where the head is trained or
is more than a matrix product; by device type."""
# 1,024 x 4,096 logits are 8 MB in bfloat16, 16 MB in float32.
MAX_CHUNK_VOCABULARY = {"cpu": 4096, "cuda": 32768}


def compute_token_losses(model: PreTrainedModel, hidden_UD: Tensor, targets_U: Tensor) -> Tensor:
    """-log p of each target in nats: U, float32 (float64 for a float64 model), differentiable."""
    head = model.get_output_embeddings()
    if has_plain_head(model) and not head.weight.requires_grad:
        losses: Tensor = _ChunkedLosses.apply(hidden_UD, targets_U, head.weight)
        return losses
    at_once = MAX_FULL_VOCABULARY_POSITIONS[hidden_UD.device.type]
    pieces = zip(hidden_UD.split(at_once), targets_U.split(at_once), strict=True)
    # Checkpointed, so that the logits of one chunk at a time exist in the backward pass too.
    return torch.cat(
        [checkpoint(_compute_losses, model, *piece, use_reentrant=False) for piece in pieces]
    )


def has_plain_head(model: PreTrainedModel) -> bool:
    """Whether logits are `hidden @ W.T` without bias, scale or softcap."""
    head, config = model.get_output_embeddings(), model.config
    changes = [
        getattr(config, name, None)
        for name in ("logit_scale", "logits_scaling", "final_logit_softcapping")
    ]
    has_bias = getattr(head, "bias", None) is not None
    return (
        type(head) is nn.Linear
        and not has_bias
        and all(change in (None, 1.0) for change in changes)
    )


def _compute_losses(model: PreTrainedModel, hidden_UD: Tensor, targets_U: Tensor) -> Tensor:
    """The path for trained or unusual heads; backward recomputes its logits."""
    return cross_entropy(compute_logits(model, hidden_UD), targets_U, reduction="none")


class _ChunkedLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_UD: Tensor, targets_U: Tensor, head_VD: Tensor) -> Tensor:
        exact = torch.promote_types(hidden_UD.dtype, torch.float32)
        losses_U = torch.empty(len(targets_U), dtype=exact, device=hidden_UD.device)
        # The gradient is computed in the forward pass, while the logits exist; backward only scales
        # it.
        gradient_UD = torch.empty_like(hidden_UD) if ctx.needs_input_grad[0] else None
        for begin in range(0, len(targets_U), MAX_CHUNK_POSITIONS):
            piece = slice(begin, begin + MAX_CHUNK_POSITIONS)
            others = _NonTargetSums(
                hidden_UD[piece], targets_U[piece], head_VD, with_gradient=gradient_UD is not None
            )
            losses_U[piece] = others.compute_losses_U()
            if gradient_UD is not None:
                gradient_UD[piece] = others.compute_gradient_UD()
        if gradient_UD is not None:
            ctx.save_for_backward(gradient_UD)
        return losses_U

    @staticmethod
    def backward(ctx: Any, upstream_U: Tensor) -> tuple[Tensor, None, None]:
        (gradient_UD,) = ctx.saved_tensors
        return gradient_UD * upstream_U[:, None].to(gradient_UD.dtype), None, None


class _NonTargetSums:
    """Sums of exp(logit) over all tokens except the targets, one vocabulary chunk after the other.

    Exponents are relative to the largest logit so far; when a larger one appears, the sums are
    rescaled.
    """

    def __init__(
        self, hidden_UD: Tensor, targets_U: Tensor, head_VD: Tensor, *, with_gradient: bool
    ) -> None:
        exact = torch.promote_types(hidden_UD.dtype, torch.float32)
        self.head_TD = head_VD[targets_U]
        self.target_U1 = torch.linalg.vecdot(hidden_UD.to(exact), self.head_TD.to(exact))[:, None]
        # Rounded to the model's dtype and back: the same number is subtracted in both dtypes,
        # without a bias between target and others.
        self.largest_U1 = self.target_U1.to(hidden_UD.dtype).to(exact)
        self.sum_U1 = torch.zeros_like(self.target_U1)
        self.weighted_UD = torch.zeros_like(hidden_UD, dtype=exact) if with_gradient else None
        at_once = MAX_CHUNK_VOCABULARY[hidden_UD.device.type]
        for begin in range(0, len(head_VD), at_once):
            self._accumulate(hidden_UD, head_VD[begin : begin + at_once], targets_U - begin)

    def _accumulate(self, hidden_UD: Tensor, head_PD: Tensor, targets_U: Tensor) -> None:
        e_UP = hidden_UD @ head_PD.mT
        largest_U1 = torch.maximum(self.largest_U1, e_UP.amax(-1, keepdim=True))
        e_UP.sub_(largest_U1.to(e_UP.dtype)).exp_()
        # A target outside of this chunk is clamped to some column, which then keeps its value.
        here_U = targets_U.clamp(0, len(head_PD) - 1)
        at = torch.arange(len(targets_U), device=targets_U.device), here_U
        e_UP[at] = e_UP[at].masked_fill_(here_U == targets_U, 0)  # `scatter_` would copy all of it
        shrunk_U1 = (self.largest_U1 - largest_U1).exp_()
        self.largest_U1 = largest_U1
        self.sum_U1.mul_(shrunk_U1).add_(e_UP.sum(-1, keepdim=True, dtype=self.sum_U1.dtype))
        if self.weighted_UD is None:
            return
        # `addmm_` needs equal dtypes; in half precision the product is added to the float32 sum
        # instead.
        if self.weighted_UD.dtype == e_UP.dtype:
            self.weighted_UD.mul_(shrunk_U1).addmm_(e_UP, head_PD)
        else:
            self.weighted_UD.mul_(shrunk_U1).add_(e_UP @ head_PD)

    def compute_losses_U(self) -> Tensor:
        """-log p = log(1 + sum of the others / the target), U; accurate for tiny ratios too."""
        return softplus(self.sum_U1.log() + self.largest_U1 - self.target_U1, threshold=50)[:, 0]

    def compute_gradient_UD(self) -> Tensor:
        """Gradient of each loss by its hidden state, UD; accurate for nearly certain targets
        too.
        """
        assert self.weighted_UD is not None
        away_UD = self.weighted_UD.addcmul_(
            self.sum_U1, self.head_TD.to(self.sum_U1.dtype), value=-1
        )
        return away_UD.div_(self.sum_U1 + (self.target_U1 - self.largest_U1).exp_())
