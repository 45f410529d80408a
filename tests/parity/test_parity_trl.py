"""Every method's loss and gradient against TRL's own trainers, on the tokens that each makes of the
same conversations.

A tiny random Llama in float32 with a LoRA of PEFT's on it; TRL pads a batch of eight, ours is a
forest. Tolerance: loss 1e-5, gradient 1e-4 of its norm, because the same sums are made in another
order. Where the two differ on purpose the test says so.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("trl", reason="TRL is a yardstick; the dev extra installs it")

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from tunesmith.data.prepare import prepare_split
from tunesmith.engine.adapters.lora import disable_adapter, find_lora_layers
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.engine.model_loading import load_model
from tunesmith.engine.reference_logprobs import compute_reference_logps, with_reference_logps
from tunesmith.engine.training_step import TrainingStep
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.records import (
    DpoRecipe,
    Example,
    KtoRecipe,
    Message,
    OrpoRecipe,
    Recipe,
    SimpoRecipe,
    TokenArrays,
)
from tunesmith.testing.rounding_tolerance import LOSS_TERMS, assert_close_within_rounding
from tunesmith.testing.tiny_model import write_tiny_tokenizer

TEMPLATE = (  # nothing after <|im_end|>: TRL would train it, we never do
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] +"
    " '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%"
    " endif %}"
)
PAIRS = [
    ("one two three", "four five", "the lazy dog"),
    ("the quick brown fox", "jumps over the lazy dog", "words"),
    ("and more words", "one", "two three four five and more"),
    ("jumps over", "the lazy dog and more words and more words", "one two"),
] * 2
SYSTEM = "the quick brown fox jumps over the lazy dog and one two three four five words"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = {"eos_token": "<|im_end|>", "pad_token": "<|im_start|>"}
    folder = write_tiny_tokenizer(
        tmp_path_factory.mktemp("trl") / "tiny", template=TEMPLATE, **named
    )
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def a_lora() -> LoraConfig:
    return LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def base_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def messages(question: str, answer: str | None = None) -> list[dict[str, str]]:
    asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return asked if answer is None else [*asked, {"role": "assistant", "content": answer}]


def examples(**given: Any) -> list[Example]:
    """The pairs as tunesmith reads them."""
    return [
        Example(
            number,
            tuple(Message(**message) for message in messages(question, chosen)),  # type: ignore[arg-type]
            rejected=(Message("assistant", rejected),),
            id=str(number),
            **given,
        )
        for number, (question, chosen, rejected) in enumerate(PAIRS)
    ]


def pairs_for_trl() -> Dataset:
    rows = [
        {
            "prompt": messages(question),
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for question, chosen, rejected in PAIRS
    ]
    return Dataset.from_list(rows)


def their_loss(
    trainer: Any, adapter: Path
) -> tuple[float, dict[str, torch.Tensor], dict[str, Any]]:
    """Loss, gradient by the name of the adapted layer, and the batch, as TRL's training step has
    them.

    The adapter moves only now: TRL keeps a copy of an adapter that is there when a trainer is made
    as its reference.
    """
    model = trainer.model
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)  # one that KTO's estimate is above 0 with
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.15)
    model.save_pretrained(adapter)
    batch = trainer.data_collator(
        [trainer.train_dataset[k] for k in range(len(trainer.train_dataset))]
    )
    model.train()
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    gradient = {
        name.removeprefix("base_model.model.").replace(".default.weight", ""): weight.grad
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    return float(loss.detach()), gradient, batch


def our_loss(
    folder: Path,
    adapter: Path,
    recipe: Recipe,
    arrays: TokenArrays,
    mismatched: TokenArrays | None = None,
) -> tuple[float, dict[str, torch.Tensor]]:
    loaded, method = load_model(folder, "float32", adapter), build_method(recipe)
    stepper = TrainingStep(loaded, method)
    arrays = replace(arrays, extras={} if mismatched is None else {"mismatched": mismatched})
    if method.reference is not None:
        with disable_adapter(loaded.model):
            logps = compute_reference_logps(
                stepper, {"train": arrays}, lambda *_: None, lambda: False
            )
        assert logps is not None
        arrays = with_reference_logps("train", arrays, logps)
    layers = find_lora_layers(loaded.model)
    for layer in layers.values():
        layer.lora_A.requires_grad_(True), layer.lora_B.requires_grad_(True)
    loaded.model.train()
    loss = stepper.backward(arrays, range(len(arrays)), 1)
    return loss, {
        f"{name}.{part}": getattr(layer, part).grad
        for name, layer in layers.items()
        for part in PARTS
    }


PARTS = ("lora_A", "lora_B")


def our_arrays(folder: Path, recipe: Recipe, given: list[Example]) -> TokenArrays:
    return prepare_split("train", given, load_tokenizer(folder), 500, method=recipe.method)[1]


def assert_same(mine: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert mine.keys() == other.keys() and len(mine) == 2 * 2 * 7
    a, b = (torch.cat([grads[name].flatten() for name in sorted(mine)]) for grads in (mine, other))
    assert float((a - b).norm()) < 1e-4 * float(b.norm())


def common(tmp_path: Path, **options: Any) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path / "trl"),
        "per_device_train_batch_size": len(PAIRS),
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "max_length": None,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        **options,
    }


def rows_of(arrays: TokenArrays) -> list[tuple[list[int], list[bool]]]:
    return [
        (t.tolist(), (w > 0).tolist())
        for t, w in map(arrays.get_sequence, range(len(arrays.starts_S1) - 1))
    ]


def rows_in(
    tokens_BT: torch.Tensor, attended_BT: torch.Tensor, trained_BT: torch.Tensor
) -> list[Any]:
    """TRL's padded rows, the padding taken off."""
    return [
        (tokens[attended.bool()].tolist(), trained[attended.bool()].bool().tolist())
        for tokens, attended, trained in zip(tokens_BT, attended_BT, trained_BT, strict=True)
    ]


