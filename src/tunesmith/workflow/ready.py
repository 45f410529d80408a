"""All that a decision needs before anything is spent: data, task, what its test set can show, judge, remote models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tunesmith.baselines.dspy import installed_dspy
from tunesmith.baselines.form import form_of
from tunesmith.baselines.own_prompts import OwnPrompt
from tunesmith.baselines.rag.documents import Documents
from tunesmith.errors import GateFailed
from tunesmith.evaluation.evaluate import Task, check_task
from tunesmith.evaluation.outside import Outsider
from tunesmith.evaluation.scorers.choose import choose_scorer
from tunesmith.files import sha256_of
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.records import AnswerForm, PowerStatement, Qualification, Recipe, fingerprint_of
from tunesmith.workflow.answerers import Answerer, remote_answerers
from tunesmith.workflow.contest import check_own_scorer
from tunesmith.workflow.documents import open_documents
from tunesmith.workflow.judging import Judging, open_judging
from tunesmith.workflow.listener import Listener
from tunesmith.workflow.material import Material, gather
from tunesmith.workflow.outsiders import names_in_decide, own_prompts, read_outsiders
from tunesmith.workflow.showing import planned

HELD = "Contenders with that in their prompt take part, and contenders that can answer nothing else."
FREE = "Contenders with that in their prompt take part; none is held to it (evaluation.constrained is false)."


@dataclass(frozen=True)
class Ready:
    """`plain` is the task with the scorer that needs no judge: choices are made with it. `inputs` are the fingerprints
    of all that is read besides data and model: a run that goes on should find them as they were."""

    material: Material
    plain: Task
    power: PowerStatement
    judging: Judging
    outsiders: Sequence[Outsider]
    documents: Documents | None
    prompts: Sequence[OwnPrompt]
    form: AnswerForm | None
    remotes: Sequence[Answerer]
    inputs: Mapping[str, str]

    @property
    def task(self) -> Task:
        """What decides."""
        return self.judging.task(self.plain)


def make_ready(
    recipe: Recipe,
    listener: Listener,
    examined: Qualification | None = None,
    check: Callable[[Material, Mapping[str, str]], None] = lambda material, inputs: None,
) -> Ready:
    """Gather it. `examined` is how the judge did when it was examined earlier; `check` hears of the data and of
    what else is read before code of the user's own runs and before anything is asked that costs.

    Errors: `InputError`; `GateFailed` when the data has errors or leaks, and with `strict` when the test set is too
    small; whatever `check` raises.
    """
    documents = open_documents(recipe, listener)  # quick to fail, so before all that is slow
    prompts = own_prompts(recipe)
    if recipe.evaluation.optimiser == "dspy":
        installed_dspy()
    material = gather(recipe, listener)
    inputs = inputs_of(material.recipe, documents, prompts)
    check(material, inputs)
    task = task_of(material)
    power = say_power(material, listener)
    outsiders = read_outsiders(
        material.recipe, task.examples, names_in_decide(material.recipe, [one.name for one in prompts])
    )
    judging = open_judging(task.scorer, material.recipe, listener, examined)
    form, why = form_of([example.answer for example in material.train])
    listener.note(why if form is None else f"{why} {HELD if recipe.evaluation.constrained else FREE}")
    remotes = remote_answerers(material, form, listener)
    return Ready(material, task, power, judging, outsiders, documents, prompts, form, remotes, inputs)


def inputs_of(recipe: Recipe, documents: Documents | None, prompts: Sequence[OwnPrompt]) -> dict[str, str]:
    """Fingerprints of what is read besides data and model; "" where the file is gone. Nothing of it is run."""
    scorer = recipe.evaluation.scorer
    own, _, _ = scorer.rpartition(":")
    files = {
        "scorer": own if own.endswith(".py") else scorer.removeprefix("sql:") if scorer.startswith("sql:") else None,
        "judge.labels": recipe.judge.labels,
        "cost.prices": recipe.cost.prices,
        **{f"answers of {Path(file).stem}": file for file in recipe.evaluation.answers},
    }
    passages = [[one.source, one.text] for one in documents.passages] if documents else []
    read_ones = {"documents": fingerprint_of(passages)} if passages else {}
    own_ones = {"prompts": fingerprint_of([asdict(one) for one in prompts])} if prompts else {}
    sums = {name: _sha256_of(Path(file)) for name, file in files.items() if file is not None}
    return {**read_ones, **own_ones, **sums}


def _sha256_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:  # whoever needs it says so
        return ""


def task_of(material: Material) -> Task:
    """The test examples and the scorer that the train answers call for. Errors: `DataError`, `RecipeError`."""
    recipe = material.recipe
    answers = [example.answer for example in material.train]
    scorer, reason = choose_scorer(answers, recipe.evaluation.scorer, LocalEmbedder)
    name, leaked = material.check.dataset.name, frozenset(material.leaks.leaked)
    task = Task(name, material.test, scorer, reason, recipe.machine_usd_per_hour, recipe.seed, leaked)
    check_task(task)
    check_own_scorer(task)
    return task


def say_power(material: Material, listener: Listener) -> PowerStatement:
    """What this test set can show, said before anything is spent. Errors: `GateFailed` when strict and too few."""
    recipe, n = material.recipe, len(material.test)
    power = planned(material)
    listener.note(power.sentence)
    if power.is_enough:
        return power
    for option in power.options:
        listener.note(f"- {option}")
    if recipe.strict:
        raise GateFailed(
            "too-few-tests", power.sentence, where="test examples", found=f"{n:,} of {power.needed:,}",
            do=" ".join(power.options) or "give more test examples",
        )  # fmt: skip
    return power
