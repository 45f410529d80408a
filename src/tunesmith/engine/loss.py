"""Cross-entropy over trained positions only, in pieces.

    sum   = sum_n w_n * (logsumexp(z_n) - z_n[target_n]),    z_n = logits of position n
    count = sum_n w_n

The caller divides the sums of all micro-batches by the count of the whole optimizer step, so how a batch is cut never
changes the loss (the mistake of trl#2175, transformers#34191).

Each piece of positions makes its logits, its loss and its gradient with respect to the hidden states, and forgets the
logits: no N x V matrix is ever held, and nothing is computed twice. That is the idea of Liger Kernel's fused linear
cross-entropy (arXiv:2410.10989), here by autograd inside the forward pass. The head is frozen and gets no gradient.

Shapes: N trained positions, D hidden, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

POSITIONS_AT_ONCE = 128  # 128 x 49,152 logits in float32 are 25 MB; larger pieces are not faster on a CPU

LogitsOf = Callable[[Tensor], Tensor]


def token_loss(hidden_ND: Tensor, targets_N: Tensor, weights_N: Tensor, logits_of: LogitsOf) -> tuple[Tensor, float]:
    """(sum of weighted token losses in nats, sum of weights); the sum carries the gradient to `hidden_ND`."""
    total: Tensor = _LossInPieces.apply(hidden_ND, targets_N, weights_N, logits_of)
    return total, float(weights_N.sum())


class _LossInPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, targets_N: Tensor, weights_N: Tensor, logits_of: LogitsOf) -> Tensor:
        wants_gradient = ctx.needs_input_grad[0]
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        gradients = []
        for begin in range(0, len(targets_N), POSITIONS_AT_ONCE):
            piece = slice(begin, begin + POSITIONS_AT_ONCE)
            with torch.set_grad_enabled(wants_gradient):
                hidden = hidden_ND[piece].detach().requires_grad_(wants_gradient)
                losses = cross_entropy(logits_of(hidden), targets_N[piece], reduction="none")
                loss = (losses * weights_N[piece]).sum()
            if wants_gradient:
                gradients.append(torch.autograd.grad(loss, hidden)[0])
            total += loss.detach()
        if wants_gradient:
            ctx.save_for_backward(torch.cat(gradients))
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient_ND,) = ctx.saved_tensors
        return gradient_ND * upstream, None, None, None
