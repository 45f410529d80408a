"""One training run: what it was given, where it stands, what it left."""

from typing import Literal

from pydantic import Field

from tunesmith.records.record import Record
from tunesmith.records.training_estimate import Estimate, MemoryPlan
from tunesmith.records.training_length import TrainingLength

RunStatus = Literal["running", "finished", "interrupted", "failed"]
Command = Literal["train", "decide"]


class ModelIdentity(Record):
    """Exactly which weights: where they came from and the SHA-256 of every file that was read.

    `adapter` is the folder of a PEFT adapter that stands on these weights; its files are in `files` as "adapter/NAME".
    """

    name: str
    source: Literal["embedded", "folder", "hub"]
    revision: str | None
    folder: str
    files: dict[str, str]
    parameters: int | None = None
    adapter: str | None = None


class Machine(Record):
    """Where a run was made."""

    platform: str
    processor: str
    cores: int
    memory_bytes: int
    accelerator: str | None


class MetricLine(Record):
    """One line of `metrics.jsonl`: an optimizer step, or (kind "validation") a look at the validation split.

    `loss` is the method's: for SFT nats per trained token. `reward_accuracy` is the share of validation examples where
    the model prefers what it should (preference methods). `score` is the generation metric, measured on sampled
    answers. A step of kind "skipped" was not applied and has no loss; `warning` says why, or what was odd about a step
    that was applied; at the first look, why examples cannot share their beginnings.
    """

    kind: Literal["step", "validation", "skipped"]
    step: int
    epoch: float
    loss: float | None
    seconds: float
    learning_rate: float | None = None
    gradient_norm: float | None = None
    tokens_trained: int | None = None
    tokens_read: int | None = None
    score: float | None = None
    score_name: str | None = None
    reward_accuracy: float | None = None
    warning: str | None = None


class TrainingResult(Record):
    """How a training ended. `best_step` is the step whose adapter was kept; `plan` is the one at the end.

    `validation_seconds` are those of the validation passes, which `seconds` contain; `extent` says how many passes over
    the data it was (None: a run of an older version). `ended_early`: the recipe's patience was at its end before the
    steps or minutes were. `energy_joules` is None where the machine does not tell, and where the training was cut short
    in between. `waiting`: the share of the time that this program waited for a core, None where nobody counts it.
    """

    status: RunStatus
    steps: int
    planned_steps: int | None
    best_step: int
    best_validation_loss: float | None
    best_score: float | None
    seconds: float
    tokens_trained: int
    tokens_read: int
    peak_memory_bytes: int
    trainable_parameters: int
    plan: MemoryPlan | None = None
    ended_early: bool = False
    energy_joules: float | None = None
    validation_seconds: float = 0.0
    extent: TrainingLength | None = None
    waiting: float | None = None


class AppliedDefault(Record):
    """One number that the recipe left open: what was put there and why."""

    key: str
    value: int | float
    source: str


class Run(Record):
    """The head of a run folder (`run.json`). Everything needed to make the run again is in here or beside it.

    `adapter_files` are the SHA-256 of the files in `adapter/` (`model/` after full fine-tuning), by which they are
    verified when the run is used.
    `identity` is what must be the same when a run that was cut short goes on; `drift` says what differed and was
    allowed, `resumed` how often it went on. `estimate` was made before training; `estimate_error` is actual /
    expected of its time and its memory. `command` is what began it: `resume` goes on to the same end. `defaults` are
    the numbers that nobody chose.
    """

    id: str
    created: str
    status: RunStatus
    recipe: str
    dataset: str
    split: str
    prepared: dict[str, str]
    model: ModelIdentity
    machine: Machine
    versions: dict[str, str]
    seeds: dict[str, int]
    result: TrainingResult | None = None
    adapter_files: dict[str, str] = Field(default_factory=dict)
    identity: dict[str, str] = Field(default_factory=dict)
    resumed: int = 0
    drift: tuple[str, ...] = ()
    estimate: Estimate | None = None
    estimate_error: dict[str, float] = Field(default_factory=dict)
    command: Command = "train"
    defaults: tuple[AppliedDefault, ...] = ()
