"""On a CUDA device (`pytest -m gpu tests/engine/test_engine_cuda.py`): the same numbers there.

The models are small but real to the kernels: heads of 32 numbers, lengths that are no multiple of a
block.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.attention import flex
from tunesmith.engine.attention.hf_backend import compute_forest_hidden_states, use_forest_attention
from tunesmith.engine.checkpoint import Checkpoints
from tunesmith.engine.checkpointer import CheckpointConfig
from tunesmith.engine.generator import Generator
from tunesmith.engine.memory import get_free_memory_bytes
from tunesmith.engine.memory_plan import plan_memory
from tunesmith.engine.methods.dpo import Dpo
from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.prefix_forest import build_forest
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import (
    AdapterRecipe,
    MemoryPlan,
    MetricLine,
    Recipe,
    TokenArrays,
    TrainingRecipe,
)
from tunesmith.testing.adapter_recipes import build_adapter_recipe
from tunesmith.testing.resolved_recipes import resolve_test_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ArraysOf = Callable[..., TokenArrays]
VOCABULARY = 512
SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "initializer_range": 0.1,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("small")
    AutoModelForCausalLM.from_config(LlamaConfig(**SIZE)).save_pretrained(made)
    return made


@pytest.fixture
def arrays(arrays_of: ArraysOf) -> TokenArrays:
    """Beginnings that all and that some share, answers of unequal lengths: 700 tokens over several
    blocks of 128."""
    random = np.random.default_rng(0)
    head = random.integers(3, VOCABULARY, 150).tolist()
    heads = [head, head + random.integers(3, VOCABULARY, 70).tolist()]
    tails = [
        random.integers(3, VOCABULARY, length).tolist()
        for length in (3, 90, 35, 77, 141, 8, 20, 61)
    ]
    rows = [
        (heads[k % 2] + tail, [0.0] * len(heads[k % 2]) + [1.0] * len(tail))
        for k, tail in enumerate(tails)
    ]
    return arrays_of(rows)


def scrambled(loaded: LoadedModel, kind: str) -> dict[str, torch.nn.Parameter]:
    """The trained weights; fresh thin matrices would have gradients of zero."""
    recipe = build_adapter_recipe(kind, rank=8)
    adapter = build_trainable(loaded, recipe)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in adapter.get_weights().items():
            if "lora_" in name and weight.dim() > 1:
                weight.normal_(std=0.05)
    return adapter.get_weights()


def gradients(
    loaded: LoadedModel,
    weights: dict[str, torch.nn.Parameter],
    arrays: TokenArrays,
    *,
    as_forest: bool,
) -> tuple[float, dict[str, torch.Tensor]]:
    stepper = TrainingStep(loaded, Sft(), MemoryPlan() if as_forest else MemoryPlan(max_examples=1))
    assert stepper.no_forest_reason is None
    if not as_forest:
        stepper.no_forest_reason = "to compare"
    loss = stepper.backward(arrays, range(len(arrays)), 1)
    found = {
        name: weight.grad.float() for name, weight in weights.items() if weight.grad is not None
    }
    loaded.model.zero_grad(set_to_none=True)
    return loss, found


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys() and one
    return max(float((one[name] - other[name]).norm() / other[name].norm()) for name in one)


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "qlora", "full"])
def test_a_forests_gradients_are_those_of_one_example_at_a_time(
    kind: str, folder: Path, arrays: TokenArrays
) -> None:
    loaded = load_model(folder, "float32", four_bits=kind == "qlora")
    assert loaded.device.type == "cuda"
    weights = scrambled(loaded, kind)
    loss, together = gradients(loaded, weights, arrays, as_forest=True)
    alone, apart = gradients(loaded, weights, arrays, as_forest=False)
    assert loss == pytest.approx(alone, rel=1e-5)
    assert difference(together, apart) < 1e-4


@pytest.mark.parametrize("kind", ["lora", "qlora", "full"])
def test_bfloat16_differs_by_its_rounding(kind: str, folder: Path, arrays: TokenArrays) -> None:
    loaded = load_model(folder, "auto", four_bits=kind == "qlora")
    assert loaded.dtype == torch.bfloat16
    weights = scrambled(loaded, kind)
    if kind == "full":  # the gradients are the model's, which `collect` would hand to the masters
        weights = dict(loaded.model.named_parameters())
    loss, together = gradients(loaded, weights, arrays, as_forest=True)
    alone, apart = gradients(loaded, weights, arrays, as_forest=False)
    assert loss == pytest.approx(alone, rel=1e-2)
    assert difference(together, apart) < 0.1


def test_the_gradients_are_those_of_a_cpu(folder: Path, arrays: TokenArrays) -> None:
    loaded = load_model(folder, "float32")
    weights = scrambled(loaded, "lora")
    loss, here = gradients(loaded, weights, arrays, as_forest=True)
    model = loaded.model.cpu()
    on_cpu = replace(loaded, model=model, device=torch.device("cpu"))
    loss_cpu, there = gradients(on_cpu, dict(weights), arrays, as_forest=True)
    assert loss == pytest.approx(loss_cpu, rel=1e-5)
    assert difference({name: g.cpu() for name, g in here.items()}, there) < 1e-4


def test_forests_of_many_sizes_need_no_new_kernels(folder: Path) -> None:
    """Compiled once for all lengths: a kernel takes seconds to compile, and every step has a length
    of its own."""
    loaded, random = load_model(folder, "auto"), np.random.default_rng(0)
    assert (
        TrainingStep(loaded, Sft()).no_forest_reason is None
    )  # the probe compiles what validation will need
    sizes = (300, 517, 640, 901, 129, 1000)
    compiled = [torch._dynamo.utils.counters["stats"]["unique_graphs"]]
    with torch.no_grad(), use_forest_attention(loaded.model):
        for size in sizes:
            hidden = compute_forest_hidden_states(
                loaded.model, build_forest([random.integers(3, 500, size).astype(np.int32)])
            )
            assert bool(hidden.isfinite().all())
            compiled.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert len(set(compiled)) == 1, compiled


def test_training_learns_and_goes_on_from_a_checkpoint(
    folder: Path, arrays: TokenArrays, tmp_path: Path
) -> None:
    training = TrainingRecipe(
        learning_rate=3e-3, epochs=12, batch_size=4, num_evals=2, checkpoint_minutes=0.0
    )
    adapter = AdapterRecipe(rank=8, alpha=16, dropout=0.1)
    recipe = resolve_test_recipe(Recipe(adapter=adapter, training=training))

    def go(name: str, stop_at: int) -> list[MetricLine]:
        lines: list[MetricLine] = []
        checkpoints = Checkpoints(tmp_path / name / "checkpoints")
        train_adapter(
            load_model(folder),
            arrays,
            arrays,
            recipe,
            adapter_folder=tmp_path / name / "adapter",
            on_line=lines.append,
            stop=lambda: bool(lines) and lines[-1].step >= stop_at,
            checkpointing=CheckpointConfig(checkpoints, lambda: {}, checkpoints.load_latest()),
        )
        return lines

    whole = go("whole", 1 << 30)
    cut = go("cut", 9) + go("cut", 1 << 30)
    steps, again = ([line.loss for line in lines if line.kind == "step"] for lines in (whole, cut))
    assert len(steps) == len(again) == 24
    assert steps[-1] < 0.8 * steps[0]
    assert again == pytest.approx(steps, rel=2e-2)  # sums of CUDA kernels have no fixed order


def test_dpo_shares_its_prompt(folder: Path, arrays: TokenArrays) -> None:
    pairs = replace(arrays, sequences_per_example=2, reference_S=np.zeros(8))
    loaded = load_model(folder, "float32")
    weights = scrambled(loaded, "lora")
    found = []
    for most in (1, 1 << 20):
        stepper = TrainingStep(loaded, Dpo(0.1), MemoryPlan(max_examples=most))
        loss = stepper.backward(pairs, range(4), 1)
        found.append((loss, {name: weight.grad.clone() for name, weight in weights.items()}))
        loaded.model.zero_grad(set_to_none=True)
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert difference(found[0][1], found[1][1]) < 1e-3


def test_greedy_answers_are_those_of_transformers(folder: Path) -> None:
    loaded, random = load_model(folder, "float32"), np.random.default_rng(0)
    head = random.integers(3, VOCABULARY, 60).tolist()
    prompts = [head + random.integers(3, VOCABULARY, k).tolist() for k in (1, 4, 9, 30, 31, 32)]
    ours = [answer.tokens for answer in Generator(loaded).generate(prompts, 24, {2})]
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).cuda()
    for prompt, mine in zip(prompts, ours, strict=True):
        tokens = torch.tensor([prompt], device="cuda")
        out = theirs.generate(
            tokens, do_sample=False, max_new_tokens=24, eos_token_id=2, pad_token_id=2
        )
        new = out[0, len(prompt) :].tolist()
        assert mine == (new[: new.index(2)] if 2 in new else new)


def test_the_plan_keeps_within_the_devices_memory(
    folder: Path, arrays: TokenArrays, recipe: Callable[..., Recipe]
) -> None:
    loaded = load_model(folder)
    scrambled(loaded, "lora")
    stepper = TrainingStep(loaded, Sft())
    given = recipe(batch_size=8).training
    wide = plan_memory(stepper, arrays, given, 0)
    assert wide.max_tokens >= 512 and not wide.checkpointing
    held = torch.cuda.memory_allocated()
    tight = plan_memory(
        stepper, arrays, given.model_copy(update={"memory_gb": (held + 5.5e6) / 0.9e9}), 0
    )
    assert tight.checkpointing or tight.max_tokens < wide.max_tokens
    stepper.set_plan(tight)
    torch.cuda.reset_peak_memory_stats()
    stepper.backward(arrays, range(len(arrays)), 1)
    assert torch.cuda.max_memory_allocated() - held < 5.5e6
    assert get_free_memory_bytes(loaded.device) < torch.cuda.get_device_properties(0).total_memory


def test_running_out_of_memory_halves_the_step(folder: Path, arrays_of: ArraysOf) -> None:
    random = np.random.default_rng(0)
    rows = [
        (random.integers(3, VOCABULARY, 300).tolist(), [0.0] * 100 + [1.0] * 200) for _ in range(32)
    ]
    arrays = arrays_of(rows)
    loaded = load_model(folder, "float32")
    weights = scrambled(loaded, "lora")
    expected = gradients(loaded, weights, arrays, as_forest=True)
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved() + (60 << 20)
    stepper = TrainingStep(loaded, Sft(), MemoryPlan(max_tokens=1 << 20))
    torch.cuda.set_per_process_memory_fraction(
        allowed / torch.cuda.get_device_properties(0).total_memory
    )
    try:
        loss = stepper.backward(arrays, range(len(arrays)), 1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert stepper.plan.max_examples < len(arrays)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    assert difference({name: weight.grad for name, weight in weights.items()}, expected[1]) < 1e-4


@pytest.mark.parametrize("shared", [0, 40, 150, 500])
def test_the_attention_kernel_is_the_rule(shared: int) -> None:
    """Many trees and one with a long trunk, in float32: the kernel's masks, not its rounding."""
    random = np.random.default_rng(shared)
    begin = random.integers(0, 99, shared)
    rows = [
        np.concatenate([begin, random.integers(0, 99, 20 + 37 * k)]).astype(np.int32)
        for k in range(9)
    ]
    forest = build_forest(rows)
    parts = [torch.from_numpy(random.standard_normal((len(forest), h, 64))) for h in (8, 2, 2)]
    ours, exact = (
        [x.to("cuda", dtype).requires_grad_() for x in parts]
        for dtype in (torch.float32, torch.float64)
    )
    upstream = torch.from_numpy(random.standard_normal((len(forest), 8, 64))).cuda()
    out = flex.attend(*ours, flex.ForestBlockMask(forest, torch.device("cuda")), 0.125)
    q, k, v = exact
    i, j = torch.arange(len(forest))[:, None], torch.arange(len(forest))[None, :]
    may = ((j <= i) & (i < torch.from_numpy(forest.end_N)[None, :])).cuda()
    k, v = k.repeat_interleave(4, 1), v.repeat_interleave(4, 1)
    scores = torch.einsum("ihd,jhd->hij", q * 0.125, k).masked_fill(~may, float("-inf"))
    expected = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-4)
    mine, theirs = (
        torch.autograd.grad(out, ours, upstream.float()),
        torch.autograd.grad(expected, exact, upstream),
    )
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)
