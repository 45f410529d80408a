"""A recipe: everything that a person decides about one run. `recipe/defaults.py` fills what is None, with its source.

Rules inside one field stand here (types, ranges); rules across fields stand in `recipe/validate.py`.
"""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from tunesmith.records.decision import Requirements
from tunesmith.records.record import Record
from tunesmith.records.usage_context import UsageContext

LIST_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""A list of YAML is taken where a tuple is wanted; without this, strict reading refuses it."""

ContaminationKind = Literal["exact", "normalised", "13-gram", "near", "group"]
Method = Literal["sft", "dpo", "orpo", "simpo", "kto"]
AdapterKind = Literal["lora", "rslora", "dora", "qlora", "full"]


class DataRecipe(Record):
    """Where the examples come from, how they are read, split and rendered.

    `columns` maps our names to the file's (`{"prompt": "question"}`); `instruction` goes in front as the system
    message of examples that have none; `train_on="everything"` also trains the prompts. `allow_leaks` names the kinds
    of leakage between training and given test examples that stop nobody (`data/contamination.py` says what they are).
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
    """What is trained. LoRA: `rank` r, `alpha` (the update is scaled by alpha / r), dropout on the adapter's input.

    `kind`: `lora`; `rslora` scales by alpha / sqrt(r); `dora` trains directions and lengths; `qlora` is LoRA on weights
    held in 4 bits; `full` trains the weights themselves: rank, alpha and dropout must then be left out.
    """

    kind: AdapterKind = "lora"
    rank: int = Field(16, ge=1, le=1024)
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class DpoRecipe(Record):
    """DPO: `beta` holds the model near its reference (0.1 as in the paper); `loss="ipo"` is the variant that does not
    overfit sure pairs."""

    beta: float = Field(0.1, gt=0)
    loss: Literal["sigmoid", "ipo"] = "sigmoid"


class OrpoRecipe(Record):
    """ORPO: `beta` (the paper's lambda) weighs the odds of chosen against rejected beside the loss of the chosen
    answer."""

    beta: float = Field(0.1, gt=0)


class SimpoRecipe(Record):
    """SimPO: `beta` scales the mean log-probabilities, `margin` (gamma) is what chosen must be ahead by: half of beta
    is where its authors begin."""

    beta: float = Field(2.0, gt=0)
    margin: float = Field(1.0, ge=0)


class KtoRecipe(Record):
    """KTO: `beta` as in DPO; the weights balance wanted and unwanted answers when there are more of one kind."""

    beta: float = Field(0.1, gt=0)
    desirable_weight: float | None = Field(None, gt=0)
    undesirable_weight: float | None = Field(None, gt=0)


class TrainingRecipe(Record):
    """How the weights move. `batch_size` counts examples per optimizer step; either `epochs` or `minutes` ends the run.

    `micro_batch` (examples at once in memory) changes memory, never the result beyond rounding; `memory_gb` (10^9
    bytes) is what the process may hold, on a GPU its tensors, by default what is free. A checkpoint is written every
    `checkpoint_minutes` (0: after every step), at each look and when asked to stop. The run ends early when `patience`
    looks in a row (of `evaluations` in all) had neither the best score nor the lowest loss so far; null: it never does.
    A step whose loss or gradient is not finite is never applied; `on_bad_step` ends the run there, or leaves the step
    out (at most 3 in a row).
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

    `key_variable` names the environment variable that holds the key, which stands in no file; prices are looked up
    under `model` where they are not given; `at_once` requests are under way at the same time. `max_tokens` bounds what
    one answer is charged for: a model that reasons before it answers needs thousands. A server of your own has the
    prices 0: at a loopback `url` it is this machine, elsewhere your own cloud.
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
        """Whether the recipe says that nobody charges for tokens: then it is a server of the user's own."""
        return self.usd_per_million_in == 0 and self.usd_per_million_out == 0

    @property
    def is_local(self) -> bool:
        """A free server on the loopback; one that charges for tokens is the gateway of a provider."""
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
    """How contenders are asked and scored.

    `scorer` is a name, "auto", or `file.py:function`. Choices (how many `shots` at most, what is retrieved, which of
    `trials` candidate prompts, written by our `optimiser` or by DSPy's too) are made on the validation examples.
    `test_limit` and `validation_limit` take that many of their sides. `answers` are files with the answers of other
    systems; `prompts` is a file or folder of prompts of your own; `remote` are models behind a URL. `constrained` adds
    contenders whose answers cannot leave the form of the train answers. `batch_size` is the most answers made at once;
    fewer where the memory for their keys and values ends.
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
    """What is looked up for a question: passages of the `documents` folder, else the nearest train examples.

    `k` finds a question; None: chosen on the validation examples. `search` by words (bm25), by meaning (dense), or both
    joined by reciprocal rank; None: both where the embedding model is on this machine, else by words. Documents are cut
    into passages of `words` words that share `overlap`.
    """

    documents: str | None = None
    k: int | None = Field(None, ge=1, le=64)
    search: Literal["bm25", "dense", "both"] | None = None
    words: int = Field(150, ge=8)
    overlap: int = Field(30, ge=0)


class JudgeRecipe(Record):
    """A model that judges free text. `model` is a local model's name or that of a `evaluation.remote` one.

    It decides only after it has qualified on `labels`, a file of answers that people judged; `rubric` says what is
    good. A remote model that judges is no contender.
    """

    model: str | None = None
    labels: str | None = None
    rubric: str | None = None


class CostRecipe(Record):
    """What costs, besides the machine's hours: `usd_per_example` to make one, `hosting_usd_per_month` of a tuned model,
    `retune_months` between tunings (None: follows from how often the task changes). `prices` is a file of price rows of
    your own."""

    usd_per_example: float = Field(0.0, ge=0)
    hosting_usd_per_month: float = Field(0.0, ge=0)
    retune_months: float | None = Field(None, gt=0)
    prices: str | None = None


class Recipe(Record):
    """One run, from data to verdict. `strict` refuses (exit code 1) where it would otherwise warn."""

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
