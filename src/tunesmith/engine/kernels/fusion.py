"""Install fused modules in a loaded model, each only where its output equals the original's.

The check runs a random input through both, once for each kind of module of a model: an architecture
that computes something else under the same name keeps its own code.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunesmith.engine.kernels.gated_mlp import as_gated_mlp
from tunesmith.engine.kernels.rms_norm import RmsNorm, as_rms_norm
from tunesmith.engine.kernels.rotary_attention import RotaryAttention, as_attention

PROBE_TOKENS = 3


def fuse(model: PreTrainedModel) -> None:
    """Replace normalization, gated feed-forward and attention modules; weights keep their names.

    Attention comes last, because it may contain normalization modules.
    """
    text = model.config.get_text_config()
    hidden_act = getattr(text, "hidden_activation", None) or getattr(text, "hidden_act", None)
    for as_fused in (as_rms_norm, partial(as_gated_mlp, hidden_act=hidden_act), as_attention):
        proved: dict[tuple[type[nn.Module], int], bool] = {}
        for owner, name, child, fused in _list_replacements(model, as_fused):
            width = len(fused.weight) if isinstance(fused, RmsNorm) else text.hidden_size
            if (type(child), width) not in proved:
                proved[type(child), width] = _is_equivalent(child, fused, width, model)
            if proved[type(child), width]:
                setattr(owner, name, fused.train(child.training))


def _list_replacements(
    model: nn.Module, as_fused: Callable[[nn.Module], nn.Module | None]
) -> Iterator[tuple[nn.Module, str, nn.Module, nn.Module]]:
    """(owner, name, module, candidate) for every module that `as_fused` can replace."""
    for owner in list(model.modules()):
        for name, child in list(owner.named_children()):
            fused = as_fused(child)
            if fused is not None:
                yield owner, name, child, fused


@torch.inference_mode()
def _is_equivalent(module: nn.Module, fused: nn.Module, width: int, model: PreTrainedModel) -> bool:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, PROBE_TOKENS, width, generator=random).to(model.device, model.dtype)
    more = {}
    if isinstance(fused, RotaryAttention):
        rotary_emb = getattr(model.base_model, "rotary_emb", None)
        if rotary_emb is None:  # a wrapper around a model
            return False
        more = {
            "position_embeddings": rotary_emb(x, torch.arange(PROBE_TOKENS, device=x.device)[None]),
            "attention_mask": None,
        }
    theirs, ours = (_get_first_tensor(part(x, **more)).float() for part in (module, fused))
    tolerance = 2e-2 if model.dtype.itemsize == 2 else 1e-5
    return bool((ours - theirs).norm() <= tolerance * theirs.norm())


def _get_first_tensor(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]
