"""A run -> the contender that its verdict names, ready to answer as it was measured.

What stood around each question was kept as data (`records.Serving`), what was searched lies in the run's `index/`: so a
winner answers after its data and documents have changed or gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.baselines.choosing import Candidate
from tunesmith.baselines.prompting import Prompting
from tunesmith.baselines.rag.answer import ExampleIndex, Index, PassageIndex
from tunesmith.baselines.rag.documents import Passage
from tunesmith.baselines.rag.index import search_over
from tunesmith.baselines.room import Room
from tunesmith.decision.bar import OUTSIDE
from tunesmith.decision.judgement import Case
from tunesmith.decision.verdict import judge
from tunesmith.errors import ModelError, RunError, UsageError, name_some
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.keys import told_of_key
from tunesmith.providers.local_model import LocalModel, NamedModel
from tunesmith.providers.remote import RemoteCompleter
from tunesmith.records import (
    AnswerForm,
    Completer,
    Completion,
    Decision,
    Evaluation,
    Example,
    Message,
    Profile,
    Prompt,
    Recipe,
    Run,
    Serving,
)
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.prompts import read_index, read_serving
from tunesmith.workflow.answerers import CALIBRATED, Answerer

TUNED = "tuned"


@dataclass(frozen=True)
class Chosen:
    """Which contender of a run answers, and why in a sentence."""

    serving: Serving
    why: str


@dataclass(frozen=True)
class Served:
    """A contender that answers. `system` stands before conversations that have no system message."""

    name: str
    why: str
    system: str | None
    prompting: Prompting
    completer: Completer
    model: LocalModel | None = None

    def asked(self, prompt: Prompt) -> Prompt:
        """The conversation as the model is asked it."""
        has_system = bool(prompt) and prompt[0].role == "system"
        whole = (Message("system", self.system), *prompt) if self.system and not has_system else prompt
        return self.prompting.rewritten([whole])[0]

    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """The answers to these conversations."""
        return self.completer.complete([self.asked(prompt) for prompt in prompts])


def serving_of(
    profile: Profile, who: Answerer, candidate: Candidate, index: str | None, recipe: Recipe, form: AnswerForm | None
) -> Serving:
    """How a contender is asked, as data; `index` names what it searches."""
    prompting = candidate.prompting
    return Serving(
        contender=profile.name,
        kind=profile.kind,
        model=who.model,
        remote=who.remote,
        system=recipe.data.instruction,
        template=prompting.template,
        instruction=prompting.instruction,
        shots=tuple(shot.messages for shot in prompting.shots),
        index=index,
        k=prompting.k,
        search=recipe.retrieval.search or "bm25",
        most_tokens=who.room.most_tokens if who.room else None,
        form=form if candidate.held else None,
        is_calibrated=candidate.held == CALIBRATED,
        max_new_tokens=recipe.evaluation.max_new_tokens or 1,
    )


def choose_contender(folder: RunFolder, name: str | None = None) -> Chosen:
    """The contender of that name; else the winner; else the best that the run has.

    Errors: `UsageError` for a name that the run does not have, or that of an outside system; `RunError` where the run
    does not say how its winner was asked.
    """
    if name is not None:
        return Chosen(_named(folder, name), "")
    if not folder.has(Decision):
        return Chosen(_serving(folder, TUNED), "The run has no verdict yet: the tuned model answers.")
    decision, evaluation = folder.read(Decision), folder.read(Evaluation)
    winner = decision.winner
    if winner is not None and evaluation.contender(winner).kind != OUTSIDE:
        return Chosen(_serving(folder, winner), f"{winner} answers: the winner, verdict {decision.verdict}.")
    best = _best(evaluation, decision)
    if winner is not None:
        why = f"The verdict is to keep {winner}, which tunesmith cannot ask; {best} answers, its best contender."
    elif decision.verdict == "cannot tell":
        why = f"The verdict is cannot tell; {best} answers, the one that it hangs on."
    else:
        why = f"The verdict is {decision.verdict}, no contender is good enough; {best} answers, the best of them."
    return Chosen(_serving(folder, best), why)


def _best(evaluation: Evaluation, decision: Decision) -> str:
    """Where nobody wins: whoever the verdict hangs on, else the highest score, of equals the simplest."""
    found = judge(Case(evaluation, decision.bar, decision.circumstances, decision.forgetting))
    if decision.verdict == "cannot tell" and found.best and found.best.kind != OUTSIDE:
        return found.best.name
    ours = [contender for contender in found.ladder if contender.kind != OUTSIDE]
    scored = [one for one in ours if one.metrics[evaluation.metric].n]
    return max(scored or ours, key=lambda one: one.metrics[evaluation.metric].value).name  # the first of equals


def _named(folder: RunFolder, name: str) -> Serving:
    known = folder.contenders()
    if name not in known and name != TUNED:
        raise UsageError(
            "no-such-contender", "The run has no contender of this name.", where=str(folder.path), found=name,
            do=f"give one of {', '.join(known)}" if known else "leave --contender out: the tuned model answers",
        )  # fmt: skip
    if name in known and folder.asking(name).profile.kind == OUTSIDE:
        raise UsageError(
            "outside-system", "Its answers came from a file: tunesmith cannot ask it.", where=str(folder.path),
            found=name, do="ask that system itself, or give another contender",
        )  # fmt: skip
    return _serving(folder, name)


def _serving(folder: RunFolder, name: str) -> Serving:
    found = read_serving(folder, name)
    if found is not None:
        return found
    recipe = folder.read_recipe()
    if name == TUNED:  # a run that was trained only, or an earlier version's: the tuned model has nothing around it
        longest = recipe.evaluation.max_new_tokens or 256
        return Serving(contender=TUNED, kind=TUNED, model=TUNED, system=recipe.data.instruction, max_new_tokens=longest)
    raise RunError(
        "not-kept", f"The run does not say how {name} was asked.", where=str(folder.path),
        found="a run of an earlier version of tunesmith",
        do="decide on the data again, or give --contender tuned",
    )  # fmt: skip


def open_contender(folder: RunFolder, chosen: Chosen, max_new_tokens: int | None = None) -> Served:
    """Load what answers. `max_new_tokens`: another limit than the one it was measured with.

    Errors: `ModelError`, `RunError`, `MissingExtraError`; `ProviderError` once a remote one is asked.
    """
    serving = chosen.serving
    if max_new_tokens is not None and serving.remote is not None:
        serving = serving.model_copy(
            update={"remote": serving.remote.model_copy(update={"max_tokens": max_new_tokens})}
        )
    index = open_index(folder, serving) if serving.index else None
    model = None if serving.remote else _load(folder, serving)
    limit = max_new_tokens or serving.max_new_tokens
    completer: Completer
    if serving.remote is not None:
        completer = RemoteCompleter(serving.remote, serving.form)
    else:
        assert model is not None
        completer = (
            model.completer(limit, serving.form, is_calibrated=serving.is_calibrated)
            if serving.form
            else model.completer(limit)
        )
    room = Room(model.named.tokenizer, model.loaded.context_length - limit) if model and index else None
    prompting = prompting_of(serving, index, room)
    told = told_of_key(serving.remote) if serving.remote else None
    why = "; ".join(filter(None, (chosen.why, told)))
    return Served(f"{serving.contender} of {folder.id}", why, serving.system, prompting, completer, model)


def prompting_of(serving: Serving, index: Index | None, room: Room | None) -> Prompting:
    """What stands around a question, from how it was kept."""
    shots = tuple(Example(line=0, messages=messages) for messages in serving.shots)
    return Prompting(serving.instruction, shots, serving.template, index, serving.k, room)


def open_index(folder: RunFolder, serving: Serving) -> Index:
    """What a contender searches, as it was when the run was made. Errors: `RunError` when it is missing or damaged."""
    assert serving.index is not None
    folder.refuse_damage("index")
    entries, vectors = read_index(folder.path / "index", serving.index)
    search = search_over(serving.search, LocalEmbedder() if serving.search != "bm25" else None, vectors)
    try:
        if all("messages" in entry for entry in entries):
            return ExampleIndex([_example(entry["messages"]) for entry in entries], search)
        return PassageIndex([Passage(entry["source"], entry["text"]) for entry in entries], search)
    except (KeyError, TypeError) as error:
        raise RunError(
            "damaged", f"This run has no {serving.index}.jsonl that can be read.", where=str(folder.path / "index"),
            found=f"{type(error).__name__}: {error}", do="restore it from a copy, or make the run again",
        ) from None  # fmt: skip


def _example(messages: Sequence[dict[str, object]]) -> Example:
    turns = [{**one, "tool_calls": tuple(one.get("tool_calls", ()))} for one in messages]  # type: ignore[arg-type]
    return Example(line=0, messages=tuple(Message(**turn) for turn in turns))  # type: ignore[arg-type]


def _load(folder: RunFolder, serving: Serving) -> LocalModel:
    recipe = folder.read_recipe()
    if serving.model == TUNED:
        named = NamedModel.open(str(folder.path))
        return named.load(recipe.training.precision, recipe.evaluation.batch_size)
    return base_of(folder, recipe).load_for(recipe)


def base_of(folder: RunFolder, recipe: Recipe) -> NamedModel:
    """The run's base model. Errors: `ModelError` when its files are not those that were measured."""
    named = NamedModel.open(recipe.model, recipe.revision)
    measured = folder.read(Run).model.files
    changed = sorted(name for name in measured if named.identity.files.get(name) != measured[name])
    if changed:
        raise ModelError(
            "changed", "The base model is not the one that was measured.", where=named.identity.folder,
            found=name_some(changed), do="put the model back, or decide again",
        )  # fmt: skip
    return named
