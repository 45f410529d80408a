"""Gradients of every kind of adapter: exact in a forest, and none that nobody uses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.adapters.full_finetune import FullFinetune
from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import AdapterRecipe, MemoryPlan, TokenArrays
from tunesmith.testing.adapter_recipes import build_adapter_recipe
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding

KINDS = ("lora", "rslora", "dora", "qlora", "full")
ArraysOf = Callable[..., TokenArrays]


def config_of(family: str, *, tied: bool = True) -> Any:
    if family == "llama":
        return LlamaConfig(
            vocab_size=64,
            hidden_size=40,
            intermediate_size=56,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=tied,
            initializer_range=0.2,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
        )
    return GPT2Config(
        vocab_size=64,
        n_embd=40,
        n_layer=2,
        n_head=4,
        n_positions=256,
        initializer_range=0.2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )


def written(config: Any, folder: Path) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def trained(
    folder: Path, kind: str, *, float64: bool = False
) -> tuple[LoadedModel, TrainableModel]:
    """A model with a scrambled adapter: a fresh one has gradients of zero."""
    loaded = load_model(folder, "float32", four_bits=kind == "qlora")
    if float64:
        loaded.model.double()
        loaded = replace(loaded, dtype=torch.float64)
    adapter = build_trainable(loaded, build_adapter_recipe(kind, rank=4))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in adapter.get_weights().items():
            if "lora_" in name and weight.dim() > 1:
                weight.normal_(std=0.1)
    return loaded, adapter


@pytest.fixture
def arrays(arrays_of: ArraysOf) -> TokenArrays:
    """A long beginning that all share, one that some share, and answers of unequal lengths."""
    random = np.random.default_rng(0)
    head = random.integers(3, 64, 40).tolist()
    heads = [head, head, head + random.integers(3, 64, 30).tolist()]
    heads.append(heads[-1])
    tails = [random.integers(3, 64, length).tolist() for length in (3, 9, 5, 7)]
    return arrays_of(
        [(h + t, [0.0] * len(h) + [1.0] * len(t)) for h, t in zip(heads, tails, strict=True)]
    )


def gradients(
    adapter: TrainableModel, stepper: TrainingStep, arrays: TokenArrays
) -> tuple[float, dict[str, torch.Tensor]]:
    loss = stepper.backward(arrays, range(len(arrays)), 1)
    adapter.collect_gradients()
    found = {name: weight.grad for name, weight in adapter.get_weights().items()}
    for weight in adapter.get_weights().values():
        weight.grad = None
    return loss, found


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_forests_gradients_are_those_of_one_example_at_a_time(
    family: str, kind: str, arrays: TokenArrays, tmp_path: Path
) -> None:
    """In float64 to 1e-9 of the largest gradient of each weight: what differs is the order of
    sums."""
    loaded, adapter = trained(written(config_of(family), tmp_path), kind, float64=True)
    forest, alone = (
        TrainingStep(loaded, Sft()),
        TrainingStep(loaded, Sft(), MemoryPlan(max_examples=1)),
    )
    assert forest.no_forest_reason is None
    alone.no_forest_reason = "to compare"
    loss, together = gradients(adapter, forest, arrays)
    loss_alone, apart = gradients(adapter, alone, arrays)
    assert loss == pytest.approx(loss_alone, rel=1e-12)
    for name, gradient in together.items():
        assert gradient.dtype == torch.float64
        assert float(apart[name].abs().max()) > 0, name
        assert float((gradient - apart[name]).norm()) <= 1e-9 * float(apart[name].norm()), name


class Watch(TorchDispatchMode):
    """Remembers the shapes that matrix products gave, and whether the embedding got a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        self.names.add(function.name())
        if any(word in function.name() for word in ("::mm", "::addmm", "::bmm", "::matmul")):
            self.shapes.append(tuple(result.shape))
        return result


def watched_backward(loaded: LoadedModel, arrays: TokenArrays) -> Watch:
    stepper, everything = TrainingStep(loaded, Sft()), range(len(arrays))
    with stepper._use_forest_attention():
        loss = stepper.method.compute_loss(
            stepper._compute_logprobs(arrays, everything),
            stepper._compute_totals(arrays, everything, stepper),
        )
        with Watch() as watch:
            loss.backward()
    return watch


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "full"])
def test_no_gradient_of_a_frozen_weight_is_computed(
    family: str, kind: str, arrays: TokenArrays, tmp_path: Path
) -> None:
    folder = written(config_of(family), tmp_path)
    loaded, adapter = trained(folder, kind)
    ours = {id(weight) for weight in adapter.get_weights().values()}
    frozen = [weight for weight in loaded.model.parameters() if id(weight) not in ours]
    watch = watched_backward(loaded, arrays)
    assert frozen and all(weight.grad is None and not weight.requires_grad for weight in frozen)
    whole = [
        weight.shape
        for weight in AutoModelForCausalLM.from_pretrained(folder).parameters()
        if weight.dim() == 2
    ]
    assert not {(*shape,) for shape in whole} & set(watch.shapes) and not {
        (*s[::-1],) for s in whole
    } & set(watch.shapes)
    assert not any("embedding" in name and "backward" in name for name in watch.names)
    assert len(watch.shapes) > 30


