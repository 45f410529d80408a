"""Speed and memory of this machine with a model, measured on the model or on a slice of it.

A slice has the model's own layers with random weights, but only one or three of them. One layer
costs half of the difference, so the whole model is extrapolated without loading its weights:

    whole = one + (layers - 1) (three - one) / 2

This multiplies timing noise by half the number of layers, which is acceptable for a large model
(its layers take long) but not for a small one: up to `MAX_FULLY_TIMED_PARAMETERS` parameters all
layers are timed, and only memory, which has no noise, is extrapolated.

An estimate must be worth its time, so the timed work is limited in tokens, not in seconds, and is
the same for all data: at most `MAX_TIMED_TOKENS` forward and backward, as many forward only, and
`TIMED_NEW_TOKENS` generation passes for several sequences and for one, each 1 + `MAX_REPETITIONS`
times. The resulting rates are valid for other data too, so known ones can be passed in.

A token also attends to all tokens before it, which counts for long prompts of small models: with
1,000 tokens and 32 dimensions it is most of the work. Prompts of three lengths through one layer
give the seconds of a pair of tokens (`compute_pair_seconds`):

    seconds(n tokens) = constant + n * token + n^2 / 2 * pair

The measured code is the code that will train: micro-batches, methods, adapters, generation. The
memory plan is found by the same search as before a training, where each trial consists of two, one
per slice.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers import __version__ as transformers_version

from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.adapters.qlora import quantize_to_four_bits
from tunesmith.engine.batching import count_computed_tokens, iterate_batches, sort_by_length_desc
from tunesmith.engine.generator import Generator
from tunesmith.engine.kernels.fusion import fuse
from tunesmith.engine.memory import get_used_memory_bytes, release_unused_memory
from tunesmith.engine.memory_plan import (
    MemoryTrial,
    build_memory_request,
    compute_memory_budget,
    find_plan,
    truncate_to_tail,
)
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.engine.methods.training_method import prepare_arrays
from tunesmith.engine.model_loading import LoadedModel, choose_dtype, get_accelerator_name
from tunesmith.engine.optimizer import (
    BYTES_PER_VALUE,
    build_optimizer,
    count_values_per_weight,
)
from tunesmith.engine.prefix_forest import build_forest
from tunesmith.engine.sanitized_folder import (
    LOAD_ERRORS,
    choose_attention,
    open_sanitized_folder,
    silence_transformers,
)
from tunesmith.engine.training_step import TrainingStep
from tunesmith.errors import ModelError
from tunesmith.records import MemoryPlan, Recipe, TokenArrays

SLICE_LAYERS = (1, 3)
MAX_FULLY_TIMED_PARAMETERS = 400_000_000
MAX_REPETITIONS = 2
MAX_TIMED_TOKENS = 128
MAX_TIMED_PROMPTS = 8
TIMED_NEW_TOKENS = 4
PROMPT_TOKENS = 4
"""Tokens of each timed prompt; short, because reading prompts is not what is timed."""
TRAINED_PASSES = 3
"""Forward passes that a forward and a backward pass cost: the backward pass computes two gradients.
"""
MAX_ATTENTION_TOKENS = 1024
"""The longest prompt that is timed through one layer."""
MIN_ATTENTION_TOKENS = 256
"""With a shorter context, attention is not worth timing."""
COUNTED_PROMPTS = 256  # validation prompts whose shared prefixes are counted, at most
# The float32 copy of each trained weight, where the model computes in another dtype.
MASTER_BYTES = 4


@dataclass(frozen=True)
class Rates:
    """Seconds of the parts of a training, independent of the data.

    `token_seconds`: one token forward and backward. `update_seconds`: one optimizer step.
    `validation_token_seconds`: one token read in validation or evaluation. One more token for n
    answers takes `pass_seconds` + n * `pass_sequence_seconds`. `pair_seconds`: a token and one
    before it, to which it attends, forward.
    """

    token_seconds: float
    validation_token_seconds: float
    update_seconds: float
    pass_seconds: float
    pass_sequence_seconds: float = 0.0
    pair_seconds: float = 0.0


@dataclass(frozen=True)
class Throughput(Rates):
    """Rates plus what depends on the data: `prompt_seconds` to read one prompt, with shared
    prefixes counted once, and `used_bytes` of weights, optimizer and the largest micro-batch
    together."""

    prompt_seconds: float = 0.0
    used_bytes: float = 0.0

    @property
    def rates(self) -> Rates:
        """The rates without the values that depend on the data."""
        return Rates(**{field.name: getattr(self, field.name) for field in fields(Rates)})

    def at(self, rates: Rates) -> "Throughput":
        """The same data at other rates; the time per prompt scales with the time per read token."""
        per_token = (
            self.prompt_seconds / self.validation_token_seconds
            if self.validation_token_seconds
            else 0.0
        )
        return replace(
            self, **vars(rates), prompt_seconds=per_token * rates.validation_token_seconds
        )


@dataclass(frozen=True)
class TrainingProfile:
    """Everything about model, machine and data that time and memory are computed from.

    Tokens are those that are computed, with shared prefixes once; `step_pairs`, `validation_pairs`
    and `reference_pairs` are the pairs in which they attend to each other. `base_bytes`: memory of
    the process without the model. `reference_tokens`: tokens read before the first step by methods
    with a reference model, else 0. `no_sharing_message`: why examples cannot share prefixes, None
    where they can.
    """

    throughput: Throughput
    plan: MemoryPlan
    tokens_per_step: float
    validation_tokens: int
    reference_tokens: int
    timed_prompts: int
    base_bytes: int
    accelerator: str | None
    no_sharing_message: str | None = None
    step_pairs: float = 0.0
    validation_pairs: float = 0.0
    reference_pairs: float = 0.0


def time_it() -> Rates | None:
    """The default for `recall`: no rates are known, so they are measured."""
    return None


def profile_slices(
    folder: str,
    train: TokenArrays,
    validation: TokenArrays,
    recipe: Recipe,
    recall: Callable[[], Rates | None] = time_it,
) -> TrainingProfile:
    """Measure slices; the model's weights are not needed. `recall` is called after plan and memory
    are found; if it returns rates, nothing is timed. Errors: `ModelError`, `TrainingError`."""
    try:
        return _profile_slices(folder, train, validation, recipe, recall)
    finally:
        gc.collect()  # modules reference each other in cycles, so the slices would stay in memory
        release_unused_memory()


def conditions_of(recipe: Recipe) -> dict[str, str]:
    """What rates depend on besides the model's files; a key for stored rates."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "threads": str(torch.get_num_threads()),
        "dtype": str(choose_dtype(recipe.training.dtype, device)),
        "accelerator": str(get_accelerator_name(device)),
        "method": recipe.method,
        "adapter": recipe.adapter.model_dump_json(),
        "optimizer": recipe.training.optimizer,
        "gradient_checkpointing": recipe.training.gradient_checkpointing,
        "torch": torch.__version__,
        "transformers": transformers_version,
    }


