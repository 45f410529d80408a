"""A recipe: everything that the user decides about one run. `recipe/defaults.py` fills what is
None, with its source.

Rules within one field are here (types, ranges); rules across fields are in `recipe/validate.py`.
"""

import ipaddress
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from tunesmith.records.adapter_kinds import ADAPTERS
from tunesmith.records.decision import Requirements
from tunesmith.records.method_specs import METHODS
from tunesmith.records.record import Record
from tunesmith.records.registered_name import RegisteredName
from tunesmith.records.training_services import LOCAL, TRAINING_SERVICES
from tunesmith.records.usage_context import UsageContext

LIST_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""Accepts a YAML list for a tuple field; pydantic's strict mode would reject it."""

ALL_LINEAR = "all-linear"
"""The value of `adapter.target_modules` that adapts every linear layer except the output head."""


def _read_target_modules(value: Any) -> Any:
    names = tuple(value) if isinstance(value, list) else value
    is_list = isinstance(names, tuple) and names and all(isinstance(n, str) and n for n in names)
    if is_list or names == ALL_LINEAR:
        return names
    # Raised before the union is tried, which would report one error for each of its types.
    raise PydanticCustomError(
        "target_modules",
        "give all-linear or a list of names of linear layers, such as [q_proj, v_proj]",
    )


TargetModules = Annotated[
    Literal["all-linear"] | tuple[str, ...], BeforeValidator(_read_target_modules)
]
ContaminationKind = Literal["exact", "normalised", "13-gram", "near", "group"]
OptimizerName = Literal["adamw", "adafactor"]
CheckpointingChoice = Literal["auto", "on", "off"]
Method = Annotated[str, RegisteredName(METHODS)]
AdapterKind = Annotated[str, RegisteredName(ADAPTERS)]
TrainingServiceName = Annotated[str, RegisteredName(TRAINING_SERVICES)]


class DataRecipe(Record):
    """Where the examples come from, how they are read, split and rendered."""

    path: str | None = Field(
        None,
        description="A file (JSONL, JSON, CSV, TSV, Parquet), a folder, or a built-in sample.",
    )
    test_path: str | None = Field(
        None, description="Test examples of your own. Without it a fraction of `path` is held out."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Which column of the file is which of ours, for example `{prompt: question}`.",
    )
    group_column: str | None = Field(
        None, description="Column that names a group; examples of one group stay in one split."
    )
    system_prompt: str | None = Field(
        None, description="System message of the examples that have none."
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="Fraction of the examples that choices are made on."
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=0.9, description="Fraction of the examples that the verdict is measured on."
    )
    max_length: int | None = Field(
        None,
        ge=8,
        description="Longest example in tokens; a longer one is an error, nothing is truncated. "
        "Default: the model's context.",
    )
    train_on_prompts: bool = Field(
        False, description="Also train on the prompts, not on the answers alone."
    )
    allow_contamination: Annotated[tuple[ContaminationKind, ...], LIST_AS_TUPLE] = Field(
        (),
        description="Kinds of contamination between training and given test examples that do not "
        "stop a run.",
    )


