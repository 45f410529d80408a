"""The fused parts compute what transformers' modules compute, and take the place of nothing
else."""

import copy
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn
from transformers import PretrainedConfig

from tunesmith.engine.kernels.fusion import fuse
from tunesmith.engine.kernels.gated_mlp import GatedMlp
from tunesmith.engine.kernels.rms_norm import RmsNorm
from tunesmith.engine.kernels.rotary_attention import RotaryAttention, _Rotate, as_attention
from tunesmith.testing.rounding_tolerance import LOSS_TERMS, assert_close_within_rounding

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 2,
}
FAMILIES = {
    "llama": (transformers.LlamaConfig(**SIZES), 5, 2, 2),
    "qwen2": (transformers.Qwen2Config(**SIZES), 5, 2, 2),
    "qwen3": (transformers.Qwen3Config(**SIZES, head_dim=8), 9, 2, 2),
    "mistral": (transformers.MistralConfig(**SIZES), 5, 2, 2),
    "gemma": (transformers.GemmaConfig(**SIZES, head_dim=8), 5, 2, 0),
    "gemma3": (transformers.Gemma3TextConfig(**SIZES, head_dim=8), 13, 2, 0),
    "phi3": (transformers.Phi3Config(**SIZES), 5, 0, 0),
}
"""Name -> (configuration, normalisations, gated layers, attention layers) that can be replaced."""


def model_of(config: PretrainedConfig) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return model


def loss_and_gradients(
    model: transformers.PreTrainedModel,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    tokens = torch.arange(3, 23).view(2, 10)
    loss = model(input_ids=tokens, labels=tokens).loss
    names, weights = zip(*model.named_parameters(), strict=True)
    return loss, dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_every_gradient_stay_the_same(family: str) -> None:
    config, norms, gates, attentions = FAMILIES[family]
    model = model_of(config)
    loss, gradients = loss_and_gradients(model)
    fuse(model)
    assert sum(isinstance(module, RmsNorm) for module in model.modules()) == norms
    assert sum(isinstance(module, GatedMlp) for module in model.modules()) == gates
    assert sum(isinstance(module, RotaryAttention) for module in model.modules()) == attentions
    fused_loss, fused_gradients = loss_and_gradients(model)
    assert_close_within_rounding(fused_loss, loss, LOSS_TERMS)
    assert fused_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert_close_within_rounding(fused_gradients[name], gradient)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh"])
def test_gradients_of_the_gate_are_exact(activation: str) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 6).double(), nn.Linear(4, 6).double(), nn.Linear(6, 4).double()]
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(GatedMlp(*layers, activation=activation), (x,))


@pytest.mark.parametrize("from_one", [False, True])
def test_gradients_of_the_norm_are_exact(from_one: bool) -> None:
    torch.manual_seed(0)
    norm = RmsNorm(nn.Parameter(torch.randn(5, dtype=torch.float64)), 1e-5, from_one=from_one)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, weight: torch.func.functional_call(norm, {"weight": weight}, x), (x, norm.weight)
    )


def test_gradients_of_the_rotation_are_exact() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 2, 6, dtype=torch.float64, requires_grad=True)
    cos, sin = torch.randn(2, 1, 3, 1, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: _Rotate.apply(x, cos, sin), (x,))


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
def test_windows_shorter_than_the_text_and_a_cache_are_kept(family: str) -> None:
    config = copy.deepcopy(FAMILIES[family][0])
    config.sliding_window, config.use_sliding_window = 4, True
    if family != "mistral":
        config.layer_types = ["sliding_attention", "full_attention"]
    model = model_of(config)
    tokens = torch.arange(3, 13)[None]
    before, answer = (
        model(input_ids=tokens).logits,
        model.generate(tokens, max_new_tokens=6, do_sample=False),
    )
    fuse(model)
    assert sum(isinstance(module, RotaryAttention) for module in model.modules()) == 2
    assert_close_within_rounding(model(input_ids=tokens).logits, before)
    assert model.generate(tokens, max_new_tokens=6, do_sample=False).tolist() == answer.tolist()


def test_attention_of_another_family_keeps_its_place() -> None:
    class LlamaAttention(nn.Module):
        """Named like transformers' own, and not of transformers."""

    class Turning(transformers.models.llama.modeling_llama.LlamaAttention):
        def forward(self, hidden_states: torch.Tensor, **of_the_call: object) -> object:
            return super().forward(-hidden_states, **of_the_call)

    assert as_attention(LlamaAttention()) is None
    model = model_of(FAMILIES["llama"][0])
    Turning.__name__, Turning.__module__ = (
        "LlamaAttention",
        "transformers.models.llama.modeling_llama",
    )
    model.model.layers[1].self_attn = Turning(model.config, 1)
    fuse(model)
    assert [type(layer.self_attn).__name__ for layer in model.model.layers] == [
        "RotaryAttention",
        "LlamaAttention",
    ]


def test_a_module_that_does_something_else_under_the_same_name_keeps_its_place() -> None:
    class OddRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(32)), 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    model = model_of(FAMILIES["llama"][0])
    model.model.norm = OddRMSNorm()
    fuse(model)
    assert isinstance(model.model.norm, OddRMSNorm)
    assert isinstance(model.model.layers[0].input_layernorm, RmsNorm)


def test_names_of_weights_stay(tmp_path: Path) -> None:
    model = model_of(FAMILIES["llama"][0])
    before = set(model.state_dict())
    fuse(model)
    assert set(model.state_dict()) == before
