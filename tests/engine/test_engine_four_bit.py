"""Weights held in 4 bits: what they stand for, what they take, and what is refused."""

import sys
from pathlib import Path

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.adapters.four_bit import FourBitLinear
from tunesmith.engine.adapters.linear_layers import find_linear_layers
from tunesmith.engine.adapters.peft_format import has_four_bit_base, write_adapter
from tunesmith.engine.model_loading import load_model
from tunesmith.errors import MissingExtraError, ModelError
from tunesmith.testing.adapter_recipes import build_adapter_recipe

CPU = torch.device("cpu")


@pytest.fixture
def layer() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(192, 128).requires_grad_(False)


def test_weights_of_a_normal_distribution_lose_a_tenth_of_their_length(
    layer: torch.nn.Linear,
) -> None:
    torch.nn.init.normal_(layer.weight, std=0.02)
    packed = FourBitLinear(layer, CPU)
    error = (packed.compute_dense_OI(torch.float32) - layer.weight).norm() / layer.weight.norm()
    assert 0.05 < float(error) < 0.11
    held = packed.codes.nbytes + packed.state.absmax.nbytes + packed.state.state2.absmax.nbytes
    assert held * 8 / layer.weight.numel() == pytest.approx(4.13, abs=0.01)  # bits a weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_and_gradients_are_those_of_the_dense_weight(
    layer: torch.nn.Linear, dtype: torch.dtype
) -> None:
    packed = FourBitLinear(layer.to(dtype), CPU)
    x = torch.randn(2, 5, 192, dtype=dtype, requires_grad=True)
    plain_x = x.detach().clone().requires_grad_()
    expected = torch.nn.functional.linear(plain_x, packed.compute_dense_OI(dtype)) + layer.bias
    torch.testing.assert_close(packed(x), expected)
    upstream = torch.randn_like(expected)
    packed(x).backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(x.grad, plain_x.grad)


def test_a_transposed_layer_is_quantized_like_a_plain_one(layer: torch.nn.Linear) -> None:
    transposed = Conv1D(128, 192)
    transposed.weight = torch.nn.Parameter(layer.weight.T.contiguous(), requires_grad=False)
    ours, plain = FourBitLinear(transposed, CPU), FourBitLinear(layer, CPU)
    assert (
        torch.equal(ours.compute_dense_OI(torch.float32), plain.compute_dense_OI(torch.float32))
        and ours.was_transposed
    )


def test_embeddings_norms_and_head_stay_whole(tiny_folder: Path) -> None:
    whole, packed = (
        load_model(tiny_folder, "float32"),
        load_model(tiny_folder, "float32", four_bits=True),
    )
    kept = {name for name, _ in packed.model.named_parameters()}
    assert kept == {
        name for name, _ in whole.model.named_parameters() if "embed" in name or "norm" in name
    }
    assert all(
        isinstance(layer, FourBitLinear) for layer in find_linear_layers(packed.model).values()
    )
    assert packed.parameters == whole.parameters


def test_without_bitsandbytes_the_error_names_the_extra(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
    with pytest.raises(MissingExtraError) as caught:
        load_model(tiny_folder, "float32", four_bits=True)
    assert caught.value.hint == 'pip install "tunesmith[qlora]"'


@pytest.mark.parametrize(("kind", "four_bits"), [("lora", True), ("full", True), ("qlora", False)])
def test_only_qlora_trains_on_four_bits(tiny_folder: Path, kind: str, four_bits: bool) -> None:
    loaded = load_model(tiny_folder, "float32", four_bits=four_bits)
    with pytest.raises(ModelError) as caught:
        build_trainable(loaded, build_adapter_recipe(kind))
    assert caught.value.code == "model/four-bits"


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_pain_7_an_adapter_goes_back_on_the_weights_it_was_trained_on(
    tiny_folder: Path, tmp_path: Path, kind: str
) -> None:
    """Put on the whole weights, a QLoRA adapter answers otherwise, and nobody is told."""
    loaded = load_model(tiny_folder, "float32", four_bits=kind == "qlora")
    build_trainable(loaded, build_adapter_recipe(kind, rank=4))
    write_adapter(loaded.model, tmp_path, "tiny")
    assert has_four_bit_base(tmp_path) == (kind == "qlora")
    again = load_model(tiny_folder, "float32", tmp_path)
    with torch.inference_mode():
        ours, theirs = (
            model(torch.arange(3, 13)[None]).logits for model in (again.model, loaded.model)
        )
    assert torch.equal(ours, theirs)
