"""LoRA layers and their files: what is refused, what is atomic, what switching off means."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tunesmith.engine.adapters import peft_format
from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.adapters.dora import DoraLinear
from tunesmith.engine.adapters.lora import (
    LoraLinear,
    attach_lora,
    disable_adapter,
    find_lora_layers,
    list_lora_parameters,
)
from tunesmith.engine.adapters.peft_format import CONFIG_FILE, WEIGHTS_FILE, write_adapter
from tunesmith.engine.adapters.target_modules import check_target_modules
from tunesmith.engine.kernels.shared_input import apply_to_shared_input
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.errors import ModelError
from tunesmith.models.derived_adapter_recipe import derive_adapter_recipe
from tunesmith.records import AdapterRecipe
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding


def logits(loaded: LoadedModel) -> Tensor:
    with torch.inference_mode():
        return loaded.model(input_ids=torch.arange(3, 13)[None]).logits


@pytest.fixture
def adapted(tiny: LoadedModel) -> LoadedModel:
    attach_lora(tiny.model, rank=4, alpha=8.0, dropout=0.0)
    with torch.no_grad():
        for weight in list_lora_parameters(tiny.model):
            weight.normal_(std=0.1)
    return tiny


@pytest.fixture
def saved(adapted: LoadedModel, tmp_path: Path) -> Path:
    write_adapter(adapted.model, tmp_path, "tiny")
    return tmp_path


@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6)])
@pytest.mark.parametrize("bias", [False, True])
def test_the_layer_and_its_gradients_are_those_of_the_formula(
    shape: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(0)
    frozen = torch.nn.Linear(6, 7, bias=bias).requires_grad_(False)
    layer = LoraLinear(frozen, rank=3, alpha=5.0, dropout=0.0)
    torch.nn.init.normal_(layer.lora_B)
    A, B = (weight.detach().clone().requires_grad_() for weight in (layer.lora_A, layer.lora_B))
    x, upstream = torch.randn(shape, requires_grad=True), torch.randn(*shape[:-1], 7)
    plain_x = x.detach().clone().requires_grad_()
    expected = frozen(plain_x) + (5.0 / 3) * (plain_x @ A.T @ B.T)
    torch.testing.assert_close(layer(x), expected)
    layer(x).backward(upstream)
    expected.backward(upstream)
    for ours, theirs in ((x, plain_x), (layer.lora_A, A), (layer.lora_B, B)):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_bfloat16_computation_keeps_float32_weights_and_gradients(tiny_folder: Path) -> None:
    loaded = load_model(tiny_folder, "bfloat16")
    attach_lora(loaded.model, rank=4, alpha=8.0, dropout=0.0)
    loaded.model(input_ids=torch.arange(3, 13)[None]).logits.float().sum().backward()
    for weight in list_lora_parameters(loaded.model):
        assert weight.dtype == weight.grad.dtype == torch.float32


def test_a_fresh_adapter_changes_nothing(tiny: LoadedModel) -> None:
    base = logits(tiny)
    attach_lora(tiny.model, rank=4, alpha=8.0, dropout=0.0)
    assert torch.equal(logits(tiny), base)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fresh_adapter_on_a_layer_with_a_bias_changes_no_bit(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(32, 48, dtype=dtype)
    layer.bias.data.mul_(100)
    adapted = LoraLinear(layer, 4, 8.0, 0.0)
    x = torch.randn(2, 5, 32, dtype=dtype)
    assert torch.equal(adapted(x), layer(x))


def test_off_is_the_base_and_on_comes_back(
    tiny: LoadedModel, adapted: LoadedModel, tiny_folder: Path
) -> None:
    tuned = logits(adapted)
    with pytest.raises(ZeroDivisionError), disable_adapter(adapted.model):
        assert torch.equal(logits(adapted), logits(load_model(tiny_folder, "float32")))
        raise ZeroDivisionError
    assert torch.equal(logits(adapted), tuned)
    assert not torch.allclose(tuned, logits(load_model(tiny_folder, "float32")), atol=1e-2)


def test_dropout_acts_in_training_only(tiny: LoadedModel) -> None:
    attach_lora(tiny.model, rank=4, alpha=8.0, dropout=0.5)
    for layer in find_lora_layers(tiny.model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    assert torch.equal(logits(tiny), logits(tiny))
    tiny.model.train()
    assert not torch.equal(logits(tiny), logits(tiny))


def test_a_second_adapter_is_refused(adapted: LoadedModel) -> None:
    with pytest.raises(ModelError) as caught:
        attach_lora(adapted.model, rank=4, alpha=8.0, dropout=0.0)
    assert caught.value.code == "model/adapter-attached"


def test_written_and_read_back_to_the_bit(
    adapted: LoadedModel, saved: Path, tiny_folder: Path
) -> None:
    again = load_model(tiny_folder, "float32", saved)
    assert torch.equal(logits(again), logits(adapted))
    assert again.parameters == adapted.parameters, (
        "the adapter does not count as the model's own parameters"
    )


def test_a_write_that_fails_leaves_the_adapter_before_it(
    adapted: LoadedModel, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (saved / WEIGHTS_FILE).read_bytes()

    def disk_full(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(peft_format, "save_file", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_adapter(adapted.model, saved, "tiny")
    assert (saved / WEIGHTS_FILE).read_bytes() == before
    assert sorted(path.name for path in saved.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "IA3"},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"use_qalora": True},
        {"alpha_pattern": {".*q_proj": 2}},
        {"init_lora_weights": "pissa_niter_4"},
    ],
)
def test_pain_8_an_adapter_that_could_not_be_applied_exactly_is_refused(
    tiny_folder: Path, saved: Path, change: dict[str, object]
) -> None:
    config = json.loads((saved / CONFIG_FILE).read_text()) | change
    (saved / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        load_model(tiny_folder, "float32", saved)
    assert (
        caught.value.code == "model/adapter-unsupported" and next(iter(change)) in caught.value.got
    )


def change_tensors(folder: Path, change: dict[str, Tensor | None]) -> None:
    tensors = load_file(folder / WEIGHTS_FILE) | change
    save_file(
        {name: value for name, value in tensors.items() if value is not None}, folder / WEIGHTS_FILE
    )


def test_a_dora_adapter_without_its_lengths_is_refused(tiny_folder: Path, saved: Path) -> None:
    config = json.loads((saved / CONFIG_FILE).read_text()) | {"use_dora": True}
    (saved / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        load_model(tiny_folder, "float32", saved)
    assert (
        caught.value.code == "model/adapter-unsupported"
        and "lora_magnitude_vector" in caught.value.got
    )


LAYER = "base_model.model.model.layers.1.mlp.up_proj"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({f"{LAYER}.lora_A.weight": None}, "adapter-unsupported"),
        ({f"{LAYER}.lora_magnitude_vector": torch.ones(3)}, "adapter-unsupported"),
        ({f"{LAYER}.lora_A.weight": torch.ones(4, 31)}, "adapter-misfit"),
        (
            {
                "base_model.model.other.lora_A.weight": torch.ones(4, 3),
                "base_model.model.other.lora_B.weight": torch.ones(3, 4),
            },
            "adapter-misfit",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused_not_skipped(
    tiny_folder: Path, saved: Path, change: dict[str, Tensor | None], code: str
) -> None:
    change_tensors(saved, change)
    with pytest.raises(ModelError) as caught:
        load_model(tiny_folder, "float32", saved)
    assert caught.value.code == f"model/{code}"


def test_an_adapter_on_some_layers_only_is_read(tiny_folder: Path, saved: Path) -> None:
    change_tensors(saved, {f"{LAYER}.lora_A.weight": None, f"{LAYER}.lora_B.weight": None})
    loaded = load_model(tiny_folder, "float32", saved)
    assert len(find_lora_layers(loaded.model)) == 13


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_a_damaged_adapter_is_one_clear_error(
    tiny_folder: Path, saved: Path, file: str, damage: str
) -> None:
    path = saved / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelError) as caught:
        load_model(tiny_folder, "float32", saved)
    assert str(saved) in caught.value.at


@pytest.mark.parametrize("change", ["off", "dropout", "dora", "plain"])
def test_layers_that_cannot_be_asked_together_are_asked_alone(change: str) -> None:
    torch.manual_seed(0)
    x, frozen = torch.randn(2, 6), [nn.Linear(6, 3).requires_grad_(False) for _ in range(2)]
    layers: list[nn.Module] = [LoraLinear(frozen[0], 2, 4.0, 0.0)]
    layers.append(
        frozen[1]
        if change == "plain"
        else (
            DoraLinear(frozen[1], 2, 4.0, 0.0)
            if change == "dora"
            else LoraLinear(frozen[1], 2, 4.0, 0.5 if change == "dropout" else 0.0).train()
        )
    )
    for layer in layers:
        if isinstance(layer, LoraLinear):
            nn.init.normal_(layer.lora_B)
    if change == "off":
        layers[1].is_on = False
    torch.manual_seed(1)
    alone = [layer(x) for layer in layers]
    torch.manual_seed(1)
    for mine, theirs in zip(apply_to_shared_input(layers, x), alone, strict=True):
        assert torch.equal(mine, theirs)
    assert change != "off" or torch.equal(alone[1], frozen[1](x))


@pytest.mark.parametrize("are_alike", [True, False])
def test_layers_that_read_the_same_are_what_they_are_alone(are_alike: bool) -> None:
    """Together, by the formula written down, with a bias and ranks of their own; unlike scales are
    not joined."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    layers = []
    for rank, outputs in ((2, 3), (3, 4), (1, 7)):
        frozen = nn.Linear(6, outputs, bias=outputs != 3).double().requires_grad_(False)
        layers.append(
            LoraLinear(frozen, rank, 2.0 * (rank if are_alike else 1), 0.0, dtype=torch.float64)
        )
        nn.init.normal_(layers[-1].lora_B)
    weights = [weight for layer in layers for weight in (layer.lora_A, layer.lora_B)]
    expected = [
        layer.frozen(x) + layer.scaling * (x @ layer.lora_A.T @ layer.lora_B.T) for layer in layers
    ]
    ups = [torch.randn_like(y) for y in expected]
    joined = apply_to_shared_input(layers, x)
    assert (len({y.grad_fn for y in joined}) == 1) == are_alike
    for mine, theirs in zip(joined, expected, strict=True):
        assert_close_within_rounding(mine, theirs)
    found, wanted = (torch.autograd.grad(ys, [x, *weights], ups) for ys in (joined, expected))
    for mine, theirs in zip(found, wanted, strict=True):
        assert_close_within_rounding(mine, theirs)