def _profile_slices(
    folder: str,
    train: TokenArrays,
    validation: TokenArrays,
    recipe: Recipe,
    recall: Callable[[], Rates | None],
) -> TrainingProfile:
    base_bytes = _measure_base_bytes()
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        all_layers, parameters = _count_layers_and_parameters(folder)
        slices = [_build_slice(folder, recipe, min(layers, all_layers)) for layers in SLICE_LAYERS]
        try:
            steppers = [_build_training_step(loaded, train, recipe) for loaded in slices]
        except ModelError as error:
            if error.code != "model/unknown-target-module":
                raise
            # The name means layers further up, whose cost cannot be extrapolated from these.
            raise _build_slice_error(folder, error) from None

        # Noise can make three layers look cheaper than one; a whole model is never cheaper than one
        # layer.
        def extrapolate(one: float, three: float) -> float:
            return max(
                one,
                one
                + (all_layers - SLICE_LAYERS[0])
                * (three - one)
                / (SLICE_LAYERS[1] - SLICE_LAYERS[0]),
            )

        def run_trial(arrays: TokenArrays, piece: Sequence[int], checkpointing: bool) -> int:
            return int(
                extrapolate(
                    *(stepper.measure_bytes(arrays, piece, checkpointing) for stepper in steppers)
                )
            )

        weights = extrapolate(*(_count_weight_bytes(stepper.loaded) for stepper in steppers))
        trained = extrapolate(*(_count_trained_weights(stepper.loaded) for stepper in steppers))
        # While a file is read, its pages and the weights are both resident on a CPU.
        loading = weights + _count_file_bytes(folder) if slices[0].device.type == "cpu" else 0
        prospect = _build_profile(
            steppers[-1],
            run_trial,
            train,
            validation,
            recipe,
            base_bytes,
            (weights, trained, loading),
        )
        rates = recall()
        pair = 0.0
        if rates is None:
            pair = all_layers / SLICE_LAYERS[0] * _measure_pair_seconds(slices[0], recipe)
        if rates is None and parameters <= MAX_FULLY_TIMED_PARAMETERS:
            timed = _build_training_step(_build_slice(folder, recipe, all_layers), train, recipe)
            rates = _rates(timed, train, validation, recipe, prospect, pair)
        elif rates is None:
            one, three = (
                vars(_rates(stepper, train, validation, recipe, prospect, share * pair))
                for stepper, share in zip(
                    steppers, (layers / all_layers for layers in SLICE_LAYERS), strict=True
                )
            )
            rates = Rates(**{name: extrapolate(one[name], three[name]) for name in one})
    return replace(prospect, throughput=prospect.throughput.at(rates))


