"""Merging: the same answers or nothing at all."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from tunesmith.engine.adapters import merge as merge_module
from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.adapters.full_model_io import write_model
from tunesmith.engine.adapters.lora import list_lora_parameters
from tunesmith.engine.adapters.merge import PROOF_FILE, TOLERANCE_NATS, MergeProof, export_merged
from tunesmith.engine.adapters.peft_format import WEIGHTS_FILE, write_adapter
from tunesmith.engine.model_loading import load_model
from tunesmith.errors import GateFailed, ModelError
from tunesmith.models.folder_inspection import inspect_model_folder
from tunesmith.testing.adapter_recipes import build_adapter_recipe
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding
from tunesmith.testing.tiny_model import write_tiny_tokenizer

PROBES = [list(range(3, 20)), [5, 9, 30, 31, 2]]
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
CONFIGS = {
    "llama": LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.2,
        **SPECIAL,
    ),
    "gpt2": GPT2Config(
        vocab_size=400,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        initializer_range=0.2,
        **SPECIAL,
    ),
}


@pytest.fixture(params=CONFIGS)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_base(request.param, tmp_path / "base")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write_base("llama", tmp_path / "base")


def write_base(family: str, folder: Path) -> Path:
    """In bfloat16, as most published models are, with a tokenizer, and settings that transformers
    would not save."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CONFIGS[family]).to(torch.bfloat16).save_pretrained(folder)
    write_tiny_tokenizer(folder, eos_token="<|im_end|>")
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": False, "temperature": 0.6})
    )
    return folder


def adapter_on(base: Path, kind: str, folder: Path, *, scrambled: bool = True) -> Path:
    loaded = load_model(base, "float32", four_bits=kind == "qlora")
    build_trainable(loaded, build_adapter_recipe(kind, rank=4, alpha=8))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in list_lora_parameters(loaded.model) if scrambled else ():
            if weight.dim() == 1:
                weight.mul_(1.2)
            else:
                weight.normal_(std=0.1)
    write_adapter(loaded.model, folder, "tiny")
    return folder


def logits(folder: Path, adapter: Path | None = None) -> Tensor:
    model = load_model(folder, "float32", adapter).model
    with torch.inference_mode():
        return model(torch.tensor([PROBES[0]])).logits


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "qlora"])
def test_pain_7_the_merged_model_is_the_adapter(base: Path, kind: str, tmp_path: Path) -> None:
    """peft#2368 and others: merged and unmerged answered differently, and nobody looked."""
    adapter, to = adapter_on(base, kind, tmp_path / "adapter"), tmp_path / "out" / "merged"
    proof = export_merged(base, adapter, PROBES, to)
    assert (
        max(proof.merge_error, proof.reload_error) < TOLERANCE_NATS / 5
        and proof.adapter_shift > 0.1
    )
    assert proof.positions == len(PROBES[0]) + len(PROBES[1]) and proof.from_four_bits == (
        kind == "qlora"
    )
    assert_close_within_rounding(logits(to), logits(base, adapter))
    plain = AutoModelForCausalLM.from_pretrained(to)
    with torch.inference_mode():
        assert_close_within_rounding(plain(torch.tensor([PROBES[0]])).logits, logits(to))
    assert MergeProof.read(to / PROOF_FILE) == proof
    assert [path.name for path in to.parent.iterdir()] == ["merged"]


def test_pain_21_vocabulary_tokenizer_and_template_are_untouched(
    base: Path, tmp_path: Path
) -> None:
    """peft#1300, unsloth#237: resized embeddings broke merging and serving."""
    to = tmp_path / "merged"
    export_merged(base, adapter_on(base, "lora", tmp_path / "adapter"), PROBES, to)
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
    ):
        assert (to / name).read_bytes() == (base / name).read_bytes()
    before, after = load_file(base / "model.safetensors"), load_file(to / "model.safetensors")
    assert {name: value.shape for name, value in before.items()} == {
        name: value.shape for name, value in after.items()
    }
    assert all(value.dtype == torch.float32 for value in after.values())
    assert json.loads((to / "config.json").read_text())["dtype"] == "float32"
    embedding = next(name for name in before if "embed_tokens" in name or "wte" in name)
    assert torch.equal(before[embedding].float(), after[embedding])
    assert sorted(path.suffix for path in to.iterdir()) == sorted(
        [".json"] * 5 + [".jinja", ".safetensors"]
    )
    inspect_model_folder(to)


def test_a_model_that_answers_otherwise_is_not_kept(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = merge_module.build_plain_layer
    monkeypatch.setattr(
        merge_module, "build_plain_layer", lambda layer, weight: original(layer, weight * 1.01)
    )
    with pytest.raises(GateFailed) as caught:
        export_merged(
            llama,
            adapter_on(llama, "lora", tmp_path / "adapter"),
            PROBES,
            tmp_path / "out" / "merged",
        )
    assert caught.value.code == "gate/merge-differs" and caught.value.at == "merged in memory"
    assert not (tmp_path / "out").exists()


def test_what_the_disk_gives_back_is_what_counts(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaging(model: object, folder: Path, adapter: Path | None) -> None:
        write_model(model, folder, adapter)
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[-1] = 0x42  # the exponent of the last number
        (folder / "model.safetensors").write_bytes(weights)

    monkeypatch.setattr(merge_module, "write_model", damaging)
    with pytest.raises(GateFailed) as caught:
        export_merged(
            llama,
            adapter_on(llama, "lora", tmp_path / "adapter"),
            PROBES,
            tmp_path / "out" / "merged",
        )
    assert caught.value.at == "read back from disk"
    assert list((tmp_path / "out").iterdir()) == []


def test_pain_20_an_adapter_that_changes_nothing_is_not_merged(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        export_merged(
            llama,
            adapter_on(llama, "dora", tmp_path / "a", scrambled=False),
            PROBES,
            tmp_path / "merged",
        )
    assert caught.value.code == "model/adapter-inert" and not (tmp_path / "merged").exists()


def test_nothing_is_written_over(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        export_merged(llama, None, PROBES, tmp_path)
    assert caught.value.code == "model/target-exists"


def test_an_adapter_on_a_tied_head_is_not_merged_into_the_embedding(
    llama: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    adapter = adapter_on(llama, "lora", tmp_path / "adapter")
    tensors = load_file(adapter / WEIGHTS_FILE)
    head = {"lora_A": torch.randn(4, 32), "lora_B": torch.randn(400, 4)}
    save_file(
        tensors
        | {f"base_model.model.lm_head.{part}.weight": value for part, value in head.items()},
        adapter / WEIGHTS_FILE,
    )
    with pytest.raises(ModelError) as caught:
        export_merged(llama, adapter, PROBES, tmp_path / "merged")
    assert caught.value.code == "model/tied-head" and not (tmp_path / "merged").exists()