def test_the_watch_sees_what_full_fine_tuning_computes(arrays: TokenArrays, tmp_path: Path) -> None:
    loaded, _ = trained(written(config_of("llama"), tmp_path), "full")
    watch = watched_backward(loaded, arrays)
    assert (56, 40) in watch.shapes and any(
        "embedding" in name and "backward" in name for name in watch.names
    )


@pytest.mark.parametrize("tied", [True, False])
def test_full_gradients_are_those_of_plain_transformers(
    tied: bool, arrays: TokenArrays, tmp_path: Path
) -> None:
    """Embedding and head included; where they are tied the gradient is that of both uses."""
    folder = written(config_of("gpt2", tied=tied), tmp_path)
    loaded, adapter = trained(folder, "full", float64=True)
    _, ours = gradients(adapter, TrainingStep(loaded, Sft()), arrays)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for e in range(len(arrays)):
        tokens, weights = (torch.from_numpy(part.copy()) for part in arrays.get_sequence(e))
        logps_TV = plain(input_ids=tokens[None].long()).logits[0, :-1].log_softmax(-1)
        total = total - (logps_TV.gather(1, tokens[1:, None].long())[:, 0] * weights[1:]).sum()
    (total / float(arrays.weights_N.sum())).backward()
    theirs = {name: weight.grad for name, weight in plain.named_parameters()}
    assert ours.keys() == theirs.keys() and ("lm_head.weight" in ours) != tied
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient,
            theirs[name],
            rtol=1e-7,
            atol=1e-10,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def test_bfloat16_masters_take_steps_that_bfloat16_cannot_tell_apart(
    arrays: TokenArrays, tmp_path: Path
) -> None:
    loaded = load_model(written(config_of("llama"), tmp_path), "bfloat16")
    adapter = build_trainable(loaded, AdapterRecipe(kind="full"))
    weight = loaded.model.model.layers[0].mlp.up_proj.weight
    master = adapter.get_weights()["model.layers.0.mlp.up_proj.weight"]
    before = weight.detach().clone()
    for _ in range(64):
        with torch.no_grad():
            master.mul_(1 + 2**-12)
        adapter.sync_to_model()
    assert weight.dtype == torch.bfloat16 and master.dtype == torch.float32
    grown = (weight.detach().float() / before.float()).mean()
    assert float(grown) == pytest.approx((1 + 2**-12) ** 64, rel=1e-3)


def test_bfloat16_gradients_add_up_in_float32_and_go_to_the_masters(
    arrays: TokenArrays, tmp_path: Path
) -> None:
    loaded = load_model(written(config_of("llama"), tmp_path), "bfloat16")
    adapter = FullFinetune(loaded.model)
    stepper = TrainingStep(loaded, Sft(), MemoryPlan(max_examples=1))
    _, found = gradients(adapter, stepper, arrays)
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    assert all(weight.grad is None for weight in loaded.model.parameters())
    exact = load_model(tmp_path, "float32")
    plain = FullFinetune(exact.model)
    _, expected = gradients(plain, TrainingStep(exact, Sft(), MemoryPlan(max_examples=1)), arrays)
    for name, gradient in found.items():
        assert float((gradient - expected[name]).norm()) < 0.1 * float(expected[name].norm()), name


def test_a_step_that_ran_out_of_memory_leaves_no_gradient_behind(
    arrays: TokenArrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pieces before the failure must not be counted twice, with masters either."""
    loaded = load_model(written(config_of("llama"), tmp_path), "bfloat16")
    adapter = FullFinetune(loaded.model)
    _, expected = gradients(
        adapter, TrainingStep(loaded, Sft(), MemoryPlan(max_examples=1)), arrays
    )
    stepper = TrainingStep(loaded, Sft(), MemoryPlan(max_examples=2))
    original, calls = stepper._compute_logprobs, []

    def scores(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return original(*arguments)

    monkeypatch.setattr(stepper, "_compute_logprobs", scores)
    _, found = gradients(adapter, stepper, arrays)
    assert len(calls) == 2 + 4
    for name, gradient in found.items():
        assert_close_within_rounding(gradient, expected[name])
