"""Families of models against plain transformers: loss, gradients and answers, or a refusal that
says why.

The reference is the model as transformers loads it with its plain ("eager") attention, one example
at a time. docs/guide/models.md has the table.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig

from tunesmith.engine.adapters.full_finetune import FullFinetune
from tunesmith.engine.generator import Generator
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.engine.model_loading import load_model
from tunesmith.engine.training_step import TrainingStep
from tunesmith.errors import ModelError
from tunesmith.records import Recipe, TokenArrays

IDS: dict[str, Any] = {"vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    **IDS,
}
OLD: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, **IDS}
MOE: dict[str, Any] = {"num_experts_per_tok": 2, **SIZES}
GEMMA: dict[str, Any] = {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8, **SIZES}

TRAINED: dict[str, Callable[[], PretrainedConfig]] = {
    "gpt2": lambda: t.GPT2Config(**OLD),
    "gptj": lambda: t.GPTJConfig(rotary_dim=8, **OLD),
    "bloom": lambda: t.BloomConfig(hidden_size=32, n_layer=2, n_head=4, **IDS),
    "opt": lambda: t.OPTConfig(ffn_dim=64, word_embed_proj_dim=32, **{**SIZES, "pad_token_id": 1}),
    "gpt_neox": lambda: t.GPTNeoXConfig(**SIZES),
    "falcon": lambda: t.FalconConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, **IDS
    ),
    "phi3": lambda: t.Phi3Config(**SIZES),
    "qwen3": lambda: t.Qwen3Config(head_dim=8, **SIZES),
    "gemma2": lambda: t.Gemma2Config(
        attn_logit_softcapping=2.0, final_logit_softcapping=3.0, **GEMMA
    ),
    "gemma3_text": lambda: t.Gemma3TextConfig(**GEMMA),
    "mixtral": lambda: t.MixtralConfig(num_local_experts=4, **MOE),
    "qwen3_moe": lambda: t.Qwen3MoeConfig(
        head_dim=8, num_experts=4, moe_intermediate_size=32, **MOE
    ),
    "gpt_oss": lambda: t.GptOssConfig(head_dim=8, num_local_experts=4, sliding_window=16, **MOE),
}
UNSHARED = {"bloom", "gptj", "gemma2", "falcon", "gemma3_text", "gpt_oss"}
REFUSED: dict[str, tuple[Callable[[], PretrainedConfig], str]] = {
    "mamba": (
        lambda: t.MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4, **IDS),
        "model/no-answers",
    ),
    "t5": (
        lambda: t.T5Config(d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8, vocab_size=64),
        "model/not-causal",
    ),
    "a decoder without its encoder": (
        lambda: t.BartConfig(
            d_model=32,
            decoder_layers=1,
            decoder_attention_heads=4,
            decoder_ffn_dim=64,
            vocab_size=64,
            max_position_embeddings=128,
            is_encoder_decoder=False,
        ),
        "model/not-causal",
    ),
    "an encoder": (
        lambda: t.BertConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=64,
        ),
        "model/not-causal",
    ),
    "falcon with alibi": (
        lambda: t.FalconConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True, **IDS
        ),
        "model/unsure-attention",
    ),
}
PROMPTS = [[1, 5, 9], [1, 5, 9, 7, 12, 30, 31, 32, 33], [1, 5, 9, 11, 60], [22, 21, 20, 19, 18, 17]]
STOP = {2, 17, 33}


def written(make: Callable[[], PretrainedConfig], folder: Path) -> Path:
    config = make()
    config.initializer_range = 0.2
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kind.from_config(config).float().save_pretrained(folder)
    return folder


def some_examples() -> TokenArrays:
    random = np.random.default_rng(0)
    rows = [
        [1, 3, 4, 5, 6, 7, *random.integers(10, 64, random.integers(2, 20)).tolist(), 2]
        for _ in range(6)
    ]
    weights = [[0.0] * 8 + [1.0] * (len(row) - 8) for row in rows]
    return TokenArrays(
        np.concatenate(rows).astype(np.int32),
        np.concatenate(weights).astype(np.float32),
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
    )


def textbook_loss(model: torch.nn.Module, arrays: TokenArrays) -> torch.Tensor:
    losses, count = [], 0.0
    for e in range(len(arrays)):
        tokens, weights = (torch.from_numpy(part.copy()) for part in arrays.get_sequence(e))
        scores_TV = model(input_ids=tokens[None].long(), use_cache=False).logits[0, :-1]
        losses_T = torch.nn.functional.cross_entropy(scores_TV, tokens[1:].long(), reduction="none")
        losses.append((losses_T * weights[1:]).sum())
        count += float(weights[1:].sum())
    return torch.stack(losses).sum() / count


@pytest.mark.parametrize("family", TRAINED)
def test_loss_gradients_and_answers_are_those_of_plain_transformers(
    family: str, tmp_path: Path
) -> None:
    folder, arrays = written(TRAINED[family], tmp_path / "model"), some_examples()
    reference = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    ).eval()
    expected = textbook_loss(reference, arrays)
    expected.backward()
    loaded = load_model(folder, "float32")
    FullFinetune(loaded.model)
    stepper = TrainingStep(loaded, build_method(Recipe()), longest=30)
    assert (stepper.no_forest_reason is not None) == (family in UNSHARED)
    assert stepper.backward(arrays, range(len(arrays)), 1) == pytest.approx(
        expected.item(), abs=1e-5
    )
    theirs = {
        name: weight.grad
        for name, weight in reference.named_parameters()
        if weight.grad is not None
    }
    ours = {
        name: weight.grad
        for name, weight in loaded.model.named_parameters()
        if weight.grad is not None
    }
    assert ours.keys() == theirs.keys()
    difference = sum(float((ours[name] - theirs[name]).pow(2).sum()) for name in ours)
    assert (
        difference**0.5 <= 1e-4 * sum(float(grad.pow(2).sum()) for grad in theirs.values()) ** 0.5
    )
    for prompt, answer in zip(
        PROMPTS,
        Generator(load_model(folder, "float32"), 4).generate(PROMPTS, 16, STOP),
        strict=True,
    ):
        whole = reference.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=sorted(STOP),
            pad_token_id=2,
        )
        expected_tokens = whole[0, len(prompt) :].tolist()
        assert answer.tokens == (expected_tokens[:-1] if answer.is_complete else expected_tokens)


@pytest.mark.parametrize("family", REFUSED)
def test_what_cannot_be_trained_or_asked_is_refused_when_it_is_loaded(
    family: str, tmp_path: Path
) -> None:
    make, code = REFUSED[family]
    with pytest.raises(ModelError) as caught:
        load_model(written(make, tmp_path / "model"), "float32")
    assert caught.value.code == code and str(tmp_path / "model") in caught.value.at
