"""Loading: only safetensors, never code from the folder, the precision of the machine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from tunesmith.engine import lm_head, model_loading
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.sanitized_folder import silence_transformers
from tunesmith.errors import ModelError
from tunesmith.testing.tiny_model import write_tiny_weights


def test_importing_the_engine_loads_no_torch() -> None:
    code = (
        "import sys, tunesmith.engine, tunesmith.engine.adapters; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_loaded_model_is_frozen_and_knows_its_size(tiny: LoadedModel) -> None:
    assert tiny.context_length == 256
    assert tiny.parameters == sum(weight.numel() for weight in tiny.model.parameters())
    assert not tiny.model.training
    assert not any(weight.requires_grad for weight in tiny.model.parameters())


@pytest.mark.parametrize(
    ("precision", "in_hardware", "expected"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_precision(
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: model_loading.Precision,
    in_hardware: bool,
    expected: torch.dtype,
) -> None:
    monkeypatch.setattr(model_loading, "has_bfloat16_matmul", lambda device: in_hardware)
    loaded = load_model(tiny_folder, precision)
    assert loaded.dtype == expected == next(loaded.model.parameters()).dtype


def test_pickled_weights_are_never_opened(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "config.json", tmp_path)
    torch.save(
        AutoModelForCausalLM.from_pretrained(tiny_folder).state_dict(),
        tmp_path / "pytorch_model.bin",
    )
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert caught.value.code == "model/pickled-weights" and str(tmp_path) in caught.value.at


def test_code_in_the_folder_is_never_run(tiny_folder: Path, tmp_path: Path) -> None:
    """An unknown architecture whose folder offers its own Python is refused, without a question on
    the terminal."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    witness = tmp_path / "witness"
    (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError):
        load_model(folder)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "model/unloadable"),
        ("{", "model/broken-settings"),
        ("{}", "model/unloadable"),
        ('{"model_type": "no-such-kind"}', "model/unloadable"),
        ('{"model_type": "vit"}', "model/not-causal"),
        ('{"model_type": "t5"}', "model/not-causal"),
        ('{"model_type": "llama", "num_attention_heads": 0}', "model/unloadable"),
        ('{"model_type": "llama"}', "model/wrong-size"),
    ],
)
def test_a_folder_that_is_no_model_is_one_clear_error(
    tmp_path: Path, content: str | None, code: str
) -> None:
    write_tiny_weights(tmp_path / "model.safetensors")
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert caught.value.code == code and "\n" not in caught.value.got
    assert str(tmp_path) in caught.value.at


def test_torn_weights_are_one_clear_error(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert caught.value.code == "model/unloadable"


def test_missing_weights_are_never_made_up(tiny_folder: Path, tmp_path: Path) -> None:
    """transformers would fill a missing tensor with random numbers and only warn."""

    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert "model.layers.1.mlp.up_proj.weight" in caught.value.got


def test_a_model_that_changes_its_logits_in_an_unknown_way_is_refused(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        lm_head, "compute_logits", lambda model, hidden: model.lm_head(hidden).float() * 3
    )
    with pytest.raises(ModelError) as caught:
        lm_head.check_head(tiny.model)
    assert caught.value.code == "model/unknown-head"


@pytest.mark.parametrize(("key", "value"), [("logit_scale", 0.25), ("logits_scaling", 8.0)])
def test_scaled_logits(tiny: LoadedModel, key: str, value: float) -> None:
    hidden = torch.randn(2, 32)
    plain = lm_head.compute_logits(tiny.model, hidden)
    setattr(tiny.model.config, key, value)
    factor = value if key == "logit_scale" else 1 / value
    torch.testing.assert_close(lm_head.compute_logits(tiny.model, hidden), plain * factor)


def test_transformers_is_as_loud_after_as_before() -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with silence_transformers():
        assert logging.get_verbosity() == logging.ERROR and not logging.is_progress_bar_enabled()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def copy_of(folder: Path, to: Path, **config: object) -> Path:
    shutil.copytree(folder, to)
    settings = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**settings, **config}))
    return to


def test_an_adapter_that_lies_beside_the_weights_is_not_put_on(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """transformers follows an adapter_config.json where PEFT is installed: it would load another
    base."""
    folder = copy_of(tiny_folder, tmp_path / "model")
    other = copy_of(tiny_folder, tmp_path / "other")
    tensors = {name: tensor + 1 for name, tensor in load_file(other / "model.safetensors").items()}
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(other),
        "r": 2,
        "target_modules": ["q_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    loaded = load_model(folder, "float32")
    expected = load_file(tiny_folder / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(loaded.model.get_input_embeddings().weight, expected)
    assert not any("lora" in name for name, _ in loaded.model.named_modules())


@pytest.mark.parametrize(
    "config",
    [
        {
            "_attn_implementation": "eager",
            "attn_implementation": "eager",
            "_attn_implementation_internal": "eager",
        },
        {"output_attentions": True, "output_hidden_states": True, "return_dict": False},
        {
            "torch_dtype": "float16",
            "dtype": "float16",
            "_name_or_path": "../..",
            "name_or_path": "elsewhere",
        },
        {
            "id2label": {"0": "a"},
            "num_labels": 7,
            "a_key_of_another_tool": {"x": ["y"]},
            "to_dict": 1,
        },
    ],
)
def test_settings_do_not_steer_how_a_model_is_loaded(
    tiny_folder: Path, tmp_path: Path, config: dict[str, object]
) -> None:
    loaded = load_model(copy_of(tiny_folder, tmp_path / "model", **config), "float32")
    assert loaded.model.config._attn_implementation == "sdpa" and loaded.dtype == torch.float32
    expected = load_file(tiny_folder / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(loaded.model.get_input_embeddings().weight, expected)


def test_fewer_layers_than_there_are_weights_for_are_refused(
    tiny_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(copy_of(tiny_folder, tmp_path / "model", num_hidden_layers=1))
    assert caught.value.code == "model/unread-weights" and "layers.1" in caught.value.got


@pytest.mark.parametrize(
    "key", ["intermediate_size", "num_key_value_heads", "head_dim", "max_position_embeddings"]
)
def test_sizes_are_held_against_the_weights_before_memory_is_taken(
    tiny_folder: Path, tmp_path: Path, key: str
) -> None:
    folder = copy_of(tiny_folder, tmp_path / "model", **{key: 10**7})
    if key == "max_position_embeddings":  # rotary positions take no memory
        assert load_model(folder, "float32").context_length == 10**7
        return
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert caught.value.code == "model/wrong-size" and str(folder) in caught.value.at
