"""Hidden states and logits apart, so that only the positions that matter reach the output head.

    logits = softcap(scale * hidden W^T)      scale and softcap are 1 and none for nearly every model

`check_head` proves on load that this road gives the model's own logits; a model with another head is refused, not
trained wrongly.

Shapes: B rows, T tokens, N positions, D hidden, V vocabulary.
"""

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from tunesmith.errors import ModelError


def hidden_states(
    model: PreTrainedModel,
    tokens_BT: Tensor,
    *,
    cache: Cache | None = None,
    mask_BT: Tensor | None = None,
    positions_BT: Tensor | None = None,
) -> Tensor:
    """The decoder's last hidden states, BTD. With a cache, the tokens continue what the cache holds and join it."""
    return model.base_model(
        input_ids=tokens_BT,
        attention_mask=mask_BT,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state


def keeps_plain_cache(model: PreTrainedModel) -> bool:
    """Whether every layer caches plain keys and values (no sliding window, no recurrent state).

    Only then can a beginning be shared, and rows be padded, joined and dropped, by handling the cache's tensors.
    """
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def logits_of(model: PreTrainedModel, hidden_ND: Tensor) -> Tensor:
    """Logits of chosen positions, NV, in float32 (float64 for a float64 model)."""
    head: nn.Module = model.get_output_embeddings()
    logits_NV = head(hidden_ND)
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    config = model.config
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    softcap = getattr(config, "final_logit_softcapping", None)
    logits_NV = logits_NV if scale == 1.0 else logits_NV * scale
    return torch.tanh(logits_NV / softcap) * softcap if softcap else logits_NV


def check_head(model: PreTrainedModel) -> None:
    """Compare this module's logits with the model's own on a few tokens.

    Errors: `ModelError` when they differ: this architecture does something to its logits that is not known here.
    """
    probe_BT = torch.arange(1, 6, device=model.device)[None]
    with torch.inference_mode():
        own_TV = logits_of(model, hidden_states(model, probe_BT)[0])
        models_TV = model(input_ids=probe_BT, use_cache=False).logits[0].float()
    if not torch.allclose(own_TV, models_TV, rtol=1e-2, atol=1e-2 * float(models_TV.abs().max())):
        raise ModelError(
            "unknown-head",
            "This architecture changes its logits in a way that is not supported.",
            where=type(model).__name__,
            do="use another model",
        )
