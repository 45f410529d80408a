"""Each method's loss is its formula, which neither forests nor adapters change; the reference is
asked once."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from tunesmith.engine import adapter_training, training_step
from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.checkpoint import Checkpoints
from tunesmith.engine.checkpointer import CheckpointConfig
from tunesmith.engine.methods.kto import build_mismatched
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.engine.methods.training_method import StepTotals, TokenLogprobs, prepare_arrays
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.reference_logprobs import (
    compute_reference_logps,
    with_reference_logps,
)
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import (
    AdapterRecipe,
    DpoRecipe,
    KtoRecipe,
    MemoryPlan,
    MetricLine,
    OrpoRecipe,
    Recipe,
    ResolvedRecipe,
    SimpoRecipe,
    TokenArrays,
    TrainingRecipe,
)
from tunesmith.testing.adapter_recipes import build_adapter_recipe
from tunesmith.testing.method_conformance import MethodConformance
from tunesmith.testing.resolved_recipes import resolve_test_recipe
from tunesmith.testing.rounding_tolerance import LOSS_TERMS, assert_close_within_rounding

VOCABULARY = 64
RECIPES = {
    "sft": Recipe(),
    "dpo": Recipe(method="dpo", dpo=DpoRecipe(beta=0.3)),
    "ipo": Recipe(method="dpo", dpo=DpoRecipe(beta=0.3, loss="ipo")),
    "orpo": Recipe(method="orpo", orpo=OrpoRecipe(beta=0.4)),
    "simpo": Recipe(method="simpo", simpo=SimpoRecipe(beta=2.5, margin=0.7)),
    "kto": Recipe(
        method="kto", kto=KtoRecipe(beta=0.2, desirable_weight=1.0, undesirable_weight=1.4)
    ),
}
EVERY_METHOD = pytest.mark.parametrize("name", RECIPES)


def preferences(name: str, examples: int = 8, seed: int = 0) -> TokenArrays:
    """A shared system prompt, questions that come twice, two answers to each; their first answers
    alone for SFT, both as rated answers for KTO."""
    random = np.random.default_rng(seed)
    tokens, weights = [], []
    system = [1, *range(10, 34)]
    for number in range(examples):
        question = [3, *np.random.default_rng(number // 2).integers(34, VOCABULARY, 12).tolist(), 4]
        for _ in range(2):
            answer = [*random.integers(10, VOCABULARY, random.integers(1, 9)).tolist(), 2]
            tokens.append([*system, *question, *answer])
            weights.append([0.0] * (len(system) + len(question)) + [1.0] * len(answer))
    if name == "sft":
        tokens, weights = tokens[::2], weights[::2]
    return TokenArrays(
        np.concatenate(tokens).astype(np.int32),
        np.concatenate(weights).astype(np.float32),
        np.cumsum([0, *map(len, tokens)]).astype(np.int64),
        sequences_per_example=1 if name in ("sft", "kto") else 2,
        columns_E={"is_desirable": np.arange(len(tokens)) % 2 == 0} if name == "kto" else {},
    )


# -- the formulas
# --------------------------------------------------------------------------------------------------


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def odds(mean: float) -> float:
    return math.log(math.exp(mean) / (1 - math.exp(mean)))


def formula(
    name: str, logps: list[float], counts: list[float], ref: list[float], kl: float
) -> float:
    """The loss of two examples, written down a second time, in plain Python."""
    c, r = logps[0::2], logps[1::2]
    pairs = range(len(c))
    ratio = [p - q for p, q in zip(logps, ref, strict=True)]
    mean = [p / n for p, n in zip(logps, counts, strict=True)]
    if name == "sft":
        return -sum(logps) / sum(counts)
    if name == "dpo":
        return -sum(
            math.log(sigmoid(0.3 * (ratio[2 * k] - ratio[2 * k + 1]))) for k in pairs
        ) / len(c)
    if name == "ipo":
        per_token = [x / n for x, n in zip(ratio, counts, strict=True)]
        return sum((per_token[2 * k] - per_token[2 * k + 1] - 1 / 0.6) ** 2 for k in pairs) / len(c)
    if name == "simpo":
        return -sum(
            math.log(sigmoid(2.5 * (mean[2 * k] - mean[2 * k + 1]) - 0.7)) for k in pairs
        ) / len(c)
    if name == "orpo":
        against = sum(
            math.log(sigmoid(odds(mean[2 * k]) - odds(mean[2 * k + 1]))) for k in pairs
        ) / len(c)
        return -sum(c) / sum(counts[0::2]) - 0.4 * against
    wanted = sum(1 - sigmoid(0.2 * (x - kl)) for x in ratio[0::2])
    unwanted = sum(1.4 * (1 - sigmoid(0.2 * (kl - x))) for x in ratio[1::2])
    assert len(r) == len(c)
    return (wanted + unwanted) / len(logps)


def conformance_of(name: str) -> type[MethodConformance]:
    """A test class for the method of one recipe."""
    make = {"make_method": lambda self: build_method(RECIPES[name]), "__test__": True}
    if name == "kto":
        make["context"] = 0.7  # its estimate of the divergence, in nats
    return type(f"Test{name.capitalize()}", (MethodConformance,), make)


TestSft, TestDpo, TestIpo, TestOrpo, TestSimpo, TestKto = map(conformance_of, RECIPES)


def logprobs_of(
    logps: Tensor, counts: Tensor, reference: Tensor | None = None, desirable: Sequence[bool] = ()
) -> TokenLogprobs:
    """Answers of one token each, whose weight is the number of tokens that it stands for."""
    columns_E = {"is_desirable": torch.tensor(desirable)} if desirable else {}
    n = len(logps)
    return TokenLogprobs(
        logps / counts, counts, torch.arange(n), n, reference_S=reference, columns_E=columns_E
    )


nats = st.lists(st.floats(-40, -0.1), min_size=4, max_size=4)


@EVERY_METHOD
@given(
    logps=nats,
    ref=nats,
    counts=st.lists(st.integers(1, 20), min_size=4, max_size=4),
    kl=st.floats(0, 5),
)
def test_a_loss_is_its_formula(
    name: str, logps: list[float], ref: list[float], counts: list[int], kl: float
) -> None:
    method = build_method(RECIPES[name])
    exact = {"dtype": torch.float64}
    scores = logprobs_of(
        torch.tensor(logps, **exact),
        torch.tensor(counts, **exact),
        torch.tensor(ref, **exact),
        [True, False, True, False],
    )
    firsts = counts[:: method.sequences_per_example]
    totals = StepTotals(
        examples=4 // method.sequences_per_example, weight=float(sum(firsts)), context=kl
    )
    expected = formula(name, logps, [float(n) for n in counts], ref, kl)
    assert float(method.compute_loss(scores, totals)) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


def test_orpo_stays_finite_when_an_answer_is_certain() -> None:
    logps = torch.tensor([0.0, -30.0], requires_grad=True)
    loss = build_method(RECIPES["orpo"]).compute_loss(
        logprobs_of(logps, torch.ones(2)), StepTotals(1, 1.0)
    )
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logps.grad).all()


@pytest.mark.parametrize(
    ("name", "logps", "won"),
    [
        (
            "dpo",
            [-1.0, -5.0, -9.0, -2.0],
            [True, False],
        ),  # references -2, -2, -8, -2: gains 1 to -3, -1 to 0
        ("simpo", [-1.0, -5.0, -9.0, -2.0], [True, False]),
        ("kto", [-1.0, -5.0, -9.0, -2.0], [True, True, False, True]),
    ],
)
def test_an_example_is_won_when_its_side_gained(
    name: str, logps: list[float], won: list[bool]
) -> None:
    scores = logprobs_of(
        torch.tensor(logps),
        torch.ones(4),
        torch.tensor([-2.0, -2.0, -8.0, -2.0]),
        [True, False, True, False],
    )
    is_won_E = build_method(RECIPES[name]).is_preferred_E(scores, StepTotals(4, 4.0, context=0.5))
    assert is_won_E is not None and is_won_E.tolist() == won
    assert build_method(RECIPES["sft"]).is_preferred_E(scores, StepTotals(4, 4.0)) is None


# -- one example at a time, or forests
# ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=256,
        initializer_range=0.2,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("gpt2")
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def exact_model(folder: Path, kind: str = "lora") -> LoadedModel:
    """In float64, with an adapter that does something."""
    loaded = load_model(folder, "float32")
    loaded = replace(loaded, model=loaded.model.double(), dtype=torch.float64)
    torch.manual_seed(1)
    trained = build_trainable(loaded, build_adapter_recipe(kind, rank=4, alpha=8.0))
    with torch.no_grad():
        for weight in trained.get_weights().values():
            weight.add_(0.1 * torch.randn_like(weight) if kind != "full" else 0.0)
    return loaded


def with_some_reference(arrays: TokenArrays, seed: int = 0) -> TokenArrays:
    """Numbers that stand for a reference model: below what the model says, so that KTO's estimate
    is above 0."""
    random = np.random.default_rng(seed)
    sizes = np.add.reduceat(arrays.weights_N, arrays.starts_S1[:-1])
    return replace(
        arrays,
        reference_S=-5.0 * sizes * random.uniform(0.8, 1.2, len(sizes)),
        extras={
            name: with_some_reference(extra, seed + 1) for name, extra in arrays.extras.items()
        },
    )


def gradient(
    loaded: LoadedModel, stepper: TrainingStep, arrays: TokenArrays
) -> tuple[float, torch.Tensor]:
    loaded.model.zero_grad(set_to_none=True)
    loss = stepper.backward(arrays, range(len(arrays)), 1)
    grads = [weight.grad for weight in loaded.model.parameters() if weight.requires_grad]
    return loss, torch.cat([grad.flatten() for grad in grads if grad is not None])


def assert_forests_change_nothing(loaded: LoadedModel, name: str) -> None:
    method = build_method(RECIPES[name])
    arrays = with_some_reference(prepare_arrays(method, preferences(name)))
    together = TrainingStep(loaded, method)
    alone = TrainingStep(loaded, method, MemoryPlan(max_examples=1))
    alone.no_forest_reason = "to compare"
    assert together.no_forest_reason is None
    if name == "kto":
        assert together._compute_totals(arrays, range(len(arrays)), together).context > 0.5
    (loss, forest), (other, single) = (
        gradient(loaded, together, arrays),
        gradient(loaded, alone, arrays),
    )
    assert loss == pytest.approx(other, rel=1e-9)
    assert float((forest - single).norm() / single.norm()) < 1e-9
    assert float(single.norm()) > 1e-6


@EVERY_METHOD
def test_forest_gradients_are_those_of_one_example_at_a_time(gpt2_folder: Path, name: str) -> None:
    """float64, 1e-9 relative: a pair shares its prompt, and all share the system prompt."""
    assert_forests_change_nothing(exact_model(gpt2_folder), name)


@pytest.mark.parametrize("kind", ["rslora", "dora", "full"])
@pytest.mark.parametrize("name", ["sft", "dpo", "kto"])
def test_forest_gradients_are_exact_for_every_adapter(
    gpt2_folder: Path, kind: str, name: str
) -> None:
    assert_forests_change_nothing(exact_model(gpt2_folder, kind), name)


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_forest_gradients_are_exact_for_llama(tiny_folder: Path, name: str) -> None:
    assert_forests_change_nothing(exact_model(tiny_folder), name)


def recipe_for(name: str, **training: object) -> ResolvedRecipe:
    settings = {"learning_rate": 2e-3, "epochs": 5.0, "batch_size": 4, "num_evals": 1} | training
    adapter, trained = AdapterRecipe(rank=4, alpha=8.0), TrainingRecipe(**settings)
    return resolve_test_recipe(RECIPES[name].replace(adapter=adapter, training=trained))


def train(
    folder: Path, name: str, out: Path, **options: object
) -> tuple[list[MetricLine], LoadedModel]:
    loaded, lines = load_model(folder, "float32"), []
    recipe = options.pop("recipe", None) or recipe_for(name, epochs=10.0 if name != "kto" else 5.0)
    train_adapter(
        loaded,
        preferences(name),
        preferences(name, 4, seed=9),
        recipe,
        adapter_folder=out,
        on_line=lines.append,
        **options,
    )
    return lines, loaded


@EVERY_METHOD
def test_loss_curves_with_and_without_forests_coincide(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """20 steps in float32."""
    with_forests, _ = train(tiny_folder, name, tmp_path / "forest")
    monkeypatch.setattr(training_step, "find_no_forest_reason", lambda *_: "to compare")
    without, _ = train(tiny_folder, name, tmp_path / "rows")
    assert [line.kind for line in with_forests].count("step") == 20
    losses, expected = ([line.loss for line in lines] for lines in (with_forests, without))
    assert_close_within_rounding(losses, expected, LOSS_TERMS * len(expected))
    losses = [line.loss for line in with_forests if line.kind == "step"]
    assert losses[-1] < losses[0]


# -- the reference model
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lora", "dora", "full"])
def test_before_step_1_the_model_is_its_reference(
    tiny_folder: Path, tmp_path: Path, kind: str
) -> None:
    """With dropout in the recipe too: the reference is asked without it."""
    adapter = build_adapter_recipe(kind, rank=4, dropout=0.3)
    recipe = recipe_for("dpo").model_copy(update={"adapter": adapter})
    lines, _ = train(tiny_folder, "dpo", tmp_path, recipe=recipe)
    assert lines[0].kind == "validation" and lines[0].loss is not None
    assert_close_within_rounding(lines[0].loss, math.log(2), LOSS_TERMS)
    assert lines[-1].reward_accuracy is not None and lines[-1].loss != lines[0].loss


def test_training_on_pairs_wins_them(tiny_folder: Path, tmp_path: Path) -> None:
    loaded, lines, arrays = load_model(tiny_folder, "float32"), [], preferences("dpo")
    recipe = recipe_for("dpo", epochs=20.0)
    train_adapter(loaded, arrays, arrays, recipe, adapter_folder=tmp_path, on_line=lines.append)
    assert lines[-1].reward_accuracy == 1.0 and lines[-1].loss < 0.3 * math.log(2)


def test_reference_and_estimate_are_made_without_dropout(gpt2_folder: Path) -> None:
    loaded = load_model(gpt2_folder, "float32")
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    arrays = preferences("kto")
    stepper = TrainingStep(loaded, build_method(RECIPES["kto"]))
    expected = stepper.compute_sequence_logps(arrays, range(len(arrays)))
    loaded.model.train()
    assert torch.equal(stepper.compute_sequence_logps(arrays, range(len(arrays))), expected)
    assert loaded.model.training


def test_reference_logps_are_in_the_order_of_the_data(tiny: LoadedModel) -> None:
    arrays = preferences("dpo", 6)
    told: list[tuple[int, int]] = []
    stepper = TrainingStep(tiny, build_method(RECIPES["dpo"]))
    logps = compute_reference_logps(
        stepper, {"train": arrays}, lambda _, done, of: told.append((done, of)), lambda: False
    )
    assert logps is not None and told == [(6, 6)]
    for s in range(12):
        tokens_T, weights_T = arrays.get_sequence(s)
        with torch.no_grad():
            logits_TV = (
                tiny.model(torch.from_numpy(tokens_T).long()[None]).logits[0, :-1].log_softmax(-1)
            )
        each_T = logits_TV.gather(1, torch.from_numpy(tokens_T[1:, None]).long())[:, 0]
        assert_close_within_rounding(
            float(logps["train"][s]), float(each_T[weights_T[1:] > 0].sum())
        )


def test_kto_estimates_how_far_the_model_is_from_its_reference(tiny: LoadedModel) -> None:
    method = build_method(RECIPES["kto"])
    arrays = prepare_arrays(method, preferences("kto"))
    stepper = TrainingStep(tiny, method)
    logps = compute_reference_logps(stepper, {"train": arrays}, lambda *_: None, lambda: False)
    assert logps is not None and set(logps) == {"train", "train/mismatched"}
    same = with_reference_logps("train", arrays, logps)
    # a difference of two log-probabilities of whole answers: their size counts, not its own
    largest = float(np.abs(logps["train"]).max())
    assert_close_within_rounding(
        stepper._compute_totals(same, [0, 3], stepper).context, 0.0, LOSS_TERMS, scale=largest
    )
    lower = {name: values - torch.arange(len(values)) for name, values in logps.items()}
    moved = with_reference_logps("train", arrays, lower)
    assert_close_within_rounding(
        stepper._compute_totals(moved, [1, 6], stepper).context, 3.5, LOSS_TERMS, scale=largest
    )
    higher = {name: values + 1 for name, values in logps.items()}
    assert (
        stepper._compute_totals(
            with_reference_logps("train", arrays, higher), [1, 6], stepper
        ).context
        == 0
    )


@given(
    prompts=st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=3), min_size=1, max_size=12)
)
def test_mismatched_answers_belong_to_another_prompt(prompts: list[list[int]]) -> None:
    rows = [[*prompt, 10 + number, 2] for number, prompt in enumerate(prompts)]
    arrays = TokenArrays(
        np.concatenate(rows).astype(np.int32),
        np.concatenate([[0.0] * len(prompt) + [1.0, 1.0] for prompt in prompts]).astype(np.float32),
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
    )
    beside, longest = build_mismatched(arrays), max(map(len, rows))
    for number, prompt in enumerate(prompts):
        tokens_T, weights_T = beside.get_sequence(number)
        assert tokens_T[: len(prompt)].tolist() == prompt and len(tokens_T) <= longest
        assert weights_T.tolist() == [0.0] * len(prompt) + [1.0] * (len(tokens_T) - len(prompt))
        other = int(tokens_T[len(prompt)]) - 10
        assert prompts[other] != prompt or len({tuple(p) for p in prompts}) == 1


def test_asked_to_stop_while_the_reference_is_asked(tiny_folder: Path, tmp_path: Path) -> None:
    loaded, lines = load_model(tiny_folder, "float32"), []
    result = train_adapter(
        loaded,
        preferences("dpo"),
        preferences("dpo"),
        recipe_for("dpo"),
        adapter_folder=tmp_path / "adapter",
        on_line=lines.append,
        stop=lambda: True,
    )
    assert (result.status, result.steps, lines) == ("interrupted", 0, []) and not (
        tmp_path / "adapter"
    ).exists()


@pytest.mark.parametrize(("name", "kind"), [("dpo", "lora"), ("kto", "lora"), ("dpo", "full")])
def test_pain_18_a_resumed_training_has_the_same_reference(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """Bit by bit the same losses, and the reference is not asked again: with full fine-tuning it is
    gone by then."""
    adapter = AdapterRecipe(kind="full") if kind == "full" else AdapterRecipe(rank=4, dropout=0.1)
    recipe = recipe_for(name, epochs=3.0, checkpoint_minutes=0).model_copy(
        update={"adapter": adapter}
    )
    whole, _ = train(tiny_folder, name, tmp_path / "whole", recipe=recipe)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    cut: list[MetricLine] = []
    arrays = preferences(name), preferences(name, 4, seed=9)
    first = train_adapter(
        load_model(tiny_folder, "float32"),
        *arrays,
        recipe,
        adapter_folder=tmp_path / "cut",
        on_line=cut.append,
        stop=lambda: bool(cut) and cut[-1].step == 3,
        checkpointing=CheckpointConfig(checkpoints),
    )
    assert first.status == "interrupted"

    def asked_again(*_: object) -> None:
        raise AssertionError("the reference was asked again")

    monkeypatch.setattr(adapter_training, "compute_reference_logps", asked_again)
    train_adapter(
        load_model(tiny_folder, "float32"),
        *arrays,
        recipe,
        adapter_folder=tmp_path / "cut",
        on_line=cut.append,
        checkpointing=CheckpointConfig(checkpoints, resume_from=checkpoints.load_latest()),
    )
    assert [line.loss for line in cut] == [line.loss for line in whole]


def test_tokens_of_both_answers_are_counted(tiny_folder: Path, tmp_path: Path) -> None:
    arrays = preferences("dpo")
    lines, _ = train(tiny_folder, "dpo", tmp_path, recipe=recipe_for("dpo", epochs=1.0))
    assert lines[-1].tokens_read == len(arrays.tokens_N)
    assert lines[-1].tokens_trained == int((arrays.weights_N > 0).sum())