def test_stacked_experts_are_counted_as_weights_without_a_layer() -> None:
    from transformers import AutoModelForCausalLM, Qwen3MoeConfig

    from tunesmith.engine.adapters.linear_layers import count_stacked_weights

    config = Qwen3MoeConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        moe_intermediate_size=8,
        num_experts=4,
        num_experts_per_tok=2,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    model = AutoModelForCausalLM.from_config(config)
    experts = 2 * 4 * (2 * 8 * 16 + 16 * 8)  # layers, experts, gate and up, down
    assert count_stacked_weights(model) == (
        experts,
        sum(weight.numel() for weight in model.parameters()),
    )


@pytest.mark.parametrize(
    ("targets", "got", "advice"),
    [
        (("q_proj", "v_prj"), "v_prj", "did you mean v_proj? "),
        (("lm_head",), "lm_head", ""),  # the output head is not adapted
        (("proj",), "proj", "did you mean "),  # only whole parts of a name count
    ],
)
def test_a_target_that_names_no_linear_layer_is_refused_with_those_of_the_model(
    tiny_folder: Path, targets: tuple[str, ...], got: str, advice: str
) -> None:
    with pytest.raises(ModelError) as caught:
        check_target_modules(tiny_folder, targets)
    assert (caught.value.code, caught.value.got) == ("model/unknown-target-module", got)
    layers = "this model has: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    assert caught.value.hint.startswith(advice) and caught.value.hint.endswith(layers)


