"""GGUF in, an ordinary float32 folder out."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from tunesmith.engine.gguf_import import import_gguf
from tunesmith.engine.model_loading import load_model
from tunesmith.errors import ModelError

WORDS = ["<|endoftext|>", "a", "b", "c", "ab", "Ġ", "Ġa", "<|im_end|>"]
HIDDEN, HEADS, MIDDLE = 64, 2, 96


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(MIDDLE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 1, 1, 1, 1, 1, 1, 3])
    writer.add_token_merges(["a b", "Ġ a"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(7)
    writer.add_chat_template("{{ messages[0].content }}")
    shapes = {
        "token_embd": (len(WORDS), HIDDEN),
        "blk.0.attn_q": (HIDDEN, HIDDEN),
        "blk.0.attn_k": (HIDDEN, HIDDEN),
        "blk.0.attn_v": (HIDDEN, HIDDEN),
        "blk.0.attn_output": (HIDDEN, HIDDEN),
        "blk.0.ffn_gate": (MIDDLE, HIDDEN),
        "blk.0.ffn_up": (MIDDLE, HIDDEN),
        "blk.0.ffn_down": (HIDDEN, MIDDLE),
        "blk.0.attn_norm": (HIDDEN,),
        "blk.0.ffn_norm": (HIDDEN,),
        "output_norm": (HIDDEN,),
    }
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        if name == "blk.0.attn_v":  # 4-bit blocks, as in the embedded model
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_folder_is_an_ordinary_float32_model(
    gguf_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    import_gguf(gguf_file, folder)
    assert capfd.readouterr() == ("", "")
    tensors = load_file(folder / "model.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float32}
    assert "quantization_config" not in (folder / "config.json").read_text()
    reader = {tensor.name: tensor for tensor in gguf.GGUFReader(gguf_file).tensors}
    quantised = reader["blk.0.attn_v.weight"]
    expected = {
        "model.embed_tokens.weight": reader["token_embd.weight"].data,
        "model.layers.0.mlp.up_proj.weight": reader["blk.0.ffn_up.weight"].data,
        "model.layers.0.self_attn.v_proj.weight": gguf.quants.dequantize(
            quantised.data, quantised.tensor_type
        ),
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(tensors[name].numpy(), values)
    loaded = load_model(folder, "float32")
    assert loaded.context_length == 128


def test_the_tokenizer_and_its_template_come_along(gguf_file: Path, tmp_path: Path) -> None:
    import_gguf(gguf_file, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer("ab a<|im_end|>")["input_ids"] == [4, 6, 7]
    assert (
        tokenizer.apply_chat_template([{"role": "user", "content": "ab"}], tokenize=False) == "ab"
    )


def test_a_file_that_is_no_gguf_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(ModelError) as caught:
        import_gguf(tmp_path / "model.gguf", tmp_path / "model")
    assert caught.value.code == "model/gguf-unreadable"
    assert not (tmp_path / "model").exists()
