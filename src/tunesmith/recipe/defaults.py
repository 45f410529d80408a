"""Defaults for what a recipe leaves open; each number comes with a sentence that names its source.

Learning rate of LoRA. "LoRA Without Regret" (J. Schulman et al., Thinking Machines, 2025,
https://thinkingmachines.ai/blog/lora/) finds the best rate about ten times that of full fine-tuning
(about fifteen times in runs of fewer than 100 steps), independent of the rank when the update is
scaled by alpha / rank, and falling with the width of the model; it publishes a fit over Llama and
Qwen models,

    rate = 5e-5 * 10 * (2000 / hidden_size) ** 0.781        (Llama family)

which gives 1.3e-3 at width 576 (135M), 4.9e-4 at 2,048 (1B), 2.9e-4 at 4,096 (8B), 1.7e-4 at 8,192
(70B). The later sweep in tinker-cookbook (`tinker_cookbook/hyperparam_utils.py`, batch 128) has
1e-3 for Llama 1B and 3B, and 3e-4 for 8B and 70B. We know the parameter count, not the width, and
train with small batches: the table uses the fit, rounded. Full fine-tuning uses a tenth of it.
rsLoRA scales its update by alpha / sqrt(rank), sqrt(rank) times as much as LoRA (arXiv:2312.03732),
so its rate is divided by sqrt(rank) and it moves the weights as LoRA does.

Learning rate of preference methods. They start from a model that already answers, and too high a
rate ruins it before the loss shows it (the authors of SimPO: at 1e-5, full, incoherent or repeated
sentences). Their fractions of SFT's rate are taken at 7 to 8B, where each has been published, for
full fine-tuning; the tenfold rate of LoRA holds there too (Zephyr).

    dpo, ipo   5e-7 full, 5e-6 QLoRA    alignment-handbook, zephyr-7b-beta/dpo;
                                        1e-6 full for SmolLM2-360M and 135M
    simpo      3e-7 to 1e-6             princeton-nlp/SimPO, README, four models of 7 and 8B
    kto        5e-7                     TRL's script for KTO, which uses DPO's settings
    orpo       5e-6                     alignment-handbook, zephyr-141b-A35b/orpo; its loss is
                                        SFT's with a second term

Epochs. DPO, SimPO and KTO were published with one or two epochs over tens of thousands of pairs.
"""

from math import ceil, inf

from tunesmith.records import AdapterRecipe, AppliedDefault, Method, Recipe, ResolvedRecipe
from tunesmith.records.method_specs import METHODS

DEFAULT_LEARNING_RATES = (
    (400_000_000, 1e-3),
    (3_000_000_000, 5e-4),
    (15_000_000_000, 3e-4),
    (inf, 2e-4),
)
"""(parameters below this, learning rate of LoRA)."""

DEFAULT_EPOCHS = ((2_000, 3.0), (10_000, 2.0), (inf, 1.0))
"""(training examples below this, epochs)."""

DEFAULT_PREFERENCE_EPOCHS = ((5_000, 2.0), (inf, 1.0))
"""The same for DPO, SimPO and KTO, which have nothing more to learn once they can separate the
pairs.
"""

MAX_TOKENS_UNLIMITED = 1 << 20
"""Token limit for a model without a known context: no example is that long."""

_RATE_SOURCE = (
    'fit of "LoRA Without Regret" (Schulman et al., Thinking Machines, 2025: LoRA '
    "needs about 10x the rate of full fine-tuning, less for wider models)"
)


def get_default_epochs(train_examples: int, method: Method) -> float:
    """Epochs for this many training examples if the recipe sets neither epochs nor minutes."""
    rows = DEFAULT_EPOCHS if METHODS.load(method).imitates else DEFAULT_PREFERENCE_EPOCHS
    return next(epochs for below, epochs in rows if train_examples < below)


