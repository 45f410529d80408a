"""A loss over tokens, found by its entry point, is what a plain torch implementation gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.engine.methods.training_method import prepare_arrays
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.reference_logprobs import compute_reference_logps, with_reference_logps
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import (
    AdapterRecipe,
    MemoryPlan,
    MetricLine,
    Recipe,
    TokenArrays,
    TrainingRecipe,
)
from tunesmith.testing.resolved_recipes import resolve_test_recipe

pytestmark = pytest.mark.usefixtures("example_plugin")
VOCABULARY, CLIP = 64, 0.2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_arrays(examples: int = 8) -> TokenArrays:
    """Questions that come twice, with a desirable and an undesirable answer of 2 to 9 tokens."""
    random = np.random.default_rng(0)
    tokens, weights = [], []
    for number in range(examples):
        question = np.random.default_rng(number // 2).integers(3, VOCABULARY, 12).tolist()
        answer = random.integers(3, VOCABULARY, random.integers(2, 10)).tolist()
        tokens.append([1, *question, *answer])
        weights.append([0.0] * (1 + len(question)) + [1.0] * len(answer))
    return TokenArrays(
        np.concatenate(tokens).astype(np.int32),
        np.concatenate(weights).astype(np.float32),
        np.cumsum([0, *map(len, tokens)]).astype(np.int64),
        columns_E={"is_desirable": np.arange(examples) % 3 > 0},
    )


def load_exact(folder: Path) -> LoadedModel:
    """The model in float64 with a new LoRA adapter."""
    loaded = load_model(folder, "float32")
    return replace(loaded, model=loaded.model.double(), dtype=torch.float64)


def compute_plain_logps(model: torch.nn.Module, tokens_T: np.ndarray) -> Tensor:
    """log p of each token after the first one, by transformers' own forward pass."""
    ids_T = torch.from_numpy(tokens_T).long()
    logps_TV = model(ids_T[None]).logits[0, :-1].log_softmax(-1)
    return logps_TV.gather(1, ids_T[1:, None])[:, 0]


def compute_plain_loss(
    model: torch.nn.Module, arrays: TokenArrays, reference: list[Tensor]
) -> Tensor:
    """The clipped loss, one answer after the other, without tunesmith."""
    ratings = torch.from_numpy(arrays.columns_E["is_desirable"]).double()
    advantages = (ratings - ratings.mean()) / ratings.std(correction=0)
    terms, is_clipped = [], []
    for e, advantage in enumerate(advantages):
        tokens_T, weights_T = arrays.get_sequence(e)
        is_trained_T = torch.from_numpy(weights_T[1:] > 0)
        ratio = (compute_plain_logps(model, tokens_T) - reference[e]).exp()[is_trained_T]
        clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
        terms.append(torch.minimum(ratio * advantage, clipped * advantage))
        is_clipped.append((clipped * advantage).lt(ratio * advantage))
    assert 0 < torch.cat(is_clipped).sum() < len(torch.cat(is_clipped))  # both cases occur
    return -torch.cat(terms).mean()


@pytest.mark.parametrize("most_examples", [8, 3, 1])
def test_loss_and_gradient_are_those_of_plain_torch(folder: Path, most_examples: int) -> None:
    """float64, relative 1e-9: whatever the micro-batches, also where tokens are clipped."""
    loaded, method = load_exact(folder), build_method(Recipe(method="clipped"))
    trainable = build_trainable(loaded, AdapterRecipe(rank=4, alpha=8.0))
    arrays = prepare_arrays(method, make_arrays())
    step = TrainingStep(loaded, method, MemoryPlan(max_examples=most_examples))
    logps = compute_reference_logps(step, {"train": arrays}, lambda *_: None, lambda: False)
    assert logps is not None
    with torch.no_grad():
        reference = [
            compute_plain_logps(loaded.model, arrays.get_sequence(e)[0]) for e in range(len(arrays))
        ]
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():  # the policy has moved since: some tokens beyond the clip, some not
        for weight in trainable.get_weights().values():
            weight.add_(0.05 * torch.randn(weight.shape, generator=random, dtype=weight.dtype))
    weights = list(trainable.get_weights().values())
    expected = compute_plain_loss(loaded.model, arrays, reference)
    expected_gradient = torch.cat([g.flatten() for g in torch.autograd.grad(expected, weights)])
    given = with_reference_logps("train", arrays, logps, by_token=True)
    loss = step.backward(given, range(len(arrays)), 1)
    gradient = torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])
    assert loss == pytest.approx(expected.item(), rel=1e-9)
    assert float((gradient - expected_gradient).norm() / expected_gradient.norm()) < 1e-9


def test_it_trains_through_the_loop(folder: Path, tmp_path: Path) -> None:
    """Reference of each token, memory trial, validation: the loop knows no method by name."""
    lines: list[MetricLine] = []
    training = TrainingRecipe(learning_rate=2e-3, epochs=10.0, batch_size=4, num_evals=1)
    adapter = AdapterRecipe(rank=4, alpha=8.0)
    recipe = resolve_test_recipe(Recipe(method="clipped", adapter=adapter, training=training))
    arrays = make_arrays()
    train_adapter(
        load_model(folder, "float32"),
        arrays,
        arrays,
        recipe,
        adapter_folder=tmp_path / "adapter",
        on_line=lines.append,
    )
    first, last = (line for line in lines if line.kind == "validation")
    # before step 1 every ratio is 1, so the loss is minus the mean advantage of the tokens
    counts = np.add.reduceat(arrays.weights_N, arrays.starts_S1[:-1])
    ratings = arrays.columns_E["is_desirable"].astype(float)
    advantages = (ratings - ratings.mean()) / ratings.std()
    assert first.loss == pytest.approx(-(advantages * counts).sum() / counts.sum(), abs=1e-5)
    assert last.loss is not None and first.loss is not None and last.loss < first.loss
    assert last.reward_accuracy == 1.0
