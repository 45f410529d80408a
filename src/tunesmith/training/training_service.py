"""Training services: places where a recipe is trained, built in or of a plugin.

`workflow` submits a job, follows it and fetches the tuned weights, wherever they are trained. The
built-in service is this machine (`local_trainer.py`); a plugin adds one in the group
`tunesmith.training_services`; `testing.fake_training_service` is the fake.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.records import Example, MetricLine, Recipe, ResolvedRecipe, TrainingResult
from tunesmith.records.training_services import TRAINING_SERVICES
from tunesmith.runs.session import RunSession
from tunesmith.runs.training_data import TrainingData
from tunesmith.training.training_callbacks import MetricRecorder

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import LoadedCheckpoint


@dataclass(frozen=True)
class TrainingJob:
    """A training about to begin or to resume: the run in progress and everything that it works
    with.

    `data` holds token arrays; `train` the train examples as conversations, for services that
    tokenize themselves: those with a desirable answer, none in a resumed run. `checkpoint` is what
    a resumed run of this machine continues from. `scorer` scores the answers of validation passes;
    None: the one that the recipe names.
    """

    session: RunSession
    recipe: ResolvedRecipe
    data: TrainingData
    model: LocalModel
    train: Sequence[Example] = ()
    checkpoint: "LoadedCheckpoint | None" = None
    scorer: Scorer | None = None

    @property
    def output_folder(self) -> Path:
        """Where the result goes: full fine-tuning writes a whole model, every other kind an
        adapter.
        """
        folder = self.session.folder
        return folder.model if self.recipe.adapter.kind == "full" else folder.adapter

    def build_recorder(self) -> Callable[[MetricLine], None]:
        """A function that stores and reports a metric line, for `TrainingService.follow`."""
        return MetricRecorder(self.session.folder, self.session.listener, self.recipe, 0)

    def load_tuned_model(self) -> LocalModel:
        """The model with what was written to `output_folder`, for `TrainingService.fetch`. Errors:
        `ModelError` if it does not fit the base model."""
        tuned = ResolvedModel.open(str(self.output_folder))
        return self.model.with_adapter(tuned, self.recipe)


class TrainingService(Protocol):
    """A place where a recipe is trained. `is_local`: it uses the time and memory of this machine,
    which are then estimated beforehand.
    """

    is_local: bool

    def submit(self, job: TrainingJob) -> str | None:
        """Start the training; the id under which the service knows it, stored in the run before
        anything else happens, so that a resumed run follows it instead of starting another. None
        for a training that is over when this process is.

        Errors: `RecipeError` for a recipe that the service does not train; `ProviderError`.
        """
        ...

    def follow(self, job: TrainingJob, job_id: str | None) -> TrainingResult:
        """Wait for the end and report every metric line from the first on (`job.build_recorder`).
        When `job.session.stop` is requested, return a result with the status `interrupted`: the
        training goes on where it is.

        Errors: `TrainingError`, `ProviderError`.
        """
        ...

    def fetch(self, job: TrainingJob, job_id: str | None) -> LocalModel:
        """Write the tuned weights to `job.output_folder`, an adapter in PEFT's format or a whole
        model, and return the model with them (`job.load_tuned_model`). Called after `follow`
        returned `finished`. Errors: `ProviderError`, `ModelError`.
        """
        ...


_MEMBERS = ("is_local", "submit", "follow", "fetch")


def open_training_service(recipe: Recipe) -> TrainingService:
    """The service that the recipe names. Errors: `PluginError` for a plugin that does not make a
    `TrainingService`."""
    name = recipe.training.service
    service: TrainingService = TRAINING_SERVICES.load(name)(recipe)
    TRAINING_SERVICES.check_part(name, service, _MEMBERS)
    return service