def complete_recipe(
    recipe: Recipe,
    *,
    parameters: int | None,
    train_examples: int,
    longest_answer_tokens: int | None,
    context_tokens: int | None,
    rating_counts: tuple[int, int] | None = None,
) -> tuple[ResolvedRecipe, tuple[AppliedDefault, ...]]:
    """Fill learning rate, length of training, the two token limits, and KTO's weights where they
    are None.

    `longest_answer_tokens` is over the train split, None if not counted; `context_tokens` is the
    model's context; `rating_counts` are the desirable and undesirable training answers (KTO).
    `training.micro_batch_size` stays None (the engine fits it to the memory) and so does
    `evaluation.max_test_examples` (no limit).
    """
    open_fields = {
        "training.learning_rate": (
            recipe.training.learning_rate is None,
            _choose_learning_rate(parameters, recipe.adapter, recipe.method),
        ),
        "training.epochs": (
            recipe.training.epochs is None and recipe.training.minutes is None,
            _choose_epochs(train_examples, recipe.method),
        ),
        "data.max_length": (recipe.data.max_length is None, _choose_max_tokens(context_tokens)),
        "evaluation.max_new_tokens": (
            recipe.evaluation.max_new_tokens is None,
            _choose_max_new_tokens(longest_answer_tokens),
        ),
    }
    if (
        rating_counts is not None
        and recipe.kto.desirable_weight is None
        and recipe.kto.undesirable_weight is None
    ):
        wanted, unwanted = _balance_kto_weights(*rating_counts)
        open_fields |= {
            "kto.desirable_weight": (True, wanted),
            "kto.undesirable_weight": (True, unwanted),
        }
    used = tuple(
        AppliedDefault(key=key, value=value, source=why)
        for key, (is_open, (value, why)) in open_fields.items()
        if is_open
    )
    for default in used:
        section, field = default.key.split(".")
        filled = getattr(recipe, section).replace(**{field: default.value})
        recipe = recipe.replace(**{section: filled})
    return ResolvedRecipe.from_complete(recipe), used


def _choose_learning_rate(
    parameters: int | None, adapter: AdapterRecipe, method: Method
) -> tuple[float, str]:
    spec = METHODS.load(method)
    share, why_method = spec.rate_factor, spec.rate_source
    rate, what, why = 3e-4, "LoRA, model size unknown, so the rate for 8B", _RATE_SOURCE
    if parameters is not None:
        rate = next(rate for below, rate in DEFAULT_LEARNING_RATES if parameters < below)
        what = f"LoRA on {parameters / 1e6:,.0f}M parameters"
    if adapter.kind == "full":
        share, what = share / 10, what.replace("LoRA", "full fine-tuning", 1)
    elif adapter.use_rslora:
        share, why = (
            share / adapter.rank**0.5,
            f"{_RATE_SOURCE}; divided by sqrt(rank), by which rsLoRA's update is larger",
        )
    # Two significant digits: the source is a rule of thumb, and 1.6666e-05 would look like more.
    return float(f"{rate * share:.2g}"), "; ".join(filter(None, (f"{what}: {why}", why_method)))


def _choose_epochs(train_examples: int, method: Method) -> tuple[float, str]:
    rule = "3 passes below 2,000, 2 below 10,000, else 1"
    if not METHODS.load(method).imitates:
        rule = f"{method}: 2 passes below 5,000, else 1"
    return (
        get_default_epochs(train_examples, method),
        (
            f"{train_examples:,} train examples: {rule} (our rule; the adapter with the best "
            "validation loss is saved, so an extra epoch costs time, not quality)"
        ),
    )


def _balance_kto_weights(
    desirable: int, undesirable: int
) -> tuple[tuple[float, str], tuple[float, str]]:
    """Both kinds have the same total weight, and none less than 1 per answer: equation 8 of the KTO
    paper, at its lower end.
    """
    most = max(desirable, undesirable)
    weights = [float(f"{most / count:.3g}") if count else 1.0 for count in (desirable, undesirable)]
    counts = f"{desirable:,} desirable and {undesirable:,} undesirable train answers"
    why = f"{counts}: both kinds weigh the same (arXiv:2402.01306, equation 8)"
    return (weights[0], why), (weights[1], why)


def _choose_max_tokens(context: int | None) -> tuple[float, str]:
    if context is None:
        return (
            MAX_TOKENS_UNLIMITED,
            "the model's settings name no context, so no example is too long",
        )
    return max(8, context), f"the model's context of {context:,} tokens"


def _choose_max_new_tokens(longest_answer: int | None) -> tuple[float, str]:
    if longest_answer is None:
        return 256, "the longest train answer is not known"
    return (
        ceil(longest_answer * 1.25) + 8,
        f"the longest train answer has {longest_answer:,} tokens; a quarter more, plus 8",
    )