def trainer_of(kind: Any, config: Any, folder: Path, data: Dataset) -> Any:
    return kind(
        base_model(folder),
        args=config,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(folder),
        peft_config=a_lora(),
    )


def arrays_of(rows: list[tuple[list[int], list[bool]]], per_example: int = 1) -> TokenArrays:
    return TokenArrays(
        np.concatenate([tokens for tokens, _ in rows]).astype(np.int32),
        np.concatenate([trained for _, trained in rows]).astype(np.float32),
        np.cumsum([0, *(len(tokens) for tokens, _ in rows)]).astype(np.int64),
        per_example,
    )


def as_arrays(batch: Mapping[str, Any]) -> TokenArrays:
    """The batch of the older trainers, which tokenise by other rules than the newer ones and us, as
    it is."""
    rows = {
        kind: rows_in(
            batch[f"{kind}_input_ids"],
            batch[f"{kind}_attention_mask"],
            batch[f"{kind}_labels"] != -100,
        )
        for kind in ("chosen", "rejected")
    }
    both = zip(rows["chosen"], rows["rejected"], strict=True)
    return arrays_of([row for pair in both for row in pair], per_example=2)


def chosen_only(arrays: TokenArrays) -> TokenArrays:
    return arrays_of(rows_of(arrays)[0::2])


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
@pytest.mark.parametrize("beta", [0.05, 0.1, 0.5])
def test_dpo(folder: Path, tmp_path: Path, beta: float, loss: str) -> None:
    recipe = Recipe(method="dpo", dpo=DpoRecipe(beta=beta, loss=loss))
    config = DPOConfig(beta=beta, loss_type=loss, **common(tmp_path))
    trainer = trainer_of(DPOTrainer, config, folder, pairs_for_trl())
    other, their_gradient, batch = their_loss(trainer, tmp_path / "adapter")
    rows = rows_in(batch["input_ids"], batch["attention_mask"], batch["completion_mask"])
    arrays = our_arrays(folder, recipe, examples())
    assert rows_of(arrays) == [
        row for pair in zip(rows[: len(PAIRS)], rows[len(PAIRS) :], strict=True) for row in pair
    ]
    mine, gradient = our_loss(folder, tmp_path / "adapter", recipe, arrays)
    assert_close_within_rounding(mine, other, LOSS_TERMS)
    assert_same(gradient, their_gradient)


