"""Adapters against PEFT: files both ways, gradients, and 4-bit weights against transformers with
bitsandbytes.

Float32 on tiny random models. Tolerance 1e-5 where the same sums are made in another order; 1e-4 on
gradients, which have gone through two layers of such sums.
"""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    Phi3Config,
    Qwen3Config,
)

from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.adapters.lora import find_lora_layers, list_lora_parameters
from tunesmith.engine.adapters.peft_format import (
    KEY_PREFIX,
    PEFT_NAMES,
    read_adapter,
    write_adapter,
)
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.testing.adapter_recipes import build_adapter_recipe
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
FAMILIES = {
    "llama": LlamaConfig(**SIZES, attention_bias=True),
    "qwen3": Qwen3Config(**SIZES, head_dim=8),
    "gemma": GemmaConfig(**SIZES, head_dim=8),
    "phi3": Phi3Config(**SIZES),  # one layer makes queries, keys and values
    "gpt2": GPT2Config(
        vocab_size=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        initializer_range=0.2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    ),  # Conv1D keeps weights transposed
}
PEFT_OPTIONS = {"lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True}}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(FAMILIES[request.param], tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(FAMILIES["llama"], tmp_path_factory.mktemp("llama"))


def write(config: AutoConfig, path: Path) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return path


def logits(model: nn.Module) -> Tensor:
    model.eval()
    with torch.inference_mode():
        return model(input_ids=torch.arange(3, 23)[None]).logits


def scramble(weights: list[nn.Parameter]) -> None:
    """Far enough from the beginning for a wrong formula to show; DoRA's lengths stay positive."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in weights:
            if weight.dim() == 1:
                weight.mul_(1 + 0.3 * torch.rand_like(weight))
            else:
                weight.normal_(std=0.1)


def adapted(folder: Path, kind: str, *, dropout: float = 0.0) -> LoadedModel:
    loaded = load_model(folder, "float32", four_bits=kind.startswith("q"))
    build_trainable(loaded, build_adapter_recipe(kind, rank=4, alpha=8, dropout=dropout))
    scramble(list_lora_parameters(loaded.model))
    return loaded


def of_peft(folder: Path, **options: object) -> PeftModel:
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **options
    )
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    scramble([weight for weight in peft.parameters() if weight.requires_grad])
    return peft


@pytest.mark.parametrize("kind", PEFT_OPTIONS)
def test_peft_loads_ours_with_equal_logits(folder: Path, kind: str, tmp_path: Path) -> None:
    loaded = adapted(folder, kind)
    write_adapter(loaded.model, tmp_path, "tiny")
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path)
    assert_close_within_rounding(logits(loaded.model), logits(peft))
    assert not torch.allclose(
        logits(peft), logits(load_model(folder, "float32").model), atol=1e-2
    ), "nothing to prove"
    assert peft.peft_config["default"].use_rslora == (kind == "rslora")


@pytest.mark.parametrize("kind", PEFT_OPTIONS)
def test_we_load_pefts_with_equal_logits(folder: Path, kind: str, tmp_path: Path) -> None:
    peft = of_peft(folder, **PEFT_OPTIONS[kind])
    peft.save_pretrained(tmp_path)
    loaded = load_model(folder, "float32", tmp_path)
    assert_close_within_rounding(logits(loaded.model), logits(peft))
    again = tmp_path / "again"
    write_adapter(loaded.model, again, "tiny")
    assert_close_within_rounding(logits(load_model(folder, "float32", again).model), logits(peft))


TARGETS = {
    "llama": ["q_proj", "v_proj"],
    "qwen3": ["v_proj", "up_proj"],
    "gemma": ["0.self_attn.k_proj", "down_proj"],
    "phi3": ["qkv_proj"],
    "gpt2": ["attn.c_proj"],  # `c_proj` alone would also mean that of the feed-forward layer
}


def layers_of(peft: PeftModel) -> set[str]:
    names = (name for name, _ in peft.named_parameters() if ".lora_A." in name)
    return {name.partition(".lora_A.")[0].removeprefix(KEY_PREFIX) for name in names}


@pytest.mark.parametrize("family", TARGETS)
@pytest.mark.parametrize("kind", PEFT_OPTIONS)
def test_chosen_layers_and_their_gradients_are_those_of_peft(
    family: str, kind: str, tmp_path: Path
) -> None:
    """Also where layers with and without an adapter read one input in a fused module."""
    folder, targets = write(FAMILIES[family], tmp_path / "base"), TARGETS[family]
    loaded = load_model(folder, "float32")
    build_trainable(
        loaded, build_adapter_recipe(kind, rank=4, alpha=8, target_modules=tuple(targets))
    )
    scramble(list_lora_parameters(loaded.model))
    write_adapter(loaded.model, tmp_path / "ours", "tiny")
    written = json.loads((tmp_path / "ours" / "adapter_config.json").read_text())
    assert written["target_modules"] == sorted(targets)
    config = LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM")
    chosen = layers_of(get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config))
    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder), tmp_path / "ours", is_trainable=True
    )
    assert set(find_lora_layers(loaded.model)) == chosen == layers_of(peft)
    assert_close_within_rounding(logits(loaded.model), logits(peft))
    base = logits(load_model(folder, "float32").model)
    assert not torch.allclose(logits(peft), base, atol=1e-2), "nothing to prove"
    for model in (loaded.model, peft):
        model.train()
        tokens_BT = torch.arange(3, 23)[None]
        model(input_ids=tokens_BT, labels=tokens_BT, use_cache=False).loss.backward()
    grads = {name.replace(".default", ""): weight.grad for name, weight in peft.named_parameters()}
    for name, layer in find_lora_layers(loaded.model).items():
        for part, weight in layer.named_parameters(recurse=False):
            key = f"{KEY_PREFIX}{name}.{PEFT_NAMES[part]}"
            assert_close_within_rounding(weight.grad, grads.get(key, grads.get(f"{key}.weight")))


def test_ranks_and_alphas_by_layer_go_both_ways(llama: Path, tmp_path: Path) -> None:
    patterns = {
        "rank_pattern": {"q_proj": 2, "layers.0.mlp.up_proj": 8},
        "alpha_pattern": {"down_proj": 32},
    }
    peft = of_peft(llama, **patterns)
    peft.save_pretrained(tmp_path / "theirs")
    loaded = load_model(llama, "float32", tmp_path / "theirs")
    assert_close_within_rounding(logits(loaded.model), logits(peft))
    ranks = {name: layer.lora_A.shape[0] for name, layer in find_lora_layers(loaded.model).items()}
    assert sorted(set(ranks.values())) == [2, 4, 8] and ranks["model.layers.0.mlp.up_proj"] == 8
    write_adapter(loaded.model, tmp_path / "ours", "tiny")
    back = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), tmp_path / "ours")
    assert_close_within_rounding(logits(back), logits(peft))


@pytest.mark.parametrize("kind", PEFT_OPTIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_pefts(folder: Path, kind: str, dropout: float, tmp_path: Path) -> None:
    """The same random state drops the same inputs, because both ask for them in the same order."""
    loaded = adapted(folder, kind, dropout=dropout)
    write_adapter(loaded.model, tmp_path, "tiny")
    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder), tmp_path, is_trainable=True
    )
    for model in (loaded.model, peft):
        torch.manual_seed(2)
        model.train()
        tokens_BT = torch.arange(3, 23)[None]
        model(input_ids=tokens_BT, labels=tokens_BT, use_cache=False).loss.backward()
    theirs = {name.replace(".default", ""): weight.grad for name, weight in peft.named_parameters()}
    for name, layer in find_lora_layers(loaded.model).items():
        for part, weight in layer.named_parameters(recurse=False):
            key = f"{KEY_PREFIX}{name}.{PEFT_NAMES[part]}"
            grad = theirs.get(key, theirs.get(f"{key}.weight"))
            assert_close_within_rounding(weight.grad, grad)


@pytest.mark.parametrize("kind", ["qlora", "qrslora", "qdora"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_four_bit_weights_and_their_adapter_are_those_of_transformers_and_peft(
    family: str, kind: str, tmp_path: Path
) -> None:
    folder = write(FAMILIES[family], tmp_path / "base")
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    theirs = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=quantized
    )
    base = load_model(folder, "float32", four_bits=True).model
    # On processors with AVX512-BF16 bitsandbytes itself computes 4-bit answers in bfloat16 unless
    # gradients are needed.
    theirs.train()
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(logits_in_training(base), logits_in_training(theirs), **close)
    assert not torch.allclose(
        logits(base), logits(load_model(folder, "float32").model), atol=1e-2
    ), "not quantized"

    loaded = adapted(folder, kind)
    write_adapter(loaded.model, tmp_path / "ours", "tiny")
    peft = PeftModel.from_pretrained(theirs, tmp_path / "ours")
    torch.testing.assert_close(logits_in_training(loaded.model), logits_in_training(peft), **close)


def logits_in_training(model: nn.Module) -> Tensor:
    model.train()
    return model(input_ids=torch.arange(3, 23)[None]).logits.detach()


def test_a_dropped_adapter_is_read_into_layers_that_are_there(llama: Path, tmp_path: Path) -> None:
    first, second = adapted(llama, "dora"), load_model(llama, "float32")
    write_adapter(first.model, tmp_path, "tiny")
    build_trainable(second, build_adapter_recipe("dora", rank=4, alpha=8))
    read_adapter(second.model, tmp_path)
    torch.testing.assert_close(logits(second.model), logits(first.model), rtol=0, atol=0)
