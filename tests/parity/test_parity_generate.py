"""Greedy answers against `transformers.generate`, one prompt at a time, for every family: equal
tokens in float32.

Rows of unequal length, refilled batches, trunks and windows: the tokens must be those of a prompt
that is alone (pain 24). The models are tiny and random, with weights large enough that their
answers are not all alike.
"""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from tunesmith.engine.generation import shared_prefixes
from tunesmith.engine.generation.model_support import get_prefix_model
from tunesmith.engine.generator import Generator
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding

SIZE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**SIZE),
    "qwen2": Qwen2Config(**SIZE),
    "qwen3": Qwen3Config(**SIZE, head_dim=16),
    "mistral": MistralConfig(**SIZE, sliding_window=None),
    "mistral, window 5": MistralConfig(**SIZE, sliding_window=5),
    "phi3": Phi3Config(**SIZE, sliding_window=None),
    "phi3, window 9": Phi3Config(**SIZE, sliding_window=9),
    "gemma3, window 6": Gemma3TextConfig(
        **SIZE, head_dim=16, sliding_window=6, layer_types=["sliding_attention", "full_attention"]
    ),
    "gpt2": GPT2Config(
        vocab_size=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=256,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    ),
    "gemma2: capped scores": Gemma2Config(
        **SIZE, head_dim=16, attn_logit_softcapping=2.0, sliding_window=6
    ),
    "gpt-oss: sinks": GptOssConfig(
        **SIZE, head_dim=16, num_local_experts=2, num_experts_per_tok=1, sliding_window=6
    ),
    "llama, dynamic positions": LlamaConfig(
        **SIZE | {"max_position_embeddings": 16},
        rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
    ),
}
ALONE = {"gemma2: capped scores", "gpt-oss: sinks", "llama, dynamic positions"}

SYSTEM = [1, *range(10, 40)]
PROMPTS = [
    [1, 5, 9],
    [1, 7, 7, 12, 30, 31, 32, 33],
    [40],
    [22, 21, 20, 19, 18, 17],
    *([*SYSTEM, *tail] for tail in ([50], [51, 52, 53], [54, 55], [50, 51, 52, 53, 60])),
    SYSTEM,
    [1, 7, 7, 12, 30, 31, 32, 33],
]


@pytest.fixture(scope="module", params=CONFIGS)
def family(request: pytest.FixtureRequest) -> tuple[str, LoadedModel]:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[request.param]).eval()
    for name, weight in model.named_parameters():
        if name.endswith("sinks"):
            torch.nn.init.normal_(weight)
    return request.param, LoadedModel(
        model, torch.device("cpu"), torch.float32, 256, model.num_parameters()
    )


def theirs(loaded: LoadedModel, prompt: list[int], stop: set[int]) -> tuple[list[int], bool]:
    whole = loaded.model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt)),
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=sorted(stop),
        pad_token_id=0,
    )
    tokens = whole[0, len(prompt) :].tolist()
    return (tokens[:-1], True) if tokens[-1] in stop else (tokens, False)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_pain_24_batched_answers_are_those_of_transformers_generate(
    family: tuple[str, LoadedModel], batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, loaded = family
    monkeypatch.setattr(
        shared_prefixes, "PREFIX_COST_TOKENS", 4
    )  # short texts, so a trunk has to be worth it for a few tokens
    stop = {2, 17, 33}
    answers = Generator(loaded, batch_size).generate(PROMPTS, 24, stop)
    assert [(answer.tokens, answer.is_complete) for answer in answers] == [
        theirs(loaded, p, stop) for p in PROMPTS
    ]
    assert len({tuple(answer.tokens) for answer in answers}) > 3, (
        "these models should not all say the same"
    )


def test_families_answer_together_or_alone_as_their_attention_allows(
    family: tuple[str, LoadedModel],
) -> None:
    name, loaded = family
    assert (get_prefix_model(loaded.model, 60) is None) == (name in ALONE)


def test_positions_that_change_with_the_length_matter_only_to_long_texts(
    family: tuple[str, LoadedModel],
) -> None:
    name, loaded = family
    if name == "llama, dynamic positions":
        assert get_prefix_model(loaded.model, 16) is not None
        assert get_prefix_model(loaded.model, 17) is None


def test_label_scores_are_those_of_the_model(family: tuple[str, LoadedModel]) -> None:
    _, loaded = family
    labels = [[20, 21, 22], [20, 21], [20, 30, 2], [40]]
    scores = Generator(loaded).score_labels(PROMPTS, labels)
    for p, prompt in enumerate(PROMPTS):
        for a, label in enumerate(labels):
            with torch.no_grad():
                logits = loaded.model(input_ids=torch.tensor([prompt + label])).logits[
                    0, len(prompt) - 1 : -1
                ]
            expected = logits.log_softmax(-1).gather(1, torch.tensor(label)[:, None]).sum()
            assert_close_within_rounding(float(scores[p, a]), float(expected))
