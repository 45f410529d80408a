"""Parts of a model folder small enough to create in a test: a byte-level BPE tokenizer of a few
lines with any chat template, and weights.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TRAINING_LINES = (
    "the quick brown fox jumps over the lazy dog",
    "one two three four five, and more words",
    "<|im_start|> user [INST]",
)


def write_tiny_tokenizer(
    folder: Path,
    template: str | None = CHATML,
    control_tokens: Sequence[str] = ("<|im_start|>", "<|im_end|>"),
    **named_tokens: str,
) -> Path:
    """Write tokenizer.json, its settings and chat_template.jinja; ids of control tokens come first,
    in order.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    # normalized=False: control tokens match the raw text, as in real chat tokenizers.
    specials = [AddedToken(token, special=True, normalized=False) for token in control_tokens]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TRAINING_LINES,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    core.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **named_tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def build_safetensors(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with this header (a dictionary, or raw bytes) and this data."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    # Format: header length as little-endian uint64, JSON header, tensor data.
    return struct.pack("<Q", len(raw)) + raw + data


def write_tiny_weights(path: Path, rows: int = 400, columns: int = 4) -> None:
    """Write one float32 tensor of zeros."""
    size = rows * columns * 4
    entry = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, size]}
    path.write_bytes(
        build_safetensors({"__metadata__": {"format": "pt"}, "layers.0.weight": entry}, bytes(size))
    )


def write_tiny_model(folder: Path) -> Path:
    """Write a whole chat model: a Llama of two layers that has learned nothing, always with the
    same weights, and a ChatML tokenizer of 400 tokens. Returns the folder.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    write_tiny_tokenizer(folder, eos_token="<|im_end|>")
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder
