"""A recipe: everything that a person decides about one run. `recipe/defaults.py` fills what is None, with its source.

Rules inside one field stand here (types, ranges); rules across fields stand in `recipe/check.py`.
"""

from typing import Literal

from pydantic import Field

from tunesmith.records.decision import Bar
from tunesmith.records.record import Record

Method = Literal["sft", "dpo", "orpo", "simpo", "kto"]
AdapterKind = Literal["lora", "rslora", "dora", "qlora", "full"]


class DataRecipe(Record):
    """Where the examples come from, how they are read, split and rendered.

    `columns` maps our names to the file's (`{"prompt": "question"}`); `instruction` goes in front as the system
    message of examples that have none; `train_on="everything"` also trains the prompts.
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


class EvaluationRecipe(Record):
    """How contenders are asked and scored. `test_limit` and `validation_limit` take that many of their sides
    (validation is looked at during training); `documents` is a folder for retrieval, else the train examples are used.
    `batch_size` is the most answers made at once; fewer where the memory for their keys and values ends.
    """

    scorer: str = "auto"
    max_new_tokens: int | None = Field(None, ge=1)
    shots: int = Field(5, ge=1, le=64)
    retrieved: int = Field(3, ge=1, le=64)
    documents: str | None = None
    test_limit: int | None = Field(None, ge=2)
    validation_limit: int = Field(64, ge=2)
    batch_size: int = Field(256, ge=1)


class Recipe(Record):
    """One run, from data to verdict."""

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
    bar: Bar = Bar()
    machine_usd_per_hour: float = Field(0.10, ge=0)
