"""How fast this machine is with a model, and how much memory that takes: measured on the model or on a slice of it.

A slice has the model's own layers with random weights, but only one or three of them. The numbers of one layer are half
the difference, so those of the whole model follow without its weights being there:

    whole = one + (layers - 1) (three - one) / 2

That multiplies the noise of the clock by half the layers, which a large model bears (its layers take long) and a small
one does not: up to `WHOLE_PARAMETERS` all layers are timed, and only memory is extrapolated, which has no noise.

An estimate must be worth its time, so what is timed is counted in tokens and not by a clock, and is the same for all
data: at most `TIMED_TOKENS` forward and backward, as many forward, `NEW_TOKENS` passes of the generation for a few rows
and for one, each `1 + REPETITIONS` times. The rates that come of it hold for other data too, so they can be handed in.

The same code runs that will train: micro-batches, methods, adapters, generation. The memory plan is found by the same
search as before a training, each trial made of two.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers import __version__ as transformers_version

from tunesmith.engine.adapters.choose import trained_of
from tunesmith.engine.adapters.qlora import hold_in_four_bits
from tunesmith.engine.batches import batches, longest_first, tokens_at_once
from tunesmith.engine.budget import MOMENT_BYTES, Trial, find_plan, memory_budget, shortened, wish_of
from tunesmith.engine.forest import plant
from tunesmith.engine.fused.swap import fuse
from tunesmith.engine.generate import Generator
from tunesmith.engine.load import LoadedModel, accelerator_name, choose_dtype
from tunesmith.engine.memory import held_memory_bytes, return_unused_memory
from tunesmith.engine.methods.choose import method_of
from tunesmith.engine.reference import for_method
from tunesmith.engine.source import UNLOADABLE, attention_of, open_view, quiet_transformers
from tunesmith.engine.step import Stepper, adamw
from tunesmith.errors import ModelError
from tunesmith.records import MemoryPlan, Recipe, TokenArrays

SLICES = (1, 3)  # layers
WHOLE_PARAMETERS = 400_000_000
REPETITIONS = 2
TIMED_TOKENS = 128
MOST_ROWS = 8
NEW_TOKENS = 4
PROMPT_TOKENS = 4
"""Of the prompts behind which passes are timed: what is read is not what is to be timed."""
COUNTED_PROMPTS = 256
MASTER_BYTES = 4  # a float32 copy of each trained weight, where the model holds another


@dataclass(frozen=True)
class Rates:
    """Seconds of the pieces of a training, which follow from model, machine, method and adapter, not from the data.

    Of a training step: a token forward and backward, the optimizer's move. Of validation and of asking: a token read;
    one token more for some answers: `pass_seconds`, and `pass_row_seconds` for each of them.
    """

    token_seconds: float
    look_token_seconds: float
    update_seconds: float
    pass_seconds: float
    pass_row_seconds: float = 0.0


@dataclass(frozen=True)
class Pace(Rates):
    """With what follows from the data: seconds to read a prompt, what prompts share counted once; bytes held by
    weights, optimizer and the largest micro-batch."""

    prompt_seconds: float = 0.0
    held_bytes: float = 0.0

    @property
    def rates(self) -> Rates:
        """Without what follows from the data."""
        return Rates(**{field.name: getattr(self, field.name) for field in fields(Rates)})

    def at(self, rates: Rates) -> "Pace":
        """The same data at other rates."""
        per_token = self.prompt_seconds / self.look_token_seconds if self.look_token_seconds else 0.0
        return replace(self, **vars(rates), prompt_seconds=per_token * rates.look_token_seconds)


@dataclass(frozen=True)
class Prospect:
    """Everything about model, machine and data that time and memory follow from.

    Tokens are those that are computed, shared beginnings once. `base_bytes`: the process as it is without the model.
    `reference_tokens` are read before the first step by methods that need it, else 0. `unshared`: why examples cannot
    share their beginnings, where they cannot.
    """

    pace: Pace
    plan: MemoryPlan
    tokens_per_step: float
    look_tokens: int
    reference_tokens: int
    rows: int
    base_bytes: int
    accelerator: str | None
    unshared: str | None = None


def time_it() -> Rates | None:
    """No rates are known."""
    return None


def prospect_of_slices(
    folder: str,
    train: TokenArrays,
    validation: TokenArrays,
    recipe: Recipe,
    recall: Callable[[], Rates | None] = time_it,
) -> Prospect:
    """Measured on slices; the model's weights need not be there. `recall` is asked once plan and memory are found:
    where it knows the rates, nothing is timed. Errors: `ModelError`, `TrainingError`."""
    try:
        return _prospect_of_slices(folder, train, validation, recipe, recall)
    finally:
        gc.collect()  # modules hold each other
        return_unused_memory()


def conditions_of(recipe: Recipe) -> dict[str, str]:
    """What rates follow from in this process, besides the model's files: threads, dtype, method, adapter, versions."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "threads": str(torch.get_num_threads()),
        "dtype": str(choose_dtype(recipe.training.precision, device)),
        "accelerator": str(accelerator_name(device)),
        "method": recipe.method,
        "adapter": recipe.adapter.model_dump_json(),
        "torch": torch.__version__,
        "transformers": transformers_version,
    }


