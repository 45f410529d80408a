"""The judge of a recipe, opened and examined: it decides only when it has qualified on answers that people judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunesmith.errors import RecipeError
from tunesmith.evaluation.evaluate import Asked, Task
from tunesmith.evaluation.judge.counted import CountedCompleter, together
from tunesmith.evaluation.judge.labels import read_labels
from tunesmith.evaluation.judge.qualify import open_judge, qualify, with_judge
from tunesmith.evaluation.judge.verdict import REPLY_TOKENS
from tunesmith.evaluation.scorers.scorer import Scorer
from tunesmith.providers.local_model import NamedModel
from tunesmith.providers.remote import RemoteCompleter
from tunesmith.records import AnswerForm, Completer, Qualification, Recipe, RemoteRecipe, TokenPrice, Usage
from tunesmith.workflow.answerers import open_remote, price_of_remote
from tunesmith.workflow.inventory import folder_if_run
from tunesmith.workflow.listener import Listener


@dataclass(frozen=True)
class Judging:
    """How answers are judged: by the plain scorer, or by one that has a judge beside it.

    A remote judge has a `price`; a local one takes hours of this machine. `is_recalled`: it was examined before the run
    was cut short.
    """

    scorer: Scorer
    qualification: Qualification | None = None
    judge: CountedCompleter | None = None
    price: TokenPrice | None = None
    machine_usd_per_hour: float = 0.0
    is_recalled: bool = False
    services: Sequence[RemoteCompleter] = ()

    @property
    def notes(self) -> list[str]:
        """What is noted of the service that judges, so far; each sentence once."""
        return list(dict.fromkeys(note for service in self.services for note in service.notes))

    def usage(self, recalled: Sequence[Asked]) -> Usage:
        """What judging took so far, the examination included, also what was judged before the run was cut short."""
        earlier = [one.judging for one in recalled if one.judging]
        examined = [self.qualification.usage] if self.qualification and self.is_recalled else []
        return together([*examined, *earlier, *([self.judge.usage] if self.judge else [])])

    def usd(self, usage: Usage) -> float:
        """What that cost: by tokens where a provider judges, by the hour where this machine does."""
        if self.price is not None:
            return self.price.usd_of(usage.tokens_in, usage.tokens_out)
        return usage.seconds * self.machine_usd_per_hour / 3600

    def task(self, task: Task) -> Task:
        """The task with this scorer."""
        return replace(task, scorer=self.scorer)


def open_judging(plain: Scorer, recipe: Recipe, listener: Listener, known: Qualification | None = None) -> Judging:
    """The scorer with the recipe's judge, if it names one; `known` is how it did when it was examined earlier.

    Errors: `RecipeError`, `DataError`, `ModelError`.
    """
    name, labels = recipe.judge.model, recipe.judge.labels
    if name is None:
        return Judging(plain)
    if labels is None:
        raise RecipeError(
            "judge-without-labels", "A judge must show first that it judges as people do.", where="judge.labels",
            do="name a file of answers that people judged (columns question, answer, label)",
        )  # fmt: skip
    remote = next((one for one in recipe.evaluation.remote if one.name == name), None)
    price = price_of_remote(remote, recipe) if remote else None
    listener.stage(f"examining the judge {name}")
    people = read_labels(Path(labels))
    services: list[RemoteCompleter] = []

    def open_completer(form: AnswerForm | None) -> Completer:
        completer = _completer(name, remote, recipe, form, listener)
        services.extend([completer] if isinstance(completer, RemoteCompleter) else [])
        return completer

    judge = open_judge(name, open_completer, people, recipe.judge.rubric)
    qualification = known or qualify(judge, people, labels)
    for reason in qualification.reasons:
        listener.note(reason)
    scorer = with_judge(plain, judge, qualification.is_qualified)
    hourly = recipe.machine_usd_per_hour
    return Judging(scorer, qualification, judge.completer, price, hourly, known is not None, services)


def _completer(
    name: str, remote: RemoteRecipe | None, recipe: Recipe, form: AnswerForm | None, listener: Listener
) -> Completer:
    """The judge as a local model, or as the remote one of that name."""
    if remote is not None:
        return open_remote(remote, listener, form)
    model = NamedModel.open(folder_if_run(name)).load(recipe.training.precision, recipe.evaluation.batch_size)
    return model.completer(REPLY_TOKENS, form) if form else model.completer(REPLY_TOKENS)
