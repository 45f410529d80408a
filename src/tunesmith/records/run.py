"""One run of a command: its inputs, status and results."""

from typing import Literal

from pydantic import Field

from tunesmith.errors import RecordError
from tunesmith.records.record import Record
from tunesmith.records.training_estimate import Estimate, MemoryPlan
from tunesmith.records.training_length import TrainingLength

RunStatus = Literal["running", "finished", "interrupted", "failed"]
Command = Literal["train", "decide", "evaluate"]


class ModelIdentity(Record):
    """Exactly which weights: their origin and the SHA-256 of every file that was read.

    `adapter` is the folder of a PEFT adapter on these weights; its files are in `files` as
    "adapter/NAME".
    """

    name: str
    source: Literal["embedded", "folder", "hub"]
    revision: str | None
    folder: str
    files: dict[str, str]
    parameters: int | None = None
    adapter: str | None = None


class Machine(Record):
    """The machine of a run."""

    platform: str
    processor: str
    cores: int
    memory_bytes: int
    accelerator: str | None


class MetricLine(Record):
    """One line of `metrics.jsonl`: an optimizer step, or (kind "validation") a validation pass.

    `loss` is the method's: for SFT nats per trained token. `reward_accuracy` is the fraction of
    validation examples where the model prefers the right answer (preference methods). `score` is
    the generation metric, measured on generated answers. A step of kind "skipped" was not applied
    and has no loss; `warning` says why, or describes an anomaly of an applied step; in the first
    validation pass, why examples cannot share prefixes.
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
    """How a training ended. `best_step` is the step whose weights were saved; `plan` is the final
    one.

    `validation_seconds` are those of the validation passes, included in `seconds`;
    `training_length` says how many passes over the data it was (None: a run of an older version).
    `stopped_early`: patience ran out before the steps or minutes. `energy_joules` is None if the
    machine does not report it, or the training was interrupted. `waiting`: the fraction of the time
    that this program waited for a core, None if the platform does not count it.
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
    stopped_early: bool = False
    energy_joules: float | None = None
    validation_seconds: float = 0.0
    training_length: TrainingLength | None = None
    waiting: float | None = None


class AppliedDefault(Record):
    """One number that the recipe left open: the value used and its source."""

    key: str
    value: int | float
    source: str


class Run(Record):
    """The record of a run (`run.json`). Everything needed to repeat the run is in it or next to it.

    `adapter_files` are the SHA-256 of the files in `adapter/` (`model/` after full fine-tuning), by
    which they are verified when the run is used. `reproducibility_key` is what must be unchanged
    when an interrupted run is resumed; `environment_changes` lists the differences that were
    allowed, `resume_count` counts the resumptions. `estimate` was made before training;
    `estimate_error` is actual / expected of its time and its memory. `command` began the run:
    `resume` continues to the end of it. `defaults` are the numbers that the user did not set.

    An evaluation trains nothing: it has no `model` and no `prepared` splits, but
    `evaluated_models`, each by its name as a contender with its folder or hub name.
    """

    id: str
    created: str
    status: RunStatus
    recipe: str
    dataset: str
    split: str
    prepared: dict[str, str] = Field(default_factory=dict)
    model: ModelIdentity | None = None
    machine: Machine
    versions: dict[str, str]
    seeds: dict[str, int]
    result: TrainingResult | None = None
    adapter_files: dict[str, str] = Field(default_factory=dict)
    reproducibility_key: dict[str, str] = Field(default_factory=dict)
    resume_count: int = 0
    environment_changes: tuple[str, ...] = ()
    estimate: Estimate | None = None
    estimate_error: dict[str, float] = Field(default_factory=dict)
    command: Command = "train"
    defaults: tuple[AppliedDefault, ...] = ()
    training_job: str | None = None
    evaluated_models: dict[str, str] = Field(default_factory=dict)

    @property
    def trained_model(self) -> ModelIdentity:
        """The model that was trained, as it was before. Errors: `RecordError` for an evaluation."""
        if self.model is None:
            raise RecordError(
                "not-trained",
                "run evaluated models and trained none",
                got=f"run {self.id}, begun by tunesmith {self.command}",
                hint="pass a run of tunesmith train or decide",
            )
        return self.model

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names of the models that the run is about."""
        return (self.model.name,) if self.model else tuple(self.evaluated_models)