def profile_model(
    loaded: LoadedModel, train: TokenArrays, validation: TokenArrays, recipe: Recipe
) -> TrainingProfile:
    """Measure the whole model, which gets the recipe's adapter attached.

    Errors: `TrainingError`.
    """
    weights = _count_weight_bytes(loaded)
    base_bytes = max(0, _measure_base_bytes() - (weights if loaded.device.type == "cpu" else 0))
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        stepper = _build_training_step(loaded, train, recipe)
        known = (weights, _count_trained_weights(loaded), 0)
        prospect = _build_profile(
            stepper, stepper.measure_bytes, train, validation, recipe, base_bytes, known
        )
        pair = _measure_pair_seconds(loaded, recipe)
        rates = _rates(stepper, train, validation, recipe, prospect, pair)
    return replace(prospect, throughput=prospect.throughput.at(rates))


def _count_layers_and_parameters(folder: str | Path) -> tuple[int, int]:
    """(layers, parameters) of the model, without allocating weights. Errors: as `_build_slice`."""
    try:
        with silence_transformers(), torch.device("meta"):
            config = AutoConfig.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except LOAD_ERRORS as error:
        raise _build_slice_error(folder, error) from None
    return config.get_text_config().num_hidden_layers, sum(
        weight.numel() for weight in model.parameters()
    )


def _build_slice_error(folder: str | Path, error: BaseException) -> ModelError:
    return ModelError(
        "no-slice",
        "first layers of the model cannot be built for profiling",
        at=str(folder),
        got=" ".join(str(error).split())[:300] or type(error).__name__,
        hint="run estimate with --measure",
    )


