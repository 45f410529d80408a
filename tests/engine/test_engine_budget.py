"""The memory plan: found before step 1 on the longest examples, the same every time, and kept when
memory runs out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from tunesmith.engine import memory_plan as budget_module
from tunesmith.engine import training_step as step_module
from tunesmith.engine.adapters.lora import attach_lora, list_lora_parameters
from tunesmith.engine.batching import count_computed_tokens, sort_by_length_desc
from tunesmith.engine.memory import get_free_memory_bytes, get_used_memory_bytes, track_peak_memory
from tunesmith.engine.memory_plan import (
    MemoryRequest,
    find_plan,
    get_preferred_tokens,
    plan_memory,
    truncate_to_tail,
)
from tunesmith.engine.methods.dpo import Dpo
from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.prefix_forest import build_forest
from tunesmith.engine.training_step import TrainingStep
from tunesmith.errors import TrainingError
from tunesmith.records import MemoryPlan, Recipe, TokenArrays, TrainingRecipe
from tunesmith.records.recipe import CheckpointingChoice
from tunesmith.testing.rounding_tolerance import LOSS_TERMS, assert_close_within_rounding

CPU = torch.device("cpu")
Task = Callable[..., TokenArrays]
Rows = Callable[[list[tuple[list[int], list[float]]]], TokenArrays]


def unlike(lengths: Sequence[int], arrays_of: Rows) -> TokenArrays:
    """Examples that share nothing; the last quarter of each is trained."""
    return arrays_of(
        [
            ([100 * n, *range(length - 1)], [0.0] * (length - length // 4) + [1.0] * (length // 4))
            for n, length in enumerate(lengths, 1)
        ]
    )


class FakeTrial:
    """A machine on which `b` bytes a token are needed; checkpointing divides that by `saves`."""

    def __init__(self, b: float = 100, saves: float = 10, breaks_above: int = 1 << 60) -> None:
        self.b, self.saves, self.breaks_above = b, saves, breaks_above
        self.sizes: list[int] = []
        self.longest: list[int] = []
        self.checkpointing: list[bool] = []

    def __call__(self, arrays: TokenArrays, piece: Sequence[int], checkpointing: bool) -> int:
        tokens = count_computed_tokens(arrays, piece, as_forest=True)
        self.sizes.append(tokens)
        self.longest.append(int(np.diff(arrays.starts_S1).max()))
        self.checkpointing.append(checkpointing)
        if self.needs(tokens, checkpointing) > self.breaks_above:
            raise torch.OutOfMemoryError("simulated")
        return int(self.needs(tokens, checkpointing))

    def needs(self, tokens: int, checkpointing: bool) -> float:
        return (self.b / self.saves if checkpointing else self.b) * tokens


def wish_for(
    arrays: TokenArrays, batch_size: int = 16, preferred: int = 256, most: int | None = None
) -> MemoryRequest:
    steps = [
        list(range(len(arrays)))[b : b + batch_size] for b in range(0, len(arrays), batch_size)
    ]
    return MemoryRequest(arrays, steps, True, preferred, most)


def test_everything_fits_so_nothing_is_recomputed(arrays_of: Rows) -> None:
    trial = FakeTrial()
    plan = find_plan(wish_for(unlike([50] * 32, arrays_of)), trial, budget_bytes=10_000_000)
    assert (plan.max_tokens, plan.checkpointing) == (256, False)
    assert plan.bytes_per_token == 100
    assert not any(trial.checkpointing), "checkpointing is not even tried"


def test_pain_16_the_trials_are_on_the_longest_examples(arrays_of: Rows) -> None:
    """torchtune#1965, litgpt#592: memory ran out late, at the longest row."""
    lengths = [10] * 60 + [200] + [10] * 35
    trial = FakeTrial()
    find_plan(wish_for(unlike(lengths, arrays_of)), trial, budget_bytes=30_000)
    assert max(trial.longest) == 200


def test_half_the_memory_half_the_micro_batch(arrays_of: Rows) -> None:
    arrays = unlike([20] * 64, arrays_of)
    sizes = {
        budget: find_plan(wish_for(arrays), FakeTrial(), budget).max_tokens
        for budget in (30_000, 15_000, 6_500, 4000)
    }
    assert sizes == {30_000: 256, 15_000: 128, 6_500: 64, 4_000: 32}


def test_checkpointing_when_the_longest_example_needs_it(arrays_of: Rows) -> None:
    plan = find_plan(wish_for(unlike([20] * 63 + [200], arrays_of)), FakeTrial(), 10_000)
    assert plan.checkpointing and plan.max_tokens == 256


