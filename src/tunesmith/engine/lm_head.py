"""Hidden states and logits as separate steps: only the needed positions reach the LM head.

    logits = softcap(scale * hidden W^T)  for nearly every model the scale is 1 and there is no softcap

`check_head` verifies on load that this computation gives the model's own logits; a model with
another head is rejected instead of being trained wrongly.

Shapes: B rows, T tokens, N positions, D hidden, V vocabulary.
"""  # noqa: E501

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel

from tunesmith.errors import ModelError

PROBE_TOKENS, PROBE_PREFIX_TOKENS = 8, 5
"""Tokens of the text that a model is probed with when it is loaded, and of that text's prefix."""


def compute_hidden_states(
    model: PreTrainedModel,
    tokens_BT: Tensor,
    *,
    cache: Cache | None = None,
    mask_BT: Tensor | None = None,
    positions_BT: Tensor | None = None,
) -> Tensor:
    """The decoder's last hidden states, BTD; with a cache, of tokens that continue and extend
    it.
    """
    return model.base_model(
        input_ids=tokens_BT,
        attention_mask=mask_BT,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state


def compute_logits(model: PreTrainedModel, hidden_ND: Tensor) -> Tensor:
    """Logits of the given positions, NV, in float32 (float64 for a float64 model)."""
    head: nn.Module = model.get_output_embeddings()
    logits_NV = head(hidden_ND)
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    config = model.config
    # Two conventions: Cohere multiplies by `logit_scale`, Granite divides by `logits_scaling`.
    scale = (getattr(config, "logit_scale", None) or 1.0) / (
        getattr(config, "logits_scaling", None) or 1.0
    )
    softcap = getattr(config, "final_logit_softcapping", None)
    logits_NV = logits_NV if scale == 1.0 else logits_NV * scale
    return torch.tanh(logits_NV / softcap) * softcap if softcap else logits_NV


def check_causal(model: PreTrainedModel) -> None:
    """Check that reading a prefix, or token by token, gives the hidden states of the whole text.

    A token must not see later ones: an encoder (BERT without `is_decoder`) would be trained on the
    tokens that it is to predict. And the model that generates token by token must be the one that
    was trained: some architectures keep a state of their own instead of the cache that generation
    uses here.

    Errors: `ModelError`; also whatever the architecture raises when plain hidden states are
    requested.
    """
    whole_BT = _build_probe(model, PROBE_TOKENS)
    with torch.inference_mode():
        whole_TD, begin_TD = (
            compute_hidden_states(model, tokens_BT)[0].float()
            for tokens_BT in (whole_BT, whole_BT[:, :PROBE_PREFIX_TOKENS])
        )
        if not _is_near(begin_TD, whole_TD[:PROBE_PREFIX_TOKENS]):
            raise ModelError(
                "not-causal",
                "model is not causal, so it cannot be trained for next-token prediction",
                at=type(model).__name__,
                got=f"model_type {model.config.model_type}",
                hint="choose a decoder-only text model",
            )
        cache = DynamicCache(config=model.config)
        for tokens_BT in whole_BT.split(
            [PROBE_PREFIX_TOKENS, *[1] * (PROBE_TOKENS - PROBE_PREFIX_TOKENS)], dim=1
        ):
            last_TD = compute_hidden_states(model, tokens_BT, cache=cache)[0].float()
    if not _is_near(last_TD, whole_TD[-1:]):
        raise ModelError(
            "no-answers",
            "generation is not supported for this architecture",
            at=type(model).__name__,
            got=(
                f"model_type {model.config.model_type}; token-by-token outputs differ from "
                "those of a full forward pass"
            ),
            hint="choose a model with plain attention (docs/guide/models.md lists families)",
        )


def _build_probe(model: PreTrainedModel, tokens: int) -> Tensor:
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    # Modulo, because test models may have fewer embeddings than probe tokens.
    return torch.arange(1, tokens + 1, device=model.device)[None] % embedding.num_embeddings


def _is_near(one_TD: Tensor, other_TD: Tensor) -> bool:
    """Equal within 10 % of the norm: in bfloat16 thirty layers amplify rounding to a few
    percent.
    """
    return bool((one_TD - other_TD).norm() <= 0.1 * other_TD.norm())


def check_head(model: PreTrainedModel) -> None:
    """Compare this module's logits with the model's own on a few tokens.

    Errors: `ModelError` when they differ: the architecture modifies its logits in an unknown way.
    """
    probe_BT = _build_probe(model, PROBE_PREFIX_TOKENS)
    with torch.inference_mode():
        own_TV = compute_logits(model, compute_hidden_states(model, probe_BT)[0])
        models_TV = model(input_ids=probe_BT, use_cache=False).logits[0].float()
    if not torch.allclose(own_TV, models_TV, rtol=1e-2, atol=1e-2 * float(models_TV.abs().max())):
        raise ModelError(
            "unknown-head",
            "unsupported output head for this architecture",
            at=type(model).__name__,
            hint="use another model",
        )
