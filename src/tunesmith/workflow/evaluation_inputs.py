"""Everything an evaluation needs before money is spent: test examples, scorer, judge, models,
answers of other systems.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tunesmith.contenders.custom_parts import NO_CUSTOM_PARTS, CustomParts
from tunesmith.contenders.external_answers import ExternalContender
from tunesmith.contenders.external_contenders import make_contender_name, read_external_contenders
from tunesmith.contenders.qualified_judge import JudgeSetup, open_qualified_judge
from tunesmith.contenders.zero_shot_contenders import open_plain_remote_contenders
from tunesmith.data.check import check_examples
from tunesmith.data.read import LoadedDataset
from tunesmith.data.split import select_examples
from tunesmith.errors import InputError, UsageError
from tunesmith.evaluation.harness import RunnableContender, Task
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, choose_scorer
from tunesmith.evaluation.task_building import build_task, build_test_set
from tunesmith.models.resolve import is_folder_path
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import (
    CheckReport,
    Example,
    JudgeQualification,
    Recipe,
    Run,
    Split,
    TestSet,
    compute_fingerprint,
)
from tunesmith.records.evaluation import split_scorer_name
from tunesmith.runs.local_inventory import read_run_recipe, resolve_run_or_name
from tunesmith.runs.machine_info import describe_machine, list_versions
from tunesmith.runs.run_folder import RunFolder
from tunesmith.workflow.check import report_problems
from tunesmith.workflow.data_preparation import (
    read_examples,
    select_desirable,
    with_absolute_paths,
    with_resolved_scorer,
)
from tunesmith.workflow.decision_inputs import check_calls_are_read, compute_input_fingerprints

IDENTITY_PACKAGES = ("tunesmith", "transformers", "torch")
"""Packages of which another version may give other answers."""


@dataclass(frozen=True)
class EvaluationInputs:
    """`places` are the models by their names as contenders: a hub name, or an absolute path. All
    desirable examples are the test part of `split`; `task` may use fewer of them.

    `scorer_answers` are those that the scorer was chosen by and built from; `latency_examples` are
    sent one by one; `identity` is what must be unchanged when the evaluation is resumed.
    """

    recipe: Recipe
    places: Mapping[str, str]
    models: Mapping[str, ResolvedModel]
    check: CheckReport
    split: Split
    task: Task
    scorer_answers: Sequence[str]
    latency_examples: Sequence[Example]
    judge_setup: JudgeSetup
    external_contenders: Sequence[ExternalContender]
    remote_contenders: Sequence[RunnableContender]
    custom_contenders: Sequence[RunnableContender]
    identity: Mapping[str, str]

    def write(self, folder: RunFolder) -> Run:
        """Write them to the folder of a new run, and return the run's record."""
        versions = list_versions()
        folder.write_recipe(self.recipe)
        folder.write_versions(versions)
        folder.write(self.check)
        folder.write(self.split)
        folder.write(build_test_set(self.task, self.scorer_answers))
        if self.judge_setup.qualification is not None:
            folder.write(self.judge_setup.qualification)
        return Run(
            id=folder.id,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            status="running",
            recipe=self.recipe.fingerprint,
            dataset=self.check.dataset.fingerprint,
            split=self.split.fingerprint,
            machine=describe_machine(),
            versions=versions,
            seeds={"recipe": self.recipe.seed},
            reproducibility_key=dict(self.identity),
            command="evaluate",
            evaluated_models=dict(self.places),
        )


CheckEvaluation = Callable[[Recipe, Split, Sequence[Example], Mapping[str, str]], None]
"""Called with the recipe, the split, the test examples and the identity; raises if they differ from
those of an earlier run.
"""


def accept_any(
    recipe: Recipe, split: Split, examples: Sequence[Example], identity: Mapping[str, str]
) -> None:
    """A new evaluation has nothing to be compared with."""