def test_checkpointing_when_cutting_would_compute_the_shared_beginning_again_and_again(
    arrays_of: Rows,
) -> None:
    beginning = list(range(100))
    rows = [([*beginning, 200 + n, 300 + n, 2], [0.0] * 102 + [1.0]) for n in range(16)]
    tight = FakeTrial()
    plan = find_plan(
        wish_for(arrays_of(rows)), tight, budget_bytes=12_000
    )  # 120 tokens: one or two examples
    assert plan.checkpointing and plan.max_tokens == 256


def test_smaller_micro_batches_rather_than_checkpointing_when_nothing_is_shared(
    arrays_of: Rows,
) -> None:
    plan = find_plan(wish_for(unlike([20] * 64, arrays_of)), FakeTrial(), budget_bytes=7_000)
    assert not plan.checkpointing and plan.max_tokens == 64


@pytest.mark.parametrize(("choice", "is_on"), [("on", True), ("off", False)])
def test_a_choice_of_the_recipe_is_kept_and_the_other_is_not_tried(
    arrays_of: Rows, choice: CheckpointingChoice, is_on: bool
) -> None:
    trial = FakeTrial()
    request = wish_for(unlike([20] * 64, arrays_of))
    plan = find_plan(replace(request, checkpointing=choice), trial, budget_bytes=7_000)
    assert plan.checkpointing == is_on and set(trial.checkpointing) == {is_on}
    assert plan.max_tokens == (256 if is_on else 64)


def test_without_checkpointing_a_long_example_does_not_fit_and_the_message_says_what_would(
    arrays_of: Rows,
) -> None:
    request = wish_for(unlike([20] * 63 + [200], arrays_of))
    assert find_plan(request, FakeTrial(), 10_000).checkpointing
    with pytest.raises(TrainingError) as caught:
        find_plan(replace(request, checkpointing="off"), FakeTrial(), 10_000)
    assert caught.value.code == "training/out-of-memory"
    assert caught.value.what == (
        "longest example does not fit into memory without gradient checkpointing"
    )
    assert caught.value.hint.startswith("set training.gradient_checkpointing=auto, ")


