"""The judge of a recipe, opened and qualified: it decides only if it agrees with human labels well
enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunesmith.contenders.contender_models import get_remote_price, open_remote
from tunesmith.errors import RecipeError
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import Task
from tunesmith.evaluation.judge.caching_completer import CachingCompleter, sum_usage
from tunesmith.evaluation.judge.human_labels import read_human_labels
from tunesmith.evaluation.judge.qualification import add_judge, open_judge, qualify_judge
from tunesmith.evaluation.judge.verdict_parsing import MAX_REPLY_TOKENS
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.providers.remote_model import RemoteModel
from tunesmith.records import (
    Completer,
    JudgeQualification,
    OutputConstraint,
    Recipe,
    TokenPrice,
    Usage,
)
from tunesmith.records.quantity import format_usd
from tunesmith.runs.local_inventory import resolve_run_or_name


@dataclass(frozen=True)
class JudgeSetup:
    """How answers are judged: by the plain scorer, or by one combined with a judge.

    A remote judge has a `price`; a local one costs machine time. `is_restored`: it was qualified
    before the run was interrupted.
    """

    scorer: Scorer
    qualification: JudgeQualification | None = None
    judge: CachingCompleter | None = None
    price: TokenPrice | None = None
    machine_usd_per_hour: float = 0.0
    is_restored: bool = False
    services: Sequence[RemoteModel] = ()

    @property
    def notes(self) -> list[str]:
        """Notes about the judge's service so far; each sentence once."""
        return list(dict.fromkeys(note for service in self.services for note in service.notes))

    def sum_usage(self, recalled: Sequence[ContenderAnswers]) -> Usage:
        """Usage of judging so far, including the qualification and what was judged before the run
        was interrupted.
        """
        earlier = [one.judge_usage for one in recalled if one.judge_usage]
        examined = [self.qualification.usage] if self.qualification and self.is_restored else []
        return sum_usage([*examined, *earlier, *([self.judge.usage] if self.judge else [])])

    def compute_usd(self, usage: Usage) -> float:
        """USD of that usage: by tokens if a provider judges, by the hour if this machine does."""
        if self.price is not None:
            return self.price.compute_usd(usage.tokens_in, usage.tokens_out)
        return usage.seconds * self.machine_usd_per_hour / 3600

    def format_usage(self, restored: Sequence[ContenderAnswers]) -> str:
        """The usage of judging as a sentence, with the qualification, which costs like an
        answer.
        """
        usage = self.sum_usage(restored)
        return (
            f"judge usage: {usage.requests:,} requests, {usage.tokens_in:,} input and"
            f" {usage.tokens_out:,} output tokens, {format_usd(self.compute_usd(usage))}"
        )

    def apply_to_task(self, task: Task) -> Task:
        """The task with this scorer."""
        return replace(task, scorer=self.scorer)


def open_qualified_judge(
    plain: Scorer,
    recipe: Recipe,
    listener: ProgressListener,
    known: JudgeQualification | None = None,
) -> JudgeSetup:
    """The scorer with the recipe's judge, if it names one; `known` is the judge's earlier
    qualification.

    Errors: `RecipeError`, `DataError`, `ModelError`.
    """
    name, labels = recipe.judge.model, recipe.judge.human_labels
    if name is None:
        return JudgeSetup(plain)
    if labels is None:
        raise RecipeError(
            "judge-without-labels",
            "judge has no human labels to be validated on",
            at="judge.human_labels",
            hint="set judge.human_labels to a file of answers rated by people (columns question,"
            " answer, label)",
        )
    remote = next((one for one in recipe.evaluation.remote if one.name == name), None)
    price = get_remote_price(remote, recipe) if remote else None
    listener.start_stage(f"qualifying the judge {name}")
    people = read_human_labels(Path(labels))
    services: list[RemoteModel] = []

    def open_completer(form: OutputConstraint | None) -> Completer:
        if remote is not None:
            services.append(open_remote(remote, listener, form))
            return services[-1]
        return _open_local_judge(name, recipe, form)

    judge = open_judge(name, open_completer, people, recipe.judge.rubric)
    # A resumed run does not pay for the qualification twice.
    qualification = known or qualify_judge(judge, people, labels)
    for reason in qualification.reasons:
        listener.note("judge/qualification", reason)
    scorer = add_judge(plain, judge, qualification.is_qualified)
    hourly = recipe.machine_usd_per_hour
    return JudgeSetup(
        scorer, qualification, judge.completer, price, hourly, known is not None, services
    )


def _open_local_judge(name: str, recipe: Recipe, form: OutputConstraint | None) -> Completer:
    model = ResolvedModel.open(resolve_run_or_name(name)).load(
        recipe.training.dtype, recipe.evaluation.batch_size
    )
    return (
        model.create_completer(MAX_REPLY_TOKENS, form)
        if form
        else model.create_completer(MAX_REPLY_TOKENS)
    )