def _build_slice(folder: str | Path, recipe: Recipe, layers: int) -> LoadedModel:
    """A model with only the first `layers` layers and random weights. Errors: `ModelError`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = choose_dtype(recipe.training.dtype, device)
    try:
        with (
            open_sanitized_folder(Path(folder), weights_needed=False) as view,
            silence_transformers(),
        ):
            config = AutoConfig.from_pretrained(
                str(view), local_files_only=True, trust_remote_code=False
            )
            text = config.get_text_config()
            text.num_hidden_layers = layers
            if getattr(text, "layer_types", None):
                text.layer_types = text.layer_types[:layers]
            model = AutoModelForCausalLM.from_config(
                config,
                dtype=dtype,
                attn_implementation=choose_attention(config),
                trust_remote_code=False,
            )
    except LOAD_ERRORS as error:
        raise _build_slice_error(folder, error) from None
    model.requires_grad_(False).eval()
    if recipe.adapter.load_in_4bit:
        quantize_to_four_bits(model, device)
    model.to(device)
    fuse(model)
    context = getattr(config, "max_position_embeddings", None) or 1 << 30
    return LoadedModel(model, device, dtype, context, sum(w.numel() for w in model.parameters()))


def _build_training_step(loaded: LoadedModel, train: TokenArrays, recipe: Recipe) -> TrainingStep:
    build_trainable(loaded, recipe.adapter)
    return TrainingStep(loaded, build_method(recipe), longest=int(np.diff(train.starts_S1).max()))


def _build_profile(
    training_step: TrainingStep,
    trial: MemoryTrial,
    train: TokenArrays,
    validation: TokenArrays,
    recipe: Recipe,
    base_bytes: int,
    known: tuple[float, float, float],
) -> TrainingProfile:
    """The plan and all that follows from it; of the throughput only memory and prompt tokens are
    known yet.

    `known`: (bytes of the weights, number of trained weights, bytes while loading).
    `prompt_seconds` holds tokens at this point, because a read token counts as one second until
    `Throughput.at` sets the real rates.
    """
    weights, trained, loading = known
    device = training_step.loaded.device
    measured = [w for w in training_step.loaded.model.parameters() if w.requires_grad]
    stored = count_values_per_weight(recipe.training.optimizer, measured)
    kept = int(
        trained
        * (BYTES_PER_VALUE * stored + (MASTER_BYTES if recipe.adapter.kind == "full" else 0))
    )
    wish = build_memory_request(training_step, train, recipe.training, recipe.seed)
    budget = compute_memory_budget(device, recipe.training, int(base_bytes + weights)) - kept
    plan = find_plan(wish, trial, budget)
    computed = [wish.count_step_tokens(train, step, plan.max_tokens) for step in wish.steps]
    look_tokens = wish.count_step_tokens(validation, range(len(validation)), plan.max_tokens)
    worst = sort_by_length_desc(train)[: recipe.training.batch_size]
    largest = max(
        count_computed_tokens(train, piece, as_forest=wish.as_forest)
        for piece in wish.split_step(train, worst, plan.max_tokens)
    )
    held = max(weights + kept + plan.bytes_per_token * largest, loading)
    # The reference model reads the further sequences of a method as well.
    method = training_step.method
    extras = method.prepare(train.select(worst[:1]))
    times_read = 0 if method.reference is None else 1 + len(extras)
    reference = int(len(train) / recipe.training.batch_size * computed[0]) * times_read
    return TrainingProfile(
        throughput=Throughput(
            0,
            1,
            0,
            0,
            prompt_seconds=_prompt_tokens(validation, as_forest=wish.as_forest),
            used_bytes=held,
        ),
        plan=plan,
        tokens_per_step=sum(computed) / len(computed),
        validation_tokens=look_tokens,
        reference_tokens=reference,
        timed_prompts=min(len(validation), recipe.evaluation.batch_size, MAX_TIMED_PROMPTS),
        base_bytes=base_bytes,
        accelerator=get_accelerator_name(device),
        no_sharing_message=training_step.no_sharing_message,
        step_pairs=sum(computed) / len(computed) * _count_mean_context(train),
        validation_pairs=look_tokens * _count_mean_context(validation),
        reference_pairs=reference * _count_mean_context(train),
    )


def _rates(
    stepper: TrainingStep,
    train: TokenArrays,
    validation: TokenArrays,
    recipe: Recipe,
    prospect: TrainingProfile,
    pair_seconds: float,
) -> Rates:
    """Measured rates: for each kind of work the shortest of some repetitions after a warm-up.

    The attention among the timed tokens is taken out of the rates per token: `pair_seconds` counts
    it by length.
    """
    stepper.set_plan(prospect.plan)
    model = stepper.loaded.model
    batch = next(iterate_batches(len(train), recipe.training.batch_size, recipe.seed))
    most_tokens = min(prospect.plan.max_tokens, MAX_TIMED_TOKENS)
    arrays = prepare_arrays(stepper.method, truncate_to_tail(train, batch, most_tokens))
    arrays = arrays.with_zero_reference(by_token=stepper.method.reference == "tokens")
    wish = build_memory_request(stepper, arrays, recipe.training, recipe.seed)
    piece = wish.split_step(arrays, range(len(arrays)), most_tokens)[0]
    tokens = wish.count_step_tokens(arrays, piece, prospect.plan.max_tokens)
    model.train()
    step_seconds = _measure_seconds(lambda: stepper.backward(arrays, piece, 1))
    masters = [_get_master_weight(weight) for weight in model.parameters() if weight.requires_grad]
    update_seconds = _measure_seconds(
        build_optimizer(
            recipe.training.optimizer, masters, stepper.loaded.device, weight_decay=0.0
        ).step
    )
    model.zero_grad(set_to_none=True)
    model.eval()
    look_seconds = _measure_seconds(lambda: stepper.compute_sequence_logps(arrays, piece))
    prompts = [
        _get_prompt_tokens(validation, e)[-PROMPT_TOKENS:] for e in range(prospect.timed_prompts)
    ]
    generator = Generator(stepper.loaded, recipe.evaluation.batch_size)
    a_pass, a_row = _measure_passes(generator, prompts, look_seconds / tokens)
    attention = pair_seconds * _count_mean_context(arrays)

    def per_token(seconds: float, passes: int) -> float:
        # Noise in the pairs must not take all of it.
        return max(seconds / tokens - passes * attention, seconds / tokens / 2)

    return Rates(
        token_seconds=per_token(step_seconds, TRAINED_PASSES),
        validation_token_seconds=per_token(look_seconds, 1),
        update_seconds=update_seconds,
        pass_seconds=a_pass,
        pass_sequence_seconds=a_row,
        pair_seconds=pair_seconds,
    )


def _measure_passes(
    generator: Generator, prompts: Sequence[list[int]], token_seconds: float
) -> tuple[float, float]:
    """(seconds of a generation pass, further seconds of each sequence in it)."""

    def pass_seconds(rows: int) -> float:
        took = _measure_seconds(
            lambda: generator.generate(prompts[:rows], 1 + TIMED_NEW_TOKENS, set())
        )
        read = sum(map(len, prompts[:rows])) * token_seconds
        # The first token comes from reading the prompt. If noise makes the rest negative, half of
        # the proportional time is the lower bound.
        return (
            max(took - read, took * TIMED_NEW_TOKENS / (1 + TIMED_NEW_TOKENS) / 2)
            / TIMED_NEW_TOKENS
        )

    all_rows, one_row = pass_seconds(len(prompts)), pass_seconds(1)
    a_row = max(0.0, all_rows - one_row) / max(1, len(prompts) - 1)
    return max(0.0, all_rows - a_row * len(prompts)), a_row


def profile_answering(folder: str, recipe: Recipe, recall: Callable[[], Rates | None]) -> Rates:
    """The rates of reading and generating alone, for a model that is not trained: those of training
    are 0. `recall` may return known ones. Errors: `ModelError` if no slice can be built.
    """
    if (known := recall()) is not None:
        return known
    try:
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            all_layers, parameters = _count_layers_and_parameters(folder)
            is_small = parameters <= MAX_FULLY_TIMED_PARAMETERS
            counts = (all_layers,) if is_small else SLICE_LAYERS
            slices = [_build_slice(folder, recipe, min(layers, all_layers)) for layers in counts]
            found = [_measure_answering(loaded, recipe) for loaded in slices]
            if is_small:
                return found[0]
            one, three = map(vars, found)
            layers = (all_layers - SLICE_LAYERS[0]) / (SLICE_LAYERS[1] - SLICE_LAYERS[0])
            return Rates(
                **{
                    name: max(one[name], one[name] + layers * (three[name] - one[name]))
                    for name in one
                }
            )
    finally:
        gc.collect()
        release_unused_memory()


def _measure_answering(loaded: LoadedModel, recipe: Recipe) -> Rates:
    generator = Generator(loaded, recipe.evaluation.batch_size)
    length = max(1, min(MAX_TIMED_TOKENS, loaded.context_length - 2))
    pair = _measure_pair_seconds(loaded, recipe)
    read = _measure_seconds(partial(generator.generate, [[1] * length], 1, set())) / length
    token = max(read - pair * length / 2, read / 2)
    rows = min(MAX_TIMED_PROMPTS, recipe.evaluation.batch_size)
    a_pass, a_row = _measure_passes(generator, [[1] * PROMPT_TOKENS] * rows, token)
    return Rates(0.0, token, 0.0, a_pass, a_row, pair)


def compute_pair_seconds(seconds: Sequence[float], tokens: Sequence[int]) -> float:
    """Seconds of one pair of tokens, from prompts of three evenly spaced lengths, at least 0.

    The second difference cancels what grows with the length alone, and what does not grow.
    """
    short, middle, long = seconds
    step = tokens[1] - tokens[0]
    return max(0.0, (long - 2 * middle + short) / step**2)


def _measure_pair_seconds(loaded: LoadedModel, recipe: Recipe) -> float:
    """Seconds of one pair of tokens in this model; 0 if its context is short."""
    longest = min(MAX_ATTENTION_TOKENS, loaded.context_length - 2)
    if longest < MIN_ATTENTION_TOKENS:
        return 0.0
    step = 7 * longest // 16
    lengths = [longest // 8 + i * step for i in range(3)]
    generator = Generator(loaded, recipe.evaluation.batch_size)
    prompt = [1] * lengths[-1]  # which token it is does not change the work
    seconds = [
        _measure_seconds(partial(generator.generate, [prompt[:length]], 1, set()))
        for length in lengths
    ]
    return compute_pair_seconds(seconds, lengths)


def _count_mean_context(arrays: TokenArrays) -> float:
    """The mean number of tokens that a token attends to: half of its sequence, on average over
    tokens.
    """
    lengths = np.diff(arrays.starts_S1).astype(np.float64)
    return float((lengths**2).sum() / 2 / max(1.0, lengths.sum()))


def _get_master_weight(weight: nn.Parameter) -> nn.Parameter:
    """The tensor that the optimizer updates: the weight or its float32 master."""
    if weight.grad is None or weight.grad.dtype == weight.dtype:
        return weight
    master = nn.Parameter(weight.detach().to(weight.grad.dtype))
    master.grad = weight.grad
    return master


def _get_prompt_tokens(arrays: TokenArrays, e: int) -> list[int]:
    """An example's tokens before the first trained one."""
    tokens_T, weights_T = arrays.get_sequence(arrays.get_sequence_range(e)[0])
    return tokens_T[: max(1, int((weights_T > 0).argmax()))].tolist()


