"""A recipe: everything that the user decides about one run. `recipe/defaults.py` fills what is
None, with its source.

Rules within one field are here (types, ranges); rules across fields are in `recipe/validate.py`.
"""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from tunesmith.records.adapter_kinds import ADAPTERS
from tunesmith.records.decision import Requirements
from tunesmith.records.method_specs import METHODS
from tunesmith.records.record import Record
from tunesmith.records.registered_name import RegisteredName
from tunesmith.records.usage_context import UsageContext

LIST_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""Accepts a YAML list for a tuple field; pydantic's strict mode would reject it."""

ContaminationKind = Literal["exact", "normalised", "13-gram", "near", "group"]
Method = Annotated[str, RegisteredName(METHODS)]
AdapterKind = Annotated[str, RegisteredName(ADAPTERS)]


class DataRecipe(Record):
    """Where the examples come from, how they are read, split and rendered.

    `columns` maps our names to the file's (`{"prompt": "question"}`); `instruction` becomes the
    system message of examples that have none; `train_on="everything"` also trains the prompts.
    `allow_leaks` names the kinds of contamination between training and given test examples that do
    not abort the run (`data/contamination.py` describes them).
    """

    path: str | None = None
    test_path: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    group: str | None = None
    instruction: str | None = None
    validation_share: float = Field(0.1, gt=0, lt=0.5)
    test_share: float = Field(0.2, gt=0, lt=0.9)
    max_tokens: int | None = Field(None, ge=8)
    train_on: Literal["answers", "everything"] = "answers"
    allow_leaks: Annotated[tuple[ContaminationKind, ...], LIST_AS_TUPLE] = ()


class AdapterRecipe(Record):
    """What is trained. LoRA: `rank` r, `alpha` (the update is scaled by alpha / r), dropout on the
    adapter's input.

    `kind`: `lora`; `rslora` scales by alpha / sqrt(r); `dora` trains direction and magnitude
    separately; `qlora` is LoRA on weights quantized to 4 bits; `full` trains the weights
    themselves: rank, alpha and dropout must then be left out.
    """

    kind: AdapterKind = "lora"
    rank: int = Field(16, ge=1, le=1024)
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class DpoRecipe(Record):
    """DPO: `beta` keeps the model close to its reference (0.1 as in the paper); `loss="ipo"` is the
    variant that does not overfit pairs with a certain preference.
    """

    beta: float = Field(0.1, gt=0)
    loss: Literal["sigmoid", "ipo"] = "sigmoid"


class OrpoRecipe(Record):
    """ORPO: `beta` (the paper's lambda) weights the odds ratio of chosen against rejected relative
    to the loss of the chosen answer.
    """

    beta: float = Field(0.1, gt=0)


class SimpoRecipe(Record):
    """SimPO: `beta` scales the mean log-probabilities, `margin` (gamma) is the required lead of
    chosen: half of beta is its authors' starting point.
    """

    beta: float = Field(2.0, gt=0)
    margin: float = Field(1.0, ge=0)


class KtoRecipe(Record):
    """KTO: `beta` as in DPO; the weights balance desirable and undesirable answers if there are
    more of one kind.
    """

    beta: float = Field(0.1, gt=0)
    desirable_weight: float | None = Field(None, gt=0)
    undesirable_weight: float | None = Field(None, gt=0)


class TrainingRecipe(Record):
    """How the weights are trained. `batch_size` counts examples per optimizer step; either `epochs`
    or `minutes` ends the run.

    `micro_batch` (examples in memory at the same time) changes memory, never the result beyond
    rounding; `memory_gb` (10^9 bytes) is what the process may use, on a GPU its tensors, by default
    what is free. A checkpoint is written every `checkpoint_minutes` (0: after every step), at each
    validation pass and when a stop is requested. The run ends early after `patience` consecutive
    validation passes (of `evaluations` in total) with neither the best score nor the lowest loss so
    far; null: never. A step whose loss or gradient is not finite is never applied; `on_bad_step`
    ends the run there, or skips the step (at most 3 in a row).
    """

    learning_rate: float | None = Field(None, gt=0)
    batch_size: int = Field(16, ge=1, le=4096)
    micro_batch: int | None = Field(None, ge=1)
    memory_gb: float | None = Field(None, gt=0)
    epochs: float | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)
    warmup_share: float = Field(0.05, ge=0, lt=1)
    decay: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    evaluations: int = Field(4, ge=1)
    patience: int | None = Field(2, ge=1)
    precision: Literal["auto", "bf16", "float32"] = "auto"
    checkpoint_minutes: float = Field(5.0, ge=0)
    on_bad_step: Literal["stop", "skip"] = "stop"