def _prospect_of_slices(
    folder: str, train: TokenArrays, validation: TokenArrays, recipe: Recipe, recall: Callable[[], Rates | None]
) -> Prospect:
    base_bytes = _base_bytes()
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        all_layers, parameters = _size_of(folder)
        slices = [_slice_of(folder, recipe, min(layers, all_layers)) for layers in SLICES]
        steppers = [_stepper(loaded, train, recipe) for loaded in slices]

        def whole(one: float, three: float) -> float:
            return max(one, one + (all_layers - SLICES[0]) * (three - one) / (SLICES[1] - SLICES[0]))

        def trial(arrays: TokenArrays, piece: Sequence[int], checkpointing: bool) -> int:
            return int(whole(*(stepper.bytes_for(arrays, piece, checkpointing) for stepper in steppers)))

        weights = whole(*(_weight_bytes(stepper.loaded) for stepper in steppers))
        trained = whole(*(_trained_count(stepper.loaded) for stepper in steppers))
        loading = weights + _file_bytes(folder) if slices[0].device.type == "cpu" else 0
        prospect = _prospect(steppers[-1], trial, train, validation, recipe, base_bytes, (weights, trained, loading))
        rates = recall()
        if rates is None and parameters <= WHOLE_PARAMETERS:
            timed = _stepper(_slice_of(folder, recipe, all_layers), train, recipe)
            rates = _rates(timed, train, validation, recipe, prospect)
        elif rates is None:
            one, three = (vars(_rates(stepper, train, validation, recipe, prospect)) for stepper in steppers)
            rates = Rates(**{name: whole(one[name], three[name]) for name in one})
    return replace(prospect, pace=prospect.pace.at(rates))


def prospect_of_model(loaded: LoadedModel, train: TokenArrays, validation: TokenArrays, recipe: Recipe) -> Prospect:
    """Measured on the whole model, whose adapter is then attached. Errors: `TrainingError`."""
    weights = _weight_bytes(loaded)
    base_bytes = max(0, _base_bytes() - (weights if loaded.device.type == "cpu" else 0))
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        stepper = _stepper(loaded, train, recipe)
        known = (weights, _trained_count(loaded), 0)
        prospect = _prospect(stepper, stepper.bytes_for, train, validation, recipe, base_bytes, known)
        rates = _rates(stepper, train, validation, recipe, prospect)
    return replace(prospect, pace=prospect.pace.at(rates))


def _size_of(folder: str | Path) -> tuple[int, int]:
    """How many layers the model has, and how many parameters; no weights are made. Errors: as `_slice_of`."""
    try:
        with quiet_transformers(), torch.device("meta"):
            config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UNLOADABLE as error:
        raise _no_slice(folder, error) from None
    return config.get_text_config().num_hidden_layers, sum(weight.numel() for weight in model.parameters())


