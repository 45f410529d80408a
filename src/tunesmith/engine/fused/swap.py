"""Put the fused parts into a loaded model, each only where it gives what the module in its place gives.

The proof is a random input through both, once for each kind of module of a model: an architecture that does something
else under the same name keeps its own code.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from tunesmith.engine.fused.gate import as_gated_mlp
from tunesmith.engine.fused.norm import RmsNorm, as_rms_norm


def fuse(model: PreTrainedModel) -> None:
    """Replace normalisations and gated feed-forward layers; weights keep their names."""
    text = model.config.get_text_config()
    hidden_act = getattr(text, "hidden_activation", None) or getattr(text, "hidden_act", None)
    proved: dict[tuple[type[nn.Module], int], bool] = {}
    for owner in list(model.modules()):
        for name, child in list(owner.named_children()):
            fused = as_rms_norm(child) or as_gated_mlp(child, hidden_act)
            if fused is None:
                continue
            width = len(fused.weight) if isinstance(fused, RmsNorm) else model.config.get_text_config().hidden_size
            if (type(child), width) not in proved:
                proved[type(child), width] = _is_the_same(child, fused, width, model)
            if proved[type(child), width]:
                setattr(owner, name, fused.train(child.training))


@torch.inference_mode()
def _is_the_same(module: nn.Module, fused: nn.Module, width: int, model: PreTrainedModel) -> bool:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(3, width, generator=random).to(model.device, model.dtype)
    theirs, ours = module(x).float(), fused(x).float()
    tolerance = 2e-2 if model.dtype.itemsize == 2 else 1e-5
    return bool((ours - theirs).norm() <= tolerance * theirs.norm())