class RemoteRecipe(Record):
    """A model behind an OpenAI-compatible `url`.

    `key_variable` names the environment variable that holds the key, which is stored in no file;
    prices are looked up under `model` if they are not given; `at_once` is the number of concurrent
    requests. `max_tokens` bounds what one answer is charged for: a model that reasons before it
    answers needs thousands. A server of your own has the prices 0: at a loopback `url` it is this
    machine, elsewhere your own cloud.
    """

    name: str
    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    usd_per_million_in: float | None = Field(None, ge=0)
    usd_per_million_out: float | None = Field(None, ge=0)
    at_once: int = Field(4, ge=1, le=64)
    max_tokens: int = Field(4096, ge=1)

    @property
    def is_free(self) -> bool:
        """Whether the recipe sets both prices to 0: then it is a server of the user's own."""
        return self.usd_per_million_in == 0 and self.usd_per_million_out == 0

    @property
    def is_local(self) -> bool:
        """Whether it is a free server on the loopback; one that charges for tokens is a gateway to
        a provider.
        """
        return self.is_free and is_loopback(_get_host(self.url))


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
    """How contenders are run and scored.

    `scorer` is a name, "auto", or `file.py:function`. Choices (the number of `shots` at most, what
    is retrieved, which of `trials` candidate prompts, written by our `optimiser` or also by DSPy's)
    are made on the validation examples. `test_limit` and `validation_limit` use only that many
    examples of their splits. `answers` are files with the answers of other systems; `prompts` is a
    file or folder of prompts of your own; `remote` are models behind a URL. `constrained` adds
    contenders whose answers cannot leave the form of the training answers. `batch_size` is the
    maximum number of answers generated together; fewer if the memory for the KV cache is not
    enough.
    """

    scorer: str = "auto"
    max_new_tokens: int | None = Field(None, ge=1)
    shots: int = Field(5, ge=1, le=64)
    trials: int = Field(8, ge=0, le=1000)
    optimiser: Literal["own", "dspy"] = "own"
    constrained: bool = True
    remote: Annotated[tuple[RemoteRecipe, ...], LIST_AS_TUPLE] = ()
    answers: Annotated[tuple[str, ...], LIST_AS_TUPLE] = ()
    prompts: str | None = None
    test_limit: int | None = Field(None, ge=2)
    validation_limit: int = Field(64, ge=2)
    batch_size: int = Field(256, ge=1)


class RetrievalRecipe(Record):
    """What is retrieved for a question: passages of the `documents` folder, or else the nearest
    training examples.

    `k` results per question; None: chosen on the validation examples. `search` by words (bm25), by
    meaning (dense), or both, combined by reciprocal rank fusion; None: both if the embedding model
    is on this machine, else by words. Documents are cut into passages of `words` words that overlap
    by `overlap`.
    """

    documents: str | None = None
    k: int | None = Field(None, ge=1, le=64)
    search: Literal["bm25", "dense", "both"] | None = None
    words: int = Field(150, ge=8)
    overlap: int = Field(30, ge=0)


class JudgeRecipe(Record):
    """A model that judges free text. `model` is the name of a local model or of an
    `evaluation.remote` one.

    It decides only after it has qualified on `labels`, a file of answers that people judged;
    `rubric` describes a good answer. A remote model that judges is not a contender.
    """

    model: str | None = None
    labels: str | None = None
    rubric: str | None = None


class CostRecipe(Record):
    """Costs besides the machine's hours: `usd_per_example` to create one, `hosting_usd_per_month`
    of a tuned model, `retune_months` between tunings (None: follows from how often the task
    changes). `prices` is a file with price rows of your own.
    """

    usd_per_example: float = Field(0.0, ge=0)
    hosting_usd_per_month: float = Field(0.0, ge=0)
    retune_months: float | None = Field(None, gt=0)
    prices: str | None = None


class Recipe(Record):
    """One run, from data to verdict. `strict` fails (exit code 1) where it would otherwise warn."""

    model: str = "smollm2-135m-instruct"
    revision: str | None = None
    method: Method = "sft"
    seed: int = Field(0, ge=0)
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
    circumstances: UsageContext = UsageContext()
    bar: Requirements = Requirements()
    strict: bool = False
    machine_usd_per_hour: float = Field(0.10, ge=0)
