"""The properties of each kind of contender, in one table, so that no other code compares names of
kinds.

A kind is stored in run folders by its name (`Contender.kind`); everything that follows from it is a
column here, also the function that builds its contenders. `Contender.traits` is the row. A new kind
is a new row, and all code that reads the table supports it: the ranking and the verdict
(`decision/`), its cost, its place in counts and forecasts (`costs/`), its side in a report.

A plugin adds a row in the group `tunesmith.contenders`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from tunesmith.errors import RecordError
from tunesmith.plugins import Registry

Verdict = Literal["fine-tune", "prompt", "rag", "fine-tune+rag", "stop", "cannot tell"]

ExamplesNeeded = Literal["test", "shots", "unless documents", "all"]
"""How many examples must be created for it: those of the test set only; at most all, for the shots;
all, unless it searches documents instead; all.
"""

PlanCondition = Literal["always", "constrained", "format", "trials", "documents"]
"""When a planned contender takes part: always; if answers have a form that is enforced
(`constrained`), or one that can be shown (`format`); if prompts are searched (`trials`); if there
are documents.
"""


@dataclass(frozen=True, slots=True)
class PlannedContender:
    """One contender that a run builds of a kind.

    `names` are its possible names, one of them in a run. `has_reference_probability`: for free
    text, the likelihood of the reference answers is reported with its score.
    """

    names: tuple[str, ...]
    condition: PlanCondition = "always"
    has_reference_probability: bool = False


@dataclass(frozen=True, slots=True)
class ContenderKind:
    """A row of the table.

    `rank` orders the kinds from simple to complex, in tens so that a new kind fits between two;
    `verdict` is the verdict if a contender of this kind wins; `needs` says what it needs in
    addition to simpler kinds. `is_trained`: its weights come from the user's examples.
    `pays_hosting`: it needs its own server unless a service charges by the token. `goes_stale`: it
    may be wrong once the facts have changed. `is_external`: the user's own system, of which only
    the answers are known. `contenders` are those that a run builds, in their order; `build`
    (`module:callable`) makes them: called with the `ContenderFactory`, the `ContenderModel` and the
    `PromptFindings` of simpler kinds, it returns an iterator of `RunnableContender`. Empty for a
    kind whose answers come from files.
    """

    name: str
    rank: int
    verdict: Verdict
    needs: str
    examples_needed: ExamplesNeeded
    contenders: tuple[PlannedContender, ...] = ()
    build: str = ""
    is_trained: bool = False
    uses_retrieval: bool = False
    shows_examples: bool = False
    takes_custom_prompts: bool = False
    pays_hosting: bool = False
    goes_stale: bool = False
    is_external: bool = False

    def has_reference_probability(self, name: str) -> bool:
        """Whether the likelihood of the reference answers is reported for the contender of this
        name.
        """
        return any(name in one.names and one.has_reference_probability for one in self.contenders)


_FACTORY = "tunesmith.contenders.contender_factory:ContenderFactory"
EXTERNAL = ContenderKind(
    "outside",
    rank=0,
    verdict="stop",
    needs="your own system",
    examples_needed="test",
    is_external=True,
)
ZERO_SHOT = ContenderKind(
    "zero-shot",
    rank=10,
    verdict="prompt",
    needs="needs a prompt",
    examples_needed="test",
    takes_custom_prompts=True,
    build=f"{_FACTORY}.build_zero_shot",
    contenders=(
        PlannedContender(("zero-shot",), has_reference_probability=True),
        PlannedContender(("zero-shot-constrained",), "constrained"),
        PlannedContender(("zero-shot+labels", "zero-shot+schema"), "format"),
    ),
)
FEW_SHOT = ContenderKind(
    "few-shot",
    rank=20,
    verdict="prompt",
    needs="needs examples in the prompt",
    examples_needed="shots",
    shows_examples=True,
    build=f"{_FACTORY}.build_few_shot",
    contenders=(
        PlannedContender(("few-shot",), has_reference_probability=True),
        PlannedContender(("searched",), "trials"),
    ),
)
RETRIEVAL = ContenderKind(
    "rag",
    rank=30,
    verdict="rag",
    needs="needs retrieval",
    examples_needed="unless documents",
    uses_retrieval=True,
    goes_stale=True,
    build=f"{_FACTORY}.build_retrieval",
    contenders=(
        PlannedContender(("rag",), has_reference_probability=True),
        PlannedContender(("rag-documents",), "documents"),
    ),
)
TUNED = ContenderKind(
    "tuned",
    rank=40,
    verdict="fine-tune",
    needs="needs training",
    examples_needed="all",
    is_trained=True,
    pays_hosting=True,
    goes_stale=True,
    build=f"{_FACTORY}.build_tuned",
    contenders=(
        PlannedContender(("tuned",), has_reference_probability=True),
        PlannedContender(("tuned-constrained",), "constrained"),
    ),
)
TUNED_RETRIEVAL = ContenderKind(
    "tuned+rag",
    rank=50,
    verdict="fine-tune+rag",
    needs="needs training and retrieval",
    examples_needed="all",
    is_trained=True,
    uses_retrieval=True,
    pays_hosting=True,
    build=f"{_FACTORY}.build_tuned_retrieval",
    contenders=(
        PlannedContender(("tuned+rag",), has_reference_probability=True),
        PlannedContender(("tuned+rag-documents",), "documents"),
    ),
)

CONTENDER_KINDS: Registry[ContenderKind] = Registry(
    "tunesmith.contenders",
    "kind of contender",
    {
        kind.name: kind
        for kind in (EXTERNAL, ZERO_SHOT, FEW_SHOT, RETRIEVAL, TUNED, TUNED_RETRIEVAL)
    },
    ContenderKind,
)
"""All kinds by name. Ask it when the question comes up: a module that copies it at import would
miss a new row.
"""


def get_contender_kind(name: str, contender: str = "") -> ContenderKind:
    """The kind of that name; `contender` is the contender that has it.

    Errors: `RecordError` for a name that is not in the table; `PluginError` for a plugin's row that
    cannot be used.
    """
    if name not in CONTENDER_KINDS:
        raise RecordError(
            "unknown-kind",
            "unknown kind of contender",
            at=contender,
            got=name,
            hint=f"use one of {', '.join(one.name for one in list_contender_kinds())}",
        )
    kind = CONTENDER_KINDS.load(name)
    # a stored run finds its kind by that name again
    if kind.name != name:
        CONTENDER_KINDS.reject(name, f"a kind whose name is {kind.name!r}")
    if kind.verdict not in get_args(Verdict):
        CONTENDER_KINDS.reject(name, f"a kind whose verdict is {kind.verdict!r}")
    return kind


def list_contender_kinds() -> list[ContenderKind]:
    """All kinds, from simple to complex."""
    return sorted(map(get_contender_kind, CONTENDER_KINDS), key=lambda kind: kind.rank)


def list_planned_names(*, trained: bool) -> list[str]:
    """The possible names of the contenders that a run builds: those of the tuned model, or those of
    all others.
    """
    kinds = [kind for kind in list_contender_kinds() if kind.is_trained == trained]
    return [name for kind in kinds for one in kind.contenders for name in one.names]


def list_verdicts(chosen: Callable[[ContenderKind], bool]) -> frozenset[Verdict]:
    """The verdicts of the chosen kinds."""
    return frozenset(kind.verdict for kind in list_contender_kinds() if chosen(kind))


def list_trained_verdicts() -> frozenset[Verdict]:
    """The verdicts that recommend tuning."""
    return list_verdicts(lambda kind: kind.is_trained)