def test_targets_of_the_model_pass_the_check(tiny_folder: Path) -> None:
    check_target_modules(tiny_folder, "all-linear")
    check_target_modules(tiny_folder, ("q_proj", "model.layers.1.mlp.up_proj", "mlp.down_proj"))


@pytest.mark.parametrize("first", [True, False])
def test_layers_without_an_adapter_may_read_the_same_input(first: bool) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(6, 7).requires_grad_(False)
    adapted = LoraLinear(torch.nn.Linear(6, 5).requires_grad_(False), 3, 5.0, 0.0)
    torch.nn.init.normal_(adapted.lora_B)
    layers = [adapted, plain] if first else [plain, adapted]
    x = torch.randn(2, 4, 6, requires_grad=True)
    together = apply_to_shared_input(layers, x)
    sum(y.sum() for y in together).backward()
    together_grads = [x.grad, adapted.lora_A.grad, adapted.lora_B.grad]
    x.grad = adapted.lora_A.grad = adapted.lora_B.grad = None
    alone = [layer(x) for layer in layers]
    sum(y.sum() for y in alone).backward()
    for ours, theirs in zip(together, alone, strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(
        together_grads, [x.grad, adapted.lora_A.grad, adapted.lora_B.grad], strict=True
    ):
        assert torch.equal(ours, theirs)


def test_chosen_layers_alone_are_trained_and_read_back_as_a_recipe(
    tiny: LoadedModel, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = AdapterRecipe(rank=4, alpha=8.0, target_modules=("v_proj", "q_proj"))
    weights = build_trainable(tiny, recipe).get_weights()
    assert {name.split(".")[-2] for name in weights} == {"q_proj", "v_proj"}
    write_adapter(tiny.model, tmp_path, "tiny")
    assert derive_adapter_recipe(tmp_path) == recipe.replace(target_modules=("q_proj", "v_proj"))
