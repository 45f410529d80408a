"""The engine's numbers against PEFT, transformers and plain torch, all in float32 on a tiny random
model.

Tolerances: 1e-5 where the same sums are made in another order (shared beginnings, padding, chunks);
tokens are equal.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)
from transformers.optimization import Adafactor

from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.adapters.lora import (
    attach_lora,
    disable_adapter,
    find_lora_layers,
    list_lora_parameters,
)
from tunesmith.engine.adapters.peft_format import read_adapter, write_adapter
from tunesmith.engine.generator import Generator
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.records import AdapterRecipe, MetricLine, Recipe, TokenArrays, TrainingRecipe
from tunesmith.testing.resolved_recipes import resolve_test_recipe
from tunesmith.testing.rounding_tolerance import LOSS_TERMS, assert_close_within_rounding

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama: rotary positions, grouped heads, nn.Linear. GPT-2: learned positions, biases,
    Conv1D."""
    torch.manual_seed(0)
    if request.param == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=256,
                initializer_range=0.2,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=2,
            )
        )
    else:
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=64,
                n_embd=32,
                n_layer=2,
                n_head=4,
                n_positions=256,
                initializer_range=0.2,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=2,
            )
        )
    path = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def sliding_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mistral with a window shorter than the prompts: its cache forgets, so nothing may be shared
    or padded."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        sliding_window=5,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    path = tmp_path_factory.mktemp("mistral")
    MistralForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture
def loaded(folder: Path) -> LoadedModel:
    return load_model(folder, "float32")


def logits(model: torch.nn.Module) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return model(input_ids=torch.arange(3, 23)[None]).logits


def scramble(parameters: list[torch.nn.Parameter]) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in parameters:
            weight.normal_(std=0.1)


def test_peft_loads_our_adapter_with_equal_logits(
    folder: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    base = logits(loaded.model)
    attach_lora(loaded.model, rank=4, alpha=8.0, dropout=0.0)
    scramble(list_lora_parameters(loaded.model))
    write_adapter(loaded.model, tmp_path, "tiny")
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path)
    torch.testing.assert_close(logits(loaded.model), logits(peft), **TOLERANCE)
    assert not torch.allclose(base, logits(peft), atol=1e-2), (
        "the adapter changes nothing, so this test proves nothing"
    )
    with disable_adapter(loaded.model):
        torch.testing.assert_close(logits(loaded.model), base, rtol=0, atol=0)


@pytest.mark.parametrize("rslora", [False, True])
def test_we_load_pefts_adapter_with_equal_logits(
    folder: Path, loaded: LoadedModel, tmp_path: Path, rslora: bool
) -> None:
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", use_rslora=rslora
    )
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    scramble([weight for weight in peft.parameters() if weight.requires_grad])
    peft.save_pretrained(tmp_path)
    read_adapter(loaded.model, tmp_path)
    torch.testing.assert_close(logits(loaded.model), logits(peft), **TOLERANCE)


def test_lora_sits_on_the_layers_that_peft_calls_all_linear(
    folder: Path, loaded: LoadedModel
) -> None:
    peft = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder),
        LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    attach_lora(loaded.model, rank=4, alpha=8.0, dropout=0.0)
    theirs = {
        name.removeprefix("base_model.model.").split(".lora_A")[0]
        for name, _ in peft.named_parameters()
        if "lora_A" in name
    }
    assert set(find_lora_layers(loaded.model)) == theirs


