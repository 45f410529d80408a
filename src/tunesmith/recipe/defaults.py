"""What a recipe leaves open is filled here; each number comes with the sentence that says where it is from.

Learning rate of LoRA. "LoRA Without Regret" (J. Schulman et al., Thinking Machines, 2025,
https://thinkingmachines.ai/blog/lora/) finds the best rate about ten times that of full fine-tuning (about fifteen
times in runs of fewer than 100 steps), independent of the rank when the update is scaled by alpha / rank, and falling
with the width of the model; it publishes a fit over Llama and Qwen models,

    rate = 5e-5 * 10 * (2000 / hidden_size) ** 0.781        (Llama family)

which gives 1.3e-3 at width 576 (135M), 4.9e-4 at 2,048 (1B), 2.9e-4 at 4,096 (8B), 1.7e-4 at 8,192 (70B). The later
sweep in tinker-cookbook (`tinker_cookbook/hyperparam_utils.py`, batch 128) has 1e-3 for Llama 1B and 3B, and 3e-4 for
8B and 70B. We know the parameter count, not the width, and train with small batches: the table takes the fit, rounded.
Full fine-tuning takes a tenth of it.
"""

from math import ceil, inf

from tunesmith.records import AdapterKind, Recipe, Record

LEARNING_RATES = ((400_000_000, 1e-3), (3_000_000_000, 5e-4), (15_000_000_000, 3e-4), (inf, 2e-4))
"""(parameters below this, rate)."""

EPOCHS = ((2_000, 3.0), (10_000, 2.0), (inf, 1.0))
"""(train examples below this, passes over them)."""

UNLIMITED_TOKENS = 1 << 20

_FIT = (
    'fit of "LoRA Without Regret" (Schulman et al., Thinking Machines, 2025: LoRA wants about 10x the rate of full '
    "fine-tuning, less for wider models)"
)


class DefaultUsed(Record):
    """One number that the recipe left open: what was put there and why."""

    key: str
    value: int | float
    source: str


def complete_recipe(
    recipe: Recipe,
    *,
    parameters: int | None,
    train_examples: int,
    longest_answer_tokens: int | None,
    context_tokens: int | None,
) -> tuple[Recipe, tuple[DefaultUsed, ...]]:
    """Fill learning rate, length of training, and the two token limits where they are None.

    `longest_answer_tokens` is over the train split, None when not counted; `context_tokens` is what the model reads.
    `training.micro_batch` stays None (the engine fits it to the memory) and `evaluation.test_limit` too (no limit).
    """
    open_fields = {
        "training.learning_rate": (recipe.training.learning_rate is None, _learning_rate(parameters, recipe.adapter.kind)),
        "training.epochs": (
            recipe.training.epochs is None and recipe.training.minutes is None,
            _epochs(train_examples),
        ),
        "data.max_tokens": (recipe.data.max_tokens is None, _max_tokens(context_tokens)),
        "evaluation.max_new_tokens": (recipe.evaluation.max_new_tokens is None, _max_new_tokens(longest_answer_tokens)),
    }
    used = tuple(
        DefaultUsed(key=key, value=value, source=why) for key, (is_open, (value, why)) in open_fields.items() if is_open
    )
    for default in used:
        section, field = default.key.split(".")
        filled = getattr(recipe, section).model_copy(update={field: default.value})
        recipe = recipe.model_copy(update={section: filled})
    return recipe, used


def _learning_rate(parameters: int | None, kind: AdapterKind) -> tuple[float, str]:
    share, what = (0.1, "full fine-tuning") if kind == "full" else (1.0, "LoRA")
    if parameters is None:
        return 3e-4 * share, f"{what}, size of the model unknown, so the rate for 8B: {_FIT}"
    rate = next(rate for below, rate in LEARNING_RATES if parameters < below)
    return rate * share, f"{what} on {parameters / 1e6:,.0f}M parameters: {_FIT}"


def _epochs(train_examples: int) -> tuple[float, str]:
    epochs = next(epochs for below, epochs in EPOCHS if train_examples < below)
    return epochs, (
        f"{train_examples:,} train examples: 3 passes below 2,000, 2 below 10,000, else 1 (our rule; "
        "the best adapter on held-out loss is kept, so a pass too many costs time, not quality)"
    )


def _max_tokens(context: int | None) -> tuple[float, str]:
    if context is None:
        return UNLIMITED_TOKENS, "the model's settings name no context, so no example is too long"
    return max(8, context), f"the model's context of {context:,} tokens"


def _max_new_tokens(longest_answer: int | None) -> tuple[float, str]:
    if longest_answer is None:
        return 256, "the longest train answer is not known"
    return ceil(
        longest_answer * 1.25
    ) + 8, f"the longest train answer has {longest_answer:,} tokens; a quarter more, plus 8"