def name_models(models: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """The models by their names as contenders, each with its place; a mapping gives the names.
    Errors: `UsageError` for a name used twice; as `resolve_run_or_name`.
    """
    named = models if isinstance(models, Mapping) else {model: model for model in models}
    places = {}
    for name, model in named.items():
        place = resolve_run_or_name(model)
        # An evaluation can be resumed from any working directory.
        place = str(Path(place).absolute()) if is_folder_path(place) else place
        places[make_contender_name(name)] = place
    if len(places) < len(models):
        raise UsageError(
            "same-name",
            "two of the models have the same name",
            got=", ".join(models),
            hint="pass each model once",
        )
    return places


def prepare_evaluation_inputs(
    places: Mapping[str, str],
    recipe: Recipe,
    listener: ProgressListener,
    examined: JudgeQualification | None = None,
    check: CheckEvaluation = accept_any,
    custom: CustomParts = NO_CUSTOM_PARTS,
) -> EvaluationInputs:
    """Gather the inputs. `examined` is an earlier qualification of the judge; `check` is called
    before any code of the user runs and before any call that costs money.

    Errors: `InputError`; `GateFailed` if the data has errors; `ProviderError` of a judge; whatever
    `check` raises.
    """
    evaluation = recipe.evaluation
    if not (places or evaluation.external_answers or evaluation.remote or custom.contenders):
        raise UsageError(
            "no-contender",
            "nothing to evaluate",
            hint=(
                "pass a model, a run, a file of answers (--external-answers FILE) or a remote model"
                " (evaluation.remote)"
            ),
        )
    # Before anything is loaded: an imported task may name the scorer.
    recipe = with_absolute_paths(with_resolved_scorer(recipe))
    loaded = read_examples(recipe)
    report = check_examples(loaded)
    report_problems(report, listener, recipe)
    desirable, examples = _select_test_examples(loaded, recipe, listener)
    split = Split(
        seed=recipe.seed,
        method="given",
        grouped_by=None,
        stratified=False,
        train=(),
        validation=(),
        test=tuple(desirable),
    )
    models = {name: ResolvedModel.open(place, recipe.revision) for name, place in places.items()}
    identity = {**build_evaluation_identity(recipe, split, models), **custom.fingerprints}
    check(recipe, split, examples, identity)
    for model in models.values():
        check_calls_are_read(model, examples)
    answers = [example.answer for example in examples]
    scorer, reason, scorer_answers = choose_evaluation_scorer(answers, recipe, places, custom)
    used = {example.id for example in examples}
    plain = build_task(loaded.dataset.name, examples, scorer, reason, recipe)
    judge_setup = open_qualified_judge(scorer, recipe, listener, examined)
    task = judge_setup.apply_to_task(plain)
    external = read_external_contenders(recipe, examples, models)
    remotes = open_plain_remote_contenders(recipe, listener)
    others = [*(one.spec for one in external), *(one.spec for one in remotes)]
    custom.check_names([*models, *(spec.name for spec in others)])
    return EvaluationInputs(
        recipe,
        places,
        models,
        report,
        split,
        task,
        scorer_answers,
        # Questions that are not scored, where there are some, as in a decision.
        [one for one in desirable.values() if one.id not in used] or examples,
        judge_setup,
        external,
        remotes,
        custom.contenders,
        identity,
    )


def build_evaluation_identity(
    recipe: Recipe, split: Split, models: Mapping[str, ResolvedModel]
) -> dict[str, str]:
    """What must be unchanged for answers of two sessions to be comparable. No code of the user is
    run.
    """
    versions = list_versions()
    return {
        "recipe": recipe.fingerprint,
        "data": compute_fingerprint(split.test),
        **{
            f"model {name}": compute_fingerprint(model.identity.files)
            for name, model in models.items()
        },
        **{name: versions.get(name, "") for name in IDENTITY_PACKAGES},
        **compute_input_fingerprints(recipe, None, ()),
    }


def choose_evaluation_scorer(
    answers: Sequence[str],
    recipe: Recipe,
    places: Mapping[str, str],
    custom: CustomParts = NO_CUSTOM_PARTS,
) -> tuple[Scorer, str, Sequence[str]]:
    """(scorer, reason, answers that it is built from): the scorer of the script or the recipe, else
    that of the first run, else the one that fits these answers.
    """
    if custom.scorer is None and recipe.evaluation.scorer == "auto":
        for name, place in places.items():
            scorer, train_answers = find_run_scorer(place)
            if scorer is not None:
                built_from = train_answers or answers
                chosen, reason = choose_scorer(built_from, scorer, LocalEmbedder)
                return chosen, f"{reason} Taken from the run {name}.", built_from
    return *custom.choose_scorer(answers, recipe.evaluation.scorer), answers


def find_run_scorer(place: str) -> tuple[str | None, Sequence[str]]:
    """The scorer of a run's contenders, and the training answers that it is built from.

    (None, ()) if the folder is not a run's, or if its training data is gone.
    """
    own = read_run_recipe(place)
    if own is None:
        return None, ()
    folder = RunFolder.open(place)
    if folder.has(TestSet):
        test = folder.read(TestSet)
        named = own.evaluation.scorer if own.evaluation.scorer != "auto" else None
        return (
            named or next((one for one in split_scorer_name(test.scorer) if one in SCORERS), None),
            test.labels,
        )
    try:
        train = select_examples(read_examples(own).examples, folder.read(Split).train)
    except InputError:
        return None, ()
    return own.evaluation.scorer if train else None, [example.answer for example in train]


def _select_test_examples(
    loaded: LoadedDataset, recipe: Recipe, listener: ProgressListener
) -> tuple[dict[str, Example], list[Example]]:
    """(all distinct desirable examples by id, those of them that are evaluated), in the order of
    the file.
    """
    desirable = {one.id: one for one in select_desirable("given", loaded.examples)}
    # ids are hashes, so the first ones are a fair sample
    used = set(sorted(desirable)[: recipe.evaluation.max_test_examples])
    # in the order of the file
    examples = [example for example in desirable.values() if example.id in used]
    is_rated = any(example.is_desirable is False for example in loaded.examples)
    listener.note(
        "data/evaluated",
        f"using {len(examples):,} of {len(loaded.examples):,} examples, exact duplicates"
        f" once{', undesirable answers excluded' if is_rated else ''}",
        count=len(examples),
    )
    return desirable, examples