def test_training_steps_equal_peft_with_plain_torch(folder: Path, tmp_path: Path) -> None:
    """Five steps over a batch of unequal lengths with a shared beginning, cut into micro-batches,
    against the textbook.

    The textbook: PEFT's LoRA, one example at a time without padding, transformers' logits, torch's
    cross-entropy divided by the batch's trained tokens, torch's AdamW, the same learning rates.
    """
    arrays = _examples(10)
    training = TrainingRecipe(
        learning_rate=5e-3,
        batch_size=10,
        epochs=5,
        micro_batch_size=4,
        warmup_ratio=0.0,
        num_evals=1,
    )
    recipe = resolve_test_recipe(Recipe(adapter=AdapterRecipe(rank=4, alpha=8), training=training))
    lines: list[MetricLine] = []
    ours = load_model(folder, "float32")
    initial = _initial_adapter(folder, tmp_path / "initial", recipe)
    train_adapter(
        ours, arrays, arrays, recipe, adapter_folder=tmp_path / "ours", on_line=lines.append
    )

    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder), initial, is_trainable=True
    )
    parameters = [weight for weight in peft.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
    for line in (line for line in lines if line.kind == "step"):
        loss = _textbook_loss(peft, arrays)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        assert_close_within_rounding(line.loss, loss.item(), LOSS_TERMS)
        assert line.gradient_norm == pytest.approx(norm.item(), rel=1e-3)
        optimizer.param_groups[0]["lr"] = line.learning_rate
        optimizer.step()
        optimizer.zero_grad()
    # AdamW divides by the root of tiny second moments, which magnifies rounding: hence 1e-3 on the
    # trained logits.
    torch.testing.assert_close(logits(ours.model), logits(peft), rtol=1e-3, atol=1e-3)


def test_adafactor_steps_are_those_of_transformers(folder: Path, tmp_path: Path) -> None:
    """Torch's Adafactor trains here; the one in transformers is another implementation."""
    arrays = _examples(10)
    training = TrainingRecipe(
        optimizer="adafactor",
        learning_rate=5e-3,
        batch_size=10,
        epochs=5,
        warmup_ratio=0.0,
        num_evals=1,
        early_stopping_patience=None,
    )
    recipe = resolve_test_recipe(Recipe(adapter=AdapterRecipe(kind="full"), training=training))
    lines: list[MetricLine] = []
    ours = load_model(folder, "float32")
    train_adapter(
        ours, arrays, arrays, recipe, adapter_folder=tmp_path / "ours", on_line=lines.append
    )
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before = logits(theirs)
    optimizer = Adafactor(theirs.parameters(), lr=1.0, relative_step=False, scale_parameter=True)
    for line in (line for line in lines if line.kind == "step"):
        loss = _textbook_loss(theirs, arrays)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        torch.testing.assert_close(line.loss, loss.item(), rtol=1e-4, atol=0.0)
        optimizer.param_groups[0]["lr"] = line.learning_rate
        optimizer.step()
        optimizer.zero_grad()
    assert not torch.allclose(logits(theirs), before, atol=0.05), "nothing to prove"
    torch.testing.assert_close(logits(ours.model), logits(theirs), rtol=1e-3, atol=1e-3)


def _examples(count: int) -> TokenArrays:
    random = np.random.default_rng(0)
    rows = [
        [1, 3, 4, 5, 6, 7, *random.integers(10, 64, random.integers(2, 20)).tolist(), 2]
        for _ in range(count)
    ]
    weights = [[0.0] * 8 + [1.0] * (len(row) - 8) for row in rows]
    return TokenArrays(
        np.concatenate([np.array(row, dtype=np.int32) for row in rows]),
        np.concatenate([np.array(weight, dtype=np.float32) for weight in weights]),
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
    )


def _initial_adapter(folder: Path, adapter: Path, recipe: Recipe) -> Path:
    """The adapter that `train_adapter` starts from: the recipe's seed decides it."""
    model = load_model(folder, "float32").model
    torch.manual_seed(recipe.seed)
    attach_lora(model, recipe.adapter.rank, recipe.adapter.alpha, recipe.adapter.dropout)
    write_adapter(model, adapter, "tiny")
    return adapter


def _textbook_loss(model: torch.nn.Module, arrays: TokenArrays) -> torch.Tensor:
    total, count = torch.zeros(()), 0.0
    for e in range(len(arrays)):
        tokens, weights = (torch.from_numpy(part.copy()) for part in arrays.get_sequence(e))
        scores_TV = model(input_ids=tokens[None].long()).logits[0, :-1]
        losses_T = torch.nn.functional.cross_entropy(scores_TV, tokens[1:].long(), reduction="none")
        total = total + (losses_T * weights[1:]).sum()
        count += float(weights[1:].sum())
    return total / count


PROMPTS = {
    "unequal": [
        [1, 5, 9],
        [1, 7, 7, 12, 30, 31, 32, 33],
        [40],
        [1, 5, 9, 11, 60],
        [22, 21, 20, 19, 18, 17],
    ],
    "shared beginning": [
        [1, 3, 4, 5, 6, 7, 8, 9, *rest]
        for rest in ([10], [11, 12, 13], [14, 15], [10, 11, 12, 13, 20])
    ],
    "one inside another": [[1, 3, 4, 5], [1, 3, 4, 5, 6], [1, 3, 4, 5, 6, 7, 8]],
    "alone": [[1, 3, 4, 5]],
    "equal": [[1, 3, 4, 5]] * 3,
}


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_pain_24_batched_answers_are_those_of_transformers_generate(
    loaded: LoadedModel, name: str, batch_size: int
) -> None:
    """Rows of unequal length, refilled batches and a shared beginning give the tokens of one prompt
    at a time."""
    assert_equal_to_transformers(loaded, PROMPTS[name], batch_size)


@pytest.mark.parametrize("name", PROMPTS)
def test_answers_of_a_sliding_window_model_are_those_of_transformers_generate(
    sliding_folder: Path, name: str
) -> None:
    assert_equal_to_transformers(load_model(sliding_folder, "float32"), PROMPTS[name], 4)


def assert_equal_to_transformers(
    loaded: LoadedModel, prompts: list[list[int]], batch_size: int
) -> None:
    stop = {2, 17, 33}
    generated = Generator(loaded, batch_size).generate(prompts, 24, stop)
    for prompt, answer in zip(prompts, generated, strict=True):
        whole = loaded.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=24,
            do_sample=False,
            eos_token_id=sorted(stop),
            pad_token_id=2,
        )
        theirs = whole[0, len(prompt) :].tolist()
        assert answer.is_complete == (theirs[-1] in stop)
        assert answer.tokens == (theirs[:-1] if answer.is_complete else theirs)