class AdapterRecipe(Record):
    """What is trained: a LoRA adapter, or with `kind: full` all weights; then the LoRA options are
    left at their defaults.
    """

    kind: AdapterKind = Field(
        "lora",
        description="`lora`: low-rank matrices added to the frozen weights; `full`: the weights "
        "themselves.",
    )
    rank: int = Field(16, ge=1, le=1024, description="LoRA: rank r of the update.")
    alpha: float = Field(32.0, gt=0, description="LoRA: the update is scaled by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="LoRA: dropout on the adapter's input.")
    target_modules: TargetModules = Field(
        "all-linear",
        description="LoRA: which layers are adapted. `all-linear`: every linear layer except the "
        "output head; or a list of names or ends of names, as in PEFT: `[q_proj, v_proj]`.",
    )
    use_rslora: bool = Field(False, description="LoRA: scale by alpha / sqrt(r) (rsLoRA).")
    use_dora: bool = Field(
        False, description="LoRA: train direction and magnitude separately (DoRA)."
    )
    load_in_4bit: bool = Field(
        False,
        description="LoRA: hold the frozen weights in 4 bits (NF4), as QLoRA does; needs the extra "
        "`qlora`.",
    )


class DpoRecipe(Record):
    """DPO."""

    beta: float = Field(
        0.1,
        gt=0,
        description="How strongly the model is kept close to its reference (the paper's).",
    )
    loss: Literal["sigmoid", "ipo"] = Field(
        "sigmoid",
        description="`ipo` does not overfit pairs whose preference is certain.",
    )


class OrpoRecipe(Record):
    """ORPO."""

    beta: float = Field(
        0.1,
        gt=0,
        description="Weight of the odds ratio of chosen against rejected, relative to the loss of "
        "the chosen answer (the paper's lambda).",
    )


class SimpoRecipe(Record):
    """SimPO."""

    beta: float = Field(2.0, gt=0, description="Scale of the mean log-probabilities.")
    margin: float = Field(
        1.0,
        ge=0,
        description="Required lead of the chosen answer (gamma); half of beta is its authors' "
        "starting point.",
    )


class KtoRecipe(Record):
    """KTO."""

    beta: float = Field(
        0.1, gt=0, description="How strongly the model is kept close to its reference, as in DPO."
    )
    desirable_weight: float | None = Field(
        None,
        gt=0,
        description="Weight of the desirable answers. Default: both kinds have the same total "
        "weight.",
    )
    undesirable_weight: float | None = Field(
        None, gt=0, description="Weight of the undesirable answers. Default: as above."
    )

    @property
    def answer_weights(self) -> tuple[float, float]:
        """Weights of a desirable and an undesirable answer; 1 for the one that is left open where
        the user has set the other.
        """
        weights = (self.desirable_weight, self.undesirable_weight)
        desirable, undesirable = (1.0 if weight is None else weight for weight in weights)
        return desirable, undesirable


class TrainingRecipe(Record):
    """How the weights are trained. Either `epochs` or `minutes` ends the training."""

    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate. Default: by size, method and adapter, with its source.",
    )
    batch_size: int = Field(16, ge=1, le=4096, description="Examples per optimizer step.")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Examples in memory at a time; changes memory, not the result beyond rounding. "
        "Default: found by trial.",
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory that the process may use, in 10^9 bytes (on a GPU: for its tensors). "
        "Default: what is free.",
    )
    epochs: float | None = Field(
        None, gt=0, description="Passes over the training examples. Default: by their number."
    )
    minutes: float | None = Field(
        None, gt=0, description="Time budget of the training, instead of `epochs`."
    )
    warmup_ratio: float = Field(
        0.05, ge=0, lt=1, description="Fraction of the training in which the learning rate rises."
    )
    lr_scheduler: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the learning rate falls after the warm-up."
    )
    optimizer: OptimizerName = Field(
        "adamw",
        description="`adamw`; or `adafactor`, for `adapter.kind: full` where memory is short: it "
        "stores next to nothing for each weight instead of 8 bytes, and needs a `learning_rate`.",
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of the optimizer.")
    max_grad_norm: float = Field(
        1.0, gt=0, description="Gradients with a larger norm are scaled down to it."
    )
    num_evals: int = Field(
        4, ge=1, description="Validation passes in the whole training; each writes a checkpoint."
    )
    early_stopping_patience: int | None = Field(
        2,
        ge=1,
        description="Stop after this many consecutive validation passes with neither the best "
        "score nor the lowest loss so far; null: never.",
    )
    gradient_checkpointing: CheckpointingChoice = Field(
        "auto",
        description="Recompute activations in the backward pass: less memory, a third more work. "
        "`auto`: only where memory is short.",
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="Number format; `auto`: bfloat16 where the hardware multiplies it."
    )
    checkpoint_minutes: float = Field(
        5.0, ge=0, description="Minutes between checkpoints; 0: one after every step."
    )
    on_nonfinite: Literal["stop", "skip"] = Field(
        "stop",
        description="What happens after a step whose loss or gradient is NaN or infinite: it is "
        "never applied; `skip` continues, for at most 3 consecutive steps.",
    )
    service: TrainingServiceName = Field(
        LOCAL, description="Where it is trained: `local`, this machine, or a plugin's service."
    )


class RemoteRecipe(Record):
    """A model behind an OpenAI-compatible URL. A server of your own has both prices 0: at a
    loopback URL it is this machine, elsewhere your own cloud.
    """

    name: str = Field(description="What its contenders are called.")
    base_url: str = Field(description="URL of the service, for example https://api.openai.com/v1.")
    model: str = Field(
        description="The service's name of the model; prices are looked up under it."
    )
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the API key; the key is stored in no file.",
    )
    usd_per_million_in: float | None = Field(
        None, ge=0, description="USD per million input tokens. Default: the price table."
    )
    usd_per_million_out: float | None = Field(
        None, ge=0, description="USD per million output tokens. Default: the price table."
    )
    max_concurrency: int = Field(4, ge=1, le=64, description="Concurrent requests.")
    max_tokens: int = Field(
        4096,
        ge=1,
        description="Limit of what one answer is charged for; a model that reasons before it "
        "answers needs thousands.",
    )

    @property
    def is_free(self) -> bool:
        """Whether the recipe sets both prices to 0: then it is a server of the user's own."""
        return self.usd_per_million_in == 0 and self.usd_per_million_out == 0

    @property
    def is_local(self) -> bool:
        """Whether it is a free server on the loopback; one that charges for tokens is a gateway to
        a provider.
        """
        return self.is_free and is_loopback(_get_host(self.base_url))