@pytest.mark.parametrize(("beta", "margin"), [(2.0, 1.0), (2.5, 0.3), (10.0, 5.0)])
def test_simpo(folder: Path, tmp_path: Path, beta: float, margin: float) -> None:
    """TRL has it as a loss of its CPO trainer, whose own term is set to 0."""
    recipe = Recipe(method="simpo", simpo=SimpoRecipe(beta=beta, margin=margin))
    config = CPOConfig(
        loss_type="simpo", cpo_alpha=0.0, beta=beta, simpo_gamma=margin, **common(tmp_path)
    )
    trainer = trainer_of(CPOTrainer, config, folder, pairs_for_trl())
    other, their_gradient, batch = their_loss(trainer, tmp_path / "adapter")
    mine, gradient = our_loss(folder, tmp_path / "adapter", recipe, as_arrays(batch))
    assert_close_within_rounding(mine, other, LOSS_TERMS)
    assert_same(gradient, their_gradient)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo(folder: Path, tmp_path: Path, beta: float) -> None:
    """TRL's cross-entropy is over prompt and answer, ours over the answer (see `methods/orpo.py`):
    so that TRL's term can be taken away and ours put in its place, both are computed beside the
    whole."""
    recipe = Recipe(method="orpo", orpo=OrpoRecipe(beta=beta))
    trainer = trainer_of(
        ORPOTrainer, ORPOConfig(beta=beta, **common(tmp_path)), folder, pairs_for_trl()
    )
    other, their_gradient, batch = their_loss(trainer, tmp_path / "adapter")
    arrays = as_arrays(batch)
    mine, gradient = our_loss(folder, tmp_path / "adapter", recipe, arrays)
    answers = chosen_only(arrays)
    whole = replace(answers, weights_N=np.ones_like(answers.weights_N))
    whole.weights_N[whole.starts_S1[:-1]] = 0
    (ours, our_part), (extra, their_part) = (
        our_loss(folder, tmp_path / "adapter", Recipe(), part) for part in (answers, whole)
    )
    assert_close_within_rounding(mine - ours, other - extra, LOSS_TERMS, scale=other)
    assert_same(
        {name: gradient[name] - our_part[name] for name in gradient},
        {name: their_gradient[name] - their_part[name] for name in their_gradient},
    )


@pytest.mark.parametrize(
    ("beta", "wanted", "unwanted"), [(0.1, 1.0, 1.0), (0.5, 1.0, 1.33), (0.1, 2.0, 0.7)]
)
def test_kto(folder: Path, tmp_path: Path, beta: float, wanted: float, unwanted: float) -> None:
    """With TRL's own mismatched pairs put in the place of ours, which are mismatched by another
    rule."""
    kto = KtoRecipe(beta=beta, desirable_weight=wanted, undesirable_weight=unwanted)
    recipe = Recipe(method="kto", kto=kto)
    arrays = our_arrays(folder, recipe, examples())
    rated = [
        {
            "prompt": messages(question),
            "completion": [{"role": "assistant", "content": answer}],
            "label": label,
        }
        for label, which in ((True, 1), (False, 2))
        for question, answer in ((pair[0], pair[which]) for pair in PAIRS)
    ]
    options = common(tmp_path, per_device_train_batch_size=len(rated))
    config = KTOConfig(beta=beta, desirable_weight=wanted, undesirable_weight=unwanted, **options)
    trainer = trainer_of(KTOTrainer, config, folder, Dataset.from_list(rated))
    other, their_gradient, batch = their_loss(trainer, tmp_path / "adapter")
    assert rows_of(arrays) == rows_in(
        batch["input_ids"], batch["attention_mask"], batch["completion_mask"]
    )
    assert arrays.columns_E["is_desirable"].tolist() == [bool(label) for label in batch["label"]]
    assert trainer._metrics["train"]["kl"][-1] > 0.1, "an estimate of 0 would prove nothing of it"
    mismatched = rows_in(
        batch["KL_input_ids"], batch["KL_attention_mask"], batch["KL_completion_mask"]
    )
    mine, gradient = our_loss(folder, tmp_path / "adapter", recipe, arrays, arrays_of(mismatched))
    assert_close_within_rounding(mine, other, LOSS_TERMS)
    assert_same(gradient, their_gradient)


def test_sft(folder: Path, tmp_path: Path) -> None:
    """The loss of the answers only, per trained token of the batch."""
    data = Dataset.from_list(
        [
            {"prompt": messages(question), "completion": [{"role": "assistant", "content": answer}]}
            for question, answer, _ in PAIRS
        ]
    )
    trainer = trainer_of(SFTTrainer, SFTConfig(**common(tmp_path)), folder, data)
    other, their_gradient, batch = their_loss(trainer, tmp_path / "adapter")
    arrays = our_arrays(folder, Recipe(), examples())
    is_trained_BT = batch["labels"] != -100
    assert rows_of(arrays) == rows_in(batch["input_ids"], batch["attention_mask"], is_trained_BT)
    mine, gradient = our_loss(folder, tmp_path / "adapter", Recipe(), arrays)
    assert_close_within_rounding(mine, other, LOSS_TERMS)
    assert_same(gradient, their_gradient)