def test_checkpointing_that_the_model_lacks_is_refused_where_the_recipe_asks_for_it(
    tiny_folder: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = adapted(tiny_folder)
    stepper = TrainingStep(loaded, Sft())
    recipe = TrainingRecipe(gradient_checkpointing="on")
    assert plan_memory(stepper, task(16), recipe, 0).checkpointing
    monkeypatch.setattr(type(loaded.model), "supports_gradient_checkpointing", False)
    with pytest.raises(TrainingError) as caught:
        plan_memory(stepper, task(16), recipe, 0)
    assert caught.value.code == "training/no-checkpointing"


def test_adafactor_leaves_more_memory_for_the_step_than_adamw(
    tiny_folder: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_module, "get_used_memory_bytes", lambda device: 0)
    stepper = TrainingStep(adapted(tiny_folder), Sft())
    trained = list_lora_parameters(stepper.loaded.model)
    numbers = {
        "adamw": 2 * sum(weight.numel() for weight in trained),
        "adafactor": sum(sum(weight.shape) for weight in trained),  # a row and a column of each
    }
    for optimizer, stored in numbers.items():
        recipe = TrainingRecipe(memory_gb=4.0, optimizer=optimizer)
        plan = plan_memory(stepper, task(16), recipe, 0)
        assert plan.budget_bytes == 3_600_000_000 - 4 * stored


def test_a_long_example_that_never_fits_says_so_before_the_first_step(arrays_of: Rows) -> None:
    with pytest.raises(TrainingError) as caught:
        find_plan(wish_for(unlike([20] * 15 + [1000], arrays_of)), FakeTrial(saves=1.5), 20_000)
    assert caught.value.code == "training/out-of-memory"
    assert "999 tokens" in caught.value.got and "about 256 fit" in caught.value.got


def test_an_allocation_that_fails_in_a_trial_is_a_size_that_does_not_fit(arrays_of: Rows) -> None:
    plan = find_plan(
        wish_for(unlike([20] * 64, arrays_of)), FakeTrial(breaks_above=9_000), budget_bytes=1 << 40
    )
    assert plan.max_tokens == 64


def test_another_error_in_a_trial_is_not_taken_for_lack_of_memory(arrays_of: Rows) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        find_plan(wish_for(unlike([20] * 4, arrays_of)), broken, 1 << 40)


def test_larger_micro_batches_where_much_is_shared(arrays_of: Rows) -> None:
    beginning = list(range(200))
    rows = [
        ([*beginning, *range(1000 + 40 * n, 1040 + 40 * n)], [0.0] * 239 + [1.0]) for n in range(16)
    ]
    plan = find_plan(wish_for(arrays_of(rows)), FakeTrial(), 1 << 40)
    assert plan.max_tokens == 1024, "840 tokens at once instead of four times the beginning"


def test_what_the_recipe_says_about_the_micro_batch_holds(arrays_of: Rows) -> None:
    trial = FakeTrial()
    plan = find_plan(wish_for(unlike([100] * 16, arrays_of), most=8), trial, 1 << 40)
    assert plan.max_examples == 8 and plan.max_tokens == 1024
    assert max(trial.sizes) <= 800


@example(
    lengths=[198, 4, 4, 193], a=0, c=1.0, budget=58624
)  # two pieces: most tokens, longest sequence
@given(
    lengths=st.lists(st.integers(4, 300), min_size=1, max_size=24),
    a=st.integers(0, 5_000),
    c=st.sampled_from([0.0, 0.1, 1.0]),
    budget=st.integers(1_000, 200_000),
)
def test_no_micro_batch_of_any_step_needs_more_than_the_budget(
    lengths: list[int], a: int, c: float, budget: int
) -> None:
    """The quadratic part is of one sequence, as attention's is; a micro-batch has its tokens times
    its longest."""
    rows = [
        np.arange(1000 * n, 1000 * n + length, dtype=np.int32) for n, length in enumerate(lengths)
    ]
    ends = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    arrays = TokenArrays(np.concatenate(rows), np.ones(ends[-1], np.float32), ends)

    def trial(arrays: TokenArrays, piece: Sequence[int], checkpointing: bool) -> int:
        tokens = count_computed_tokens(arrays, piece, as_forest=True)
        longest = max(len(arrays.get_sequence(e)[0]) for e in piece)
        return int(a + tokens * (10 if checkpointing else 100) + c * tokens * longest)

    wish = wish_for(arrays, batch_size=8)
    try:
        plan = find_plan(wish, trial, budget)
    except TrainingError:
        longest = int(np.argmax(lengths))
        assert trial(arrays, [longest], True) > budget / 4.5, "there was room"
        return
    for step in wish.steps:
        for piece in wish.split_step(arrays, step, plan.max_tokens):
            assert trial(arrays, piece, plan.checkpointing) <= budget


def test_the_longest_example_is_the_one_of_which_most_is_read(arrays_of: Rows) -> None:
    """What stands behind the last trained token takes no memory; trials are made with what does."""
    rows = [
        ([*range(2, 202)], [0.0] * 20 + [1.0] + [0.0] * 179),
        ([*range(2, 102)], [0.0] * 99 + [1.0]),
    ]
    assert sort_by_length_desc(arrays_of(rows)) == [1, 0]
    with pytest.raises(TrainingError) as caught:
        find_plan(wish_for(arrays_of(rows)), FakeTrial(saves=1.0), budget_bytes=7_000)
    assert "99 tokens" in caught.value.got


def test_shortened_keeps_the_ends_and_something_to_learn(arrays_of: Rows) -> None:
    arrays = arrays_of([([1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 1, 1]), ([7, 8, 9, 10], [0, 1, 0, 0])])
    short = truncate_to_tail(arrays, [1, 0], 3)
    assert [short.get_sequence(s)[0].tolist() for s in range(2)] == [[7, 8], [3, 4, 5, 6]]
    assert [short.get_sequence(s)[1].tolist() for s in range(2)] == [[0, 1], [0, 0, 1, 1]]


@pytest.mark.parametrize("as_forest", [True, False])
def test_tokens_at_once_counts_what_is_computed(task: Task, as_forest: bool) -> None:
    arrays = task(12)
    wish = MemoryRequest(arrays, [list(range(12))], as_forest, 64)
    for piece in wish.split_step(arrays, range(12), 60):
        rows = [arrays.get_sequence(e)[0][:-1] for e in piece]
        counted = count_computed_tokens(arrays, piece, as_forest=as_forest)
        assert counted == (
            len(build_forest(rows, 1)) if as_forest else len(rows) * max(map(len, rows))
        )


# --- with a model


def adapted(folder: Path) -> LoadedModel:
    loaded = load_model(folder, "float32")
    torch.manual_seed(0)
    attach_lora(loaded.model, 4, 8, 0.1)
    return loaded


def test_a_trial_leaves_no_trace(tiny_folder: Path, task: Task) -> None:
    loaded = adapted(tiny_folder)
    stepper, arrays = TrainingStep(loaded, Sft()), task(8)
    stepper.measure_bytes(arrays, range(8), False)  # fills the cache of causal masks
    before = [weight.clone() for weight in loaded.model.parameters()]
    random = torch.get_rng_state()
    need = [stepper.measure_bytes(arrays, range(8), on) for on in (False, True, False, True)]
    assert need[0] == need[2] and need[1] == need[3], "the same work counts the same"
    assert need[0] > 0 and not loaded.model.training
    assert torch.equal(random, torch.get_rng_state())
    assert all(weight.grad is None for weight in loaded.model.parameters())
    for now, then in zip(loaded.model.parameters(), before, strict=True):
        assert torch.equal(now, then)


def test_the_same_training_has_the_same_plan(tiny_folder: Path, task: Task) -> None:
    recipe = TrainingRecipe(batch_size=8)
    plans = [
        plan_memory(TrainingStep(adapted(tiny_folder), Sft(), longest=20), task(32), recipe, 0)
        for _ in range(2)
    ]
    assert plans[0].model_copy(update={"budget_bytes": 0}) == plans[1].model_copy(
        update={"budget_bytes": 0}
    )
    assert (
        plans[0].max_tokens == get_preferred_tokens(adapted(tiny_folder))
        and not plans[0].checkpointing
    )


def test_a_model_without_forests_is_planned_by_its_padded_rows(
    tiny_folder: Path, task: Task
) -> None:
    stepper = TrainingStep(adapted(tiny_folder), Sft())
    stepper.no_forest_reason = "to see"
    assert plan_memory(stepper, task(32), TrainingRecipe(batch_size=8), 0).bytes_per_token > 0


def test_pairs_are_planned_too(tiny_folder: Path, arrays_of: Rows) -> None:
    single = arrays_of([([1, 5, 6, 7 + k], [0.0, 0.0, 0.0, 1.0]) for k in range(16)])
    pairs = TokenArrays(single.tokens_N, single.weights_N, single.starts_S1, 2)
    plan = plan_memory(
        TrainingStep(adapted(tiny_folder), Dpo(0.1)), pairs, TrainingRecipe(batch_size=4), 0
    )
    assert plan.bytes_per_token > 0


def deep(folder: Path) -> LoadedModel:
    """Six layers, so that keeping activations shows."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return adapted(folder)


def test_checkpointing_needs_less_and_gives_the_same_gradient(tmp_path: Path, task: Task) -> None:
    loaded, arrays = deep(tmp_path), task(8)
    loaded.model.eval()  # dropout would draw anew
    stepper = TrainingStep(loaded, Sft())
    plain, saving = (stepper.measure_bytes(arrays, range(8), on) for on in (False, True))
    assert saving < 0.6 * plain
    gradients = []
    for on in (False, True):
        stepper.set_plan(MemoryPlan(checkpointing=on))
        loaded.model.train()
        for layer in loaded.model.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        stepper.backward(arrays, range(8), 1)
        gradients.append(
            torch.cat([weight.grad.flatten() for weight in list_lora_parameters(loaded.model)])
        )
        loaded.model.zero_grad(set_to_none=True)
    assert_close_within_rounding(gradients[0], gradients[1])


def test_the_recipe_s_memory_decides(
    tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, arrays = deep(tmp_path), task(32)
    stepper = TrainingStep(loaded, Sft())
    monkeypatch.setattr(budget_module, "get_used_memory_bytes", lambda device: 0)
    roomy = plan_memory(stepper, arrays, TrainingRecipe(batch_size=32, memory_gb=10), 0)
    need = stepper.measure_bytes(arrays, range(32), False)
    tight = plan_memory(stepper, arrays, TrainingRecipe(batch_size=32, memory_gb=need / 3e9), 0)
    assert (roomy.max_tokens, roomy.checkpointing) == (get_preferred_tokens(loaded), False)
    assert tight.max_tokens < 256 or tight.checkpointing
    with pytest.raises(TrainingError, match="out-of-memory"):
        plan_memory(stepper, arrays, TrainingRecipe(batch_size=32, memory_gb=1e-6), 0)


# --- when memory runs out nevertheless


def run_out_above(
    examples: int, monkeypatch: pytest.MonkeyPatch, *, from_step: int = 1
) -> list[int]:
    """Simulate a machine that holds no more than this many examples at once from a step on."""
    original, sizes = step_module.collate, []
    steps = iter(range(1, 1 << 30))
    step = 0
    backward = TrainingStep.backward

    def counted(self: TrainingStep, *arguments: object) -> float:
        nonlocal step
        step = next(steps)
        return backward(self, *arguments)

    def collate(arrays: TokenArrays, piece: Sequence[int], *rest: object, **more: object) -> object:
        if step >= from_step and torch.is_grad_enabled():
            sizes.append(len(piece))
            if len(piece) > examples:
                raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return original(arrays, piece, *rest, **more)

    monkeypatch.setattr(TrainingStep, "backward", counted)
    monkeypatch.setattr(step_module, "collate", collate)
    return sizes


def train(
    folder: Path, task: Task, recipe: Callable[..., Recipe], out: Path
) -> tuple[list[float], MemoryPlan]:
    from tunesmith.engine.adapter_training import train_adapter

    lines = []
    loaded = load_model(folder, "float32")
    result = train_adapter(
        loaded,
        task(48),
        task(8, seed=1),
        recipe(batch_size=16),
        adapter_folder=out,
        on_line=lines.append,
    )
    assert result.plan is not None
    return [line.loss for line in lines], result.plan


def test_r8_halving_keeps_the_batch_the_order_and_the_schedule(
    tiny_folder: Path,
    task: Task,
    recipe: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, plan = train(tiny_folder, task, recipe, tmp_path / "plain")
    sizes = run_out_above(3, monkeypatch, from_step=2)
    halved, smaller = train(tiny_folder, task, recipe, tmp_path / "halved")
    assert max(sizes) == 16 and smaller.max_examples == 2 and plan.max_examples > 16
    assert len(halved) == len(plain)
    # every step starts from weights that differ by rounding of the steps before
    assert_close_within_rounding(halved, plain, LOSS_TERMS * len(plain))


def test_f17_with_one_example_left_activations_are_kept_no_longer(
    tiny_folder: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = adapted(tiny_folder)
    stepper, arrays = TrainingStep(loaded, Sft()), task(4)
    original = step_module.collate

    def collate(*arguments: object, **more: object) -> object:
        if not stepper.plan.checkpointing:
            raise torch.OutOfMemoryError("simulated")
        return original(*arguments, **more)

    monkeypatch.setattr(step_module, "collate", collate)
    loaded.model.train()
    assert stepper.backward(arrays, range(4), 1) > 0
    assert stepper.plan.checkpointing and stepper.plan.max_examples == 1


def test_checkpointing_that_is_off_stays_off_when_memory_runs_out(
    tiny_folder: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper = TrainingStep(adapted(tiny_folder), Sft(), may_checkpoint=False)

    def collate(*arguments: object, **more: object) -> object:
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(step_module, "collate", collate)
    with pytest.raises(TrainingError) as caught:
        stepper.backward(task(4), range(4), 1)
    assert caught.value.hint.endswith("set training.gradient_checkpointing=auto")
    assert not stepper.plan.checkpointing


def test_f17_an_allocation_beyond_the_address_space_is_out_of_memory() -> None:
    """On a CPU torch raises a RuntimeError whose text tells; nothing this large can be had."""
    from tunesmith.engine.memory import is_out_of_memory

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


# --- how much is free


def test_free_memory_is_what_the_machine_has_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("Memory", (), {"available": 5_000})()
    )
    assert get_free_memory_bytes(CPU, root=tmp_path) == 5_000


@pytest.mark.parametrize("version", [1, 2])
def test_a_control_group_leaves_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """The outer group is the tighter one; file cache that can be dropped counts as free."""
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("Memory", (), {"available": 5_000_000})()
    )
    (tmp_path / "proc/self").mkdir(parents=True)
    line = "0::/outer/inner" if version == 2 else "5:cpu,memory:/outer/inner"
    (tmp_path / "proc/self/cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    top = tmp_path / "sys/fs/cgroup" / ("" if version == 2 else "memory")
    names = (
        ("memory.max", "memory.current", "inactive_file")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    for folder, limit, used, cache in (
        ("outer", "9000", "4000", 1500),
        ("outer/inner", "max" if version == 2 else str(1 << 62), "3000", 0),
    ):
        (top / folder).mkdir(parents=True)
        (top / folder / names[0]).write_text(limit + "\n")
        (top / folder / names[1]).write_text(used + "\n")
        (top / folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cache}\n")
    assert get_free_memory_bytes(CPU, root=tmp_path) == 6_500


def test_counting_knows_what_is_held_at_once() -> None:
    with track_peak_memory(CPU) as most:
        kept = torch.zeros(1000)
        for _ in range(5):
            torch.zeros(3000)
        view = kept.view(10, 100)[2:]
        view += 1
    assert most() == int(1.4 * 4 * 4000)


def test_counting_sees_what_was_there_before_as_held() -> None:
    before = torch.zeros(100_000)
    with track_peak_memory(CPU) as most:
        before[::2].add_(1)
        before.view(-1)
    assert most() == 0
    assert get_used_memory_bytes(CPU) > 1e6
