"""Everything a decision needs before money is spent: data, task, power of the test set, judge,
remote models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tunesmith.atomic_io import compute_sha256
from tunesmith.contenders.contender_models import ContenderModel, open_remote_models
from tunesmith.contenders.custom_parts import NO_CUSTOM_PARTS, CustomParts
from tunesmith.contenders.external_answers import ExternalContender
from tunesmith.contenders.external_contenders import (
    list_contender_names,
    read_custom_prompts,
    read_external_contenders,
)
from tunesmith.contenders.prompting.dspy_search import import_dspy
from tunesmith.contenders.prompting.user_prompts import UserPrompt
from tunesmith.contenders.qualified_judge import JudgeSetup, open_qualified_judge
from tunesmith.contenders.retrieval.document_loading import load_documents
from tunesmith.contenders.retrieval.document_passages import DocumentCollection
from tunesmith.contenders.test_set_power import compute_planned_power
from tunesmith.data.tool_call_format import find_unread_call
from tunesmith.decision.power_statement import Disagreement
from tunesmith.errors import DataError, GateFailed
from tunesmith.evaluation.harness import RunnableContender, Task
from tunesmith.evaluation.task_building import build_task
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import (
    Example,
    JudgeQualification,
    OutputConstraint,
    PowerStatement,
    Recipe,
    compute_fingerprint,
)
from tunesmith.workflow.data_preparation import PreparedData, prepare_data

CONSTRAINED_NOTE = (
    "Contenders with this format in their prompt and contenders constrained to it are included."
)
"""Added to the reason for an output constraint when it is enforced."""
UNCONSTRAINED_NOTE = (
    "Contenders with this format in their prompt are included; none is constrained to it "
    "(evaluation.constrained is false)."
)
"""Added to the reason for an output constraint when it is only shown."""


@dataclass(frozen=True)
class DecisionInputs:
    """`plain_task` has the scorer that needs no judge: choices are made with it.
    `input_fingerprints` cover everything that is read besides data and model: a resumed run must
    find them unchanged.
    """

    material: PreparedData
    plain_task: Task
    power: PowerStatement
    judge_setup: JudgeSetup
    external_contenders: Sequence[ExternalContender]
    documents: DocumentCollection | None
    prompts: Sequence[UserPrompt]
    output_constraint: OutputConstraint | None
    remote_models: Sequence[ContenderModel]
    custom_contenders: Sequence[RunnableContender]
    input_fingerprints: Mapping[str, str]

    @property
    def task(self) -> Task:
        """The task with the scorer that decides."""
        return self.judge_setup.apply_to_task(self.plain_task)


def prepare_decision_inputs(
    recipe: Recipe,
    listener: ProgressListener,
    examined: JudgeQualification | None = None,
    check: Callable[[PreparedData, Mapping[str, str]], None] = lambda material, inputs: None,
    custom: CustomParts = NO_CUSTOM_PARTS,
) -> DecisionInputs:
    """Gather the inputs. `examined` is an earlier qualification of the judge; `check` receives the
    data and the fingerprints before any code of the user runs and before any call that costs money.

    Errors: `InputError`; `GateFailed` if the data has errors or leaks, and with `strict` if the
    test set is too small; whatever `check` raises.
    """
    documents = load_documents(recipe, listener)  # fails fast, so it comes before the slow steps
    prompts = read_custom_prompts(recipe)
    if recipe.evaluation.prompt_optimizer == "dspy":
        import_dspy()
    material = prepare_data(recipe, listener)
    inputs = {
        **compute_input_fingerprints(material.recipe, documents, prompts),
        **custom.fingerprints,
    }
    # Before `choose_scorer`, which imports a scorer of the user's own: a resumed folder may come
    # from someone else.
    check(material, inputs)
    check_calls_are_read(material.model, material.train)
    scorer, reason = custom.choose_scorer(
        [example.answer for example in material.train], material.recipe.evaluation.scorer
    )
    task = build_task(
        material.check.dataset.name,
        material.test,
        scorer,
        reason,
        material.recipe,
        frozenset(material.contamination.contaminated_test_ids),
    )
    power = report_power(material, listener)
    names = list(list_contender_names(material.recipe, [one.name for one in prompts]))
    outsiders = read_external_contenders(material.recipe, task.examples, names)
    custom.check_names([*names, *(one.spec.name for one in outsiders)])
    judging = open_qualified_judge(task.scorer, material.recipe, listener, examined)
    form, why = material.output_constraint
    listener.note(
        "contender/output-form",
        why
        if form is None
        else f"{why} {CONSTRAINED_NOTE if recipe.evaluation.constrained else UNCONSTRAINED_NOTE}",
    )
    remotes = open_remote_models(
        material.recipe, [one.prompt for one in material.validation[:1]], form, listener
    )
    return DecisionInputs(
        material,
        task,
        power,
        judging,
        outsiders,
        documents,
        prompts,
        form,
        remotes,
        custom.contenders,
        inputs,
    )


def check_calls_are_read(model: ResolvedModel, examples: Sequence[Example]) -> None:
    """Refuse a model whose chat template writes calls in a form that is not read back: all its
    answers would score 0. Errors: `DataError`.
    """
    unread = find_unread_call(model.tokenizer, examples)
    if unread is not None:
        raise DataError(
            "call-not-read",
            "the chat template writes tool calls in a form that cannot be read back",
            at=unread.named_place,
            got=unread.answer[:80],
            hint="use a model whose template writes calls as JSON; or train without evaluation: "
            "tunesmith train",
        )


def compute_input_fingerprints(
    recipe: Recipe, documents: DocumentCollection | None, prompts: Sequence[UserPrompt]
) -> dict[str, str]:
    """Fingerprints of what is read besides data and model; "" if the file is missing. No code is
    run.
    """
    scorer = recipe.evaluation.scorer
    own, _, _ = scorer.rpartition(":")
    files = {
        "scorer": (
            own
            if own.endswith(".py")
            else scorer.removeprefix("sql:")
            if scorer.startswith("sql:")
            else None
        ),
        "judge.human_labels": recipe.judge.human_labels,
        "cost.prices": recipe.cost.prices,
        **{f"answers of {Path(file).stem}": file for file in recipe.evaluation.external_answers},
    }
    passages = [[one.source, one.text] for one in documents.passages] if documents else []
    read_ones = {"documents": compute_fingerprint(passages)} if passages else {}
    own_ones = {"prompts": compute_fingerprint([asdict(one) for one in prompts])} if prompts else {}
    sums = {name: _hash_file(Path(file)) for name, file in files.items() if file is not None}
    return {**read_ones, **own_ones, **sums}


def _hash_file(path: Path) -> str:
    try:
        return compute_sha256(path)
    except OSError:  # the code that reads it reports the error
        return ""


def compute_power(data: PreparedData, measured: Disagreement | None = None) -> PowerStatement:
    """What the test examples can show: planned, or with the measured disagreement of the
    contenders.
    """
    return compute_planned_power(
        data.recipe,
        data.split,
        data.train,
        data.test,
        has_constraint=data.output_constraint[0] is not None,
        measured=measured,
    )


def report_power(data: PreparedData, listener: ProgressListener) -> PowerStatement:
    """Report what this test set can show before money is spent. Errors: `GateFailed` if strict and
    it is too small.
    """
    recipe, n = data.recipe, len(data.test)
    power = compute_power(data)
    listener.note(
        "power/planned", power.sentence, needed=power.required_n, is_enough=power.is_enough
    )
    if power.is_enough:
        return power
    for option in power.options:
        listener.note("power/option", f"- {option}")
    if recipe.fail_on_warning:
        raise GateFailed(
            "too-few-tests",
            power.sentence,
            at="test examples",
            got=f"{n:,} of {power.required_n:,}",
            hint=" ".join(power.options) or "add test examples",
        )
    return power