def is_loopback(host: str) -> bool:
    """Whether a host name or address is the loopback of this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _get_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class EvaluationRecipe(Record):
    """How contenders are run and scored. Choices are made on the validation examples."""

    scorer: str = Field(
        "auto", description="A scorer's name, `auto`, or `file.py:function` of your own."
    )
    max_new_tokens: int | None = Field(
        None,
        ge=1,
        description="Longest answer in tokens. Default: the longest training answer, a quarter "
        "more, plus 8.",
    )
    max_shots: int = Field(
        5, ge=1, le=64, description="Most examples in a few-shot prompt; how many is chosen."
    )
    prompt_trials: int = Field(
        8,
        ge=0,
        le=1000,
        description="Candidate prompts that the prompt search tries; 0: no search.",
    )
    prompt_optimizer: Literal["builtin", "dspy"] = Field(
        "builtin", description="`dspy` adds a prompt that DSPy found (extra `dspy`)."
    )
    constrained: bool = Field(
        True,
        description="Also run contenders whose answers cannot leave the format of the training "
        "answers.",
    )
    remote: Annotated[tuple[RemoteRecipe, ...], LIST_AS_TUPLE] = Field(
        (), description="Models behind an OpenAI-compatible URL, compared too."
    )
    external_answers: Annotated[tuple[str, ...], LIST_AS_TUPLE] = Field(
        (), description="Files with the answers of other systems to the test questions."
    )
    prompts: str | None = Field(
        None, description="A file or folder of prompts of your own, compared too."
    )
    max_test_examples: int | None = Field(
        None, ge=2, description="Use only that many test examples. Default: all."
    )
    max_validation_examples: int = Field(
        64, ge=2, description="Use only that many validation examples for choices."
    )
    batch_size: int = Field(
        256, ge=1, description="Most answers generated together; fewer if memory is short."
    )


class RetrievalRecipe(Record):
    """What is retrieved for a question."""

    documents: str | None = Field(
        None, description="Folder of documents. Default: the nearest training examples."
    )
    top_k: int | None = Field(
        None, ge=1, le=64, description="Results per question. Default: chosen on validation."
    )
    search: Literal["bm25", "dense", "hybrid"] | None = Field(
        None,
        description="By words (bm25), by meaning (dense), or both, joined by reciprocal rank "
        "fusion. Default: hybrid if the embedding model is on this machine, else bm25.",
    )
    chunk_size: int = Field(150, ge=8, description="Words of a passage of a document.")
    chunk_overlap: int = Field(30, ge=0, description="Words that neighboring passages share.")


class JudgeRecipe(Record):
    """A model that judges free text. It decides only after it has qualified."""

    model: str | None = Field(
        None,
        description="A local model, or the name of an `evaluation.remote` one, which is then no "
        "contender.",
    )
    human_labels: str | None = Field(
        None, description="File of answers that people judged, on which the judge must qualify."
    )
    rubric: str | None = Field(None, description="What a good answer is, in your words.")


class CostRecipe(Record):
    """Costs besides the machine's hours."""

    usd_per_example: float = Field(0.0, ge=0, description="USD to create one training example.")
    hosting_usd_per_month: float = Field(
        0.0, ge=0, description="USD a month for hosting a tuned model."
    )
    retune_months: float | None = Field(
        None,
        gt=0,
        description="Months between tunings. Default: by `usage.task_change_frequency`.",
    )
    prices: str | None = Field(None, description="File with price rows of your own (TOML).")


class Recipe(Record):
    """One run, from data to verdict."""

    model: str = Field(
        "smollm2-135m-instruct",
        description="The model that is prompted and tuned: a name, a hub id, a folder, or an "
        "earlier run.",
    )
    revision: str | None = Field(
        None, description="Commit or tag of a hub model. Default: pinned when a run begins."
    )
    method: Method = Field("sft", description="Training method.")
    seed: int = Field(0, ge=0, description="Seed of split, order and dropout.")
    data: DataRecipe = DataRecipe()
    adapter: AdapterRecipe = AdapterRecipe()
    dpo: DpoRecipe = DpoRecipe()
    orpo: OrpoRecipe = OrpoRecipe()
    simpo: SimpoRecipe = SimpoRecipe()
    kto: KtoRecipe = KtoRecipe()
    training: TrainingRecipe = TrainingRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    retrieval: RetrievalRecipe = RetrievalRecipe()
    judge: JudgeRecipe = JudgeRecipe()
    cost: CostRecipe = CostRecipe()
    usage: UsageContext = UsageContext()
    requirements: Requirements = Requirements()
    fail_on_warning: bool = Field(
        False, description="Fail (exit code 1) where a run would otherwise warn."
    )
    machine_usd_per_hour: float = Field(
        0.10, ge=0, description="USD that an hour of this machine costs you."
    )