def _no_slice(folder: str | Path, error: BaseException) -> ModelError:
    return ModelError(
        "no-slice", "The first layers of this model cannot be built to measure them.", where=str(folder),
        found=" ".join(str(error).split())[:300] or type(error).__name__, do="estimate with --measure",
    )  # fmt: skip


def _slice_of(folder: str | Path, recipe: Recipe, layers: int) -> LoadedModel:
    """A model with the first layers only and random weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = choose_dtype(recipe.training.precision, device)
    try:
        with open_view(Path(folder), weights_needed=False) as view, quiet_transformers():
            config = AutoConfig.from_pretrained(str(view), local_files_only=True, trust_remote_code=False)
            text = config.get_text_config()
            text.num_hidden_layers = layers
            if getattr(text, "layer_types", None):
                text.layer_types = text.layer_types[:layers]
            model = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=attention_of(config), trust_remote_code=False
            )
    except UNLOADABLE as error:
        raise _no_slice(folder, error) from None
    model.requires_grad_(False).eval()
    if recipe.adapter.kind == "qlora":
        hold_in_four_bits(model, device)
    model.to(device)
    fuse(model)
    context = getattr(config, "max_position_embeddings", None) or 1 << 30
    return LoadedModel(model, device, dtype, context, sum(w.numel() for w in model.parameters()))


def _stepper(loaded: LoadedModel, train: TokenArrays, recipe: Recipe) -> Stepper:
    trained_of(loaded, recipe.adapter)
    return Stepper(loaded, method_of(recipe), longest=int(np.diff(train.starts_S1).max()))


def _prospect(
    stepper: Stepper, trial: Trial, train: TokenArrays, validation: TokenArrays, recipe: Recipe, base_bytes: int,
    known: tuple[float, float, float],
) -> Prospect:  # fmt: skip
    """The plan and what follows from it; of the pace only the memory and the tokens of a prompt are known yet.

    `known`: bytes of the weights, number of trained weights, bytes while loading.
    """
    weights, trained, loading = known
    device = stepper.loaded.device
    kept = int(trained * (MOMENT_BYTES + (MASTER_BYTES if recipe.adapter.kind == "full" else 0)))
    wish = wish_of(stepper, train, recipe.training, recipe.seed)
    budget = memory_budget(device, recipe.training, int(base_bytes + weights)) - kept
    plan = find_plan(wish, trial, budget)
    computed = [wish.tokens_of(train, step, plan.most_tokens) for step in wish.steps]
    look_tokens = wish.tokens_of(validation, range(len(validation)), plan.most_tokens)
    worst = longest_first(train)[: recipe.training.batch_size]
    largest = max(
        tokens_at_once(train, piece, as_forest=wish.as_forest) for piece in wish.pieces(train, worst, plan.most_tokens)
    )
    held = max(weights + kept + plan.bytes_per_token * largest, loading)
    times_read = stepper.method.uses_reference + stepper.method.estimates_kl  # mismatched answers are read as well
    return Prospect(
        pace=Pace(0, 1, 0, 0, prompt_seconds=_prompt_tokens(validation, as_forest=wish.as_forest), held_bytes=held),
        plan=plan,
        tokens_per_step=sum(computed) / len(computed),
        look_tokens=look_tokens,
        reference_tokens=int(len(train) / recipe.training.batch_size * computed[0]) * times_read,
        rows=min(len(validation), recipe.evaluation.batch_size, MOST_ROWS),
        base_bytes=base_bytes,
        accelerator=accelerator_name(device),
        unshared=stepper.unshared,
    )


def _rates(
    stepper: Stepper, train: TokenArrays, validation: TokenArrays, recipe: Recipe, prospect: Prospect
) -> Rates:  # fmt: skip
    """The shortest of a few repetitions, after one that is not counted."""
    stepper.follow(prospect.plan)
    model = stepper.loaded.model
    batch = next(batches(len(train), recipe.training.batch_size, recipe.seed))
    most_tokens = min(prospect.plan.most_tokens, TIMED_TOKENS)
    arrays = _referred(for_method(stepper.method, shortened(train, batch, most_tokens)))
    wish = wish_of(stepper, arrays, recipe.training, recipe.seed)
    piece = wish.pieces(arrays, range(len(arrays)), most_tokens)[0]
    tokens = wish.tokens_of(arrays, piece, prospect.plan.most_tokens)
    model.train()
    step_seconds = _seconds(lambda: stepper.backward(arrays, piece, 1))
    masters = [_master_of(weight) for weight in model.parameters() if weight.requires_grad]
    update_seconds = _seconds(adamw(masters, stepper.loaded.device, lr=0.0, weight_decay=0.0).step)
    model.zero_grad(set_to_none=True)
    model.eval()
    look_seconds = _seconds(lambda: stepper.sequence_logps(arrays, piece))
    prompts = [_prompt(validation, e)[-PROMPT_TOKENS:] for e in range(prospect.rows)]
    generator = Generator(stepper.loaded, recipe.evaluation.batch_size)

    def pass_seconds(rows: int) -> float:
        took = _seconds(lambda: generator.generate(prompts[:rows], 1 + NEW_TOKENS, set()))
        read = sum(map(len, prompts[:rows])) * look_seconds / tokens
        return max(took - read, took * NEW_TOKENS / (1 + NEW_TOKENS) / 2) / NEW_TOKENS

    all_rows, one_row = pass_seconds(len(prompts)), pass_seconds(1)
    a_row = max(0.0, all_rows - one_row) / max(1, len(prompts) - 1)
    return Rates(
        token_seconds=step_seconds / tokens,
        look_token_seconds=look_seconds / tokens,
        update_seconds=update_seconds,
        pass_seconds=max(0.0, all_rows - a_row * len(prompts)),
        pass_row_seconds=a_row,
    )


def _master_of(weight: nn.Parameter) -> nn.Parameter:
    """What the optimizer moves: the weight, or its float32 master of `adapters/full.py`."""
    if weight.grad is None or weight.grad.dtype == weight.dtype:
        return weight
    master = nn.Parameter(weight.detach().to(weight.grad.dtype))
    master.grad = weight.grad
    return master


def _referred(arrays: TokenArrays) -> TokenArrays:
    """With a reference that says nothing: what it says costs nothing."""
    beside = None if arrays.mismatched is None else _referred(arrays.mismatched)
    return replace(arrays, reference_S=np.zeros(len(arrays.starts_S1) - 1), mismatched=beside)


def _prompt(arrays: TokenArrays, e: int) -> list[int]:
    """An example's tokens before the first trained one."""
    tokens_T, weights_T = arrays.sequence(arrays.sequences_of(e)[0])
    return tokens_T[: max(1, int((weights_T > 0).argmax()))].tolist()


def _prompt_tokens(validation: TokenArrays, *, as_forest: bool) -> float:
    """Tokens that are computed for a prompt on average: what prompts begin with in common, once."""
    prompts = [np.array(_prompt(validation, e)) for e in range(min(len(validation), COUNTED_PROMPTS))]
    computed = len(plant(prompts)) if as_forest else sum(map(len, prompts))
    return computed / max(1, len(prompts))


def _seconds(work: Callable[[], object]) -> float:
    """The shortest of a few repetitions after the first, which pays for what is done once."""
    seconds: list[float] = []
    for _ in range(1 + REPETITIONS):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _base_bytes() -> int:
    return_unused_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return held_memory_bytes(device)


def _weight_bytes(loaded: LoadedModel) -> int:
    tensors = [*loaded.model.parameters(), *loaded.model.buffers()]
    return sum(
        storage.nbytes() for storage in {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors}.values()
    )


def _file_bytes(folder: str | Path) -> int:
    """Files of weights; while they are read into memory of another dtype their pages are resident too."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))


def _trained_count(loaded: LoadedModel) -> int:
    return sum(weight.numel() for weight in loaded.model.parameters() if weight.requires_grad)