def _prompt_tokens(validation: TokenArrays, *, as_forest: bool) -> float:
    """Average tokens that are computed per prompt: shared prefixes count once."""
    prompts = [
        np.array(_get_prompt_tokens(validation, e))
        for e in range(min(len(validation), COUNTED_PROMPTS))
    ]
    computed = len(build_forest(prompts)) if as_forest else sum(map(len, prompts))
    return computed / max(1, len(prompts))


def _measure_seconds(work: Callable[[], object]) -> float:
    """The shortest of `MAX_REPETITIONS` runs in seconds, after a warm-up run."""
    seconds: list[float] = []
    for _ in range(1 + MAX_REPETITIONS):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _measure_base_bytes() -> int:
    release_unused_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return get_used_memory_bytes(device)


def _count_weight_bytes(loaded: LoadedModel) -> int:
    tensors = [*loaded.model.parameters(), *loaded.model.buffers()]
    # Tied weights share a storage, which counts once.
    return sum(
        storage.nbytes()
        for storage in {
            t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors
        }.values()
    )


def _count_file_bytes(folder: str | Path) -> int:
    """Bytes of the weight files, whose pages are resident while they are converted."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))


def _count_trained_weights(loaded: LoadedModel) -> int:
    return sum(weight.numel() for weight in loaded.model.parameters() if weight.requires_grad)
