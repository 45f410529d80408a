"""A tiny Llama with random weights and small token sequences: every engine test runs in a moment,
offline."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.records import AdapterRecipe, Recipe, ResolvedRecipe, TokenArrays, TrainingRecipe
from tunesmith.testing.resolved_recipes import resolve_test_recipe

VOCABULARY = 64


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    folder = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_folder: Path) -> LoadedModel:
    return load_model(tiny_folder, "float32")


def token_arrays(rows: list[tuple[list[int], list[float]]]) -> TokenArrays:
    lengths = [len(tokens) for tokens, _ in rows]
    return TokenArrays(
        np.concatenate([np.array(tokens, dtype=np.int32) for tokens, _ in rows]),
        np.concatenate([np.array(weights, dtype=np.float32) for _, weights in rows]),
        np.cumsum([0, *lengths]).astype(np.int64),
    )


def copying_task(examples: int, seed: int = 0) -> TokenArrays:
    """A shared system prompt, some letters, then the same letters again as the answer, then the end
    token 2."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(examples):
        letters = random.integers(10, VOCABULARY, random.integers(1, 9)).tolist()
        prompt, answer = [1, 3, 4, 5, 6, 7, *letters, 8], [*letters, 2]
        rows.append((prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer)))
    return token_arrays(rows)


@pytest.fixture
def task() -> Callable[..., TokenArrays]:
    return copying_task


@pytest.fixture
def arrays_of() -> Callable[..., TokenArrays]:
    return token_arrays


@pytest.fixture
def recipe() -> Callable[..., ResolvedRecipe]:
    def make(seed: int = 0, dropout: float = 0.0, **training: object) -> ResolvedRecipe:
        settings = {
            "learning_rate": 1e-2,
            "epochs": 1.0,
            "batch_size": 8,
            "num_evals": 1,
        } | training
        adapter = AdapterRecipe(rank=4, alpha=8, dropout=dropout)
        written = Recipe(seed=seed, adapter=adapter, training=TrainingRecipe(**settings))
        return resolve_test_recipe(written)

    return make
