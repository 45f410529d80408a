"""Build training sequences from examples: one for an answer, two for a preference pair.

Preference methods compare answers, so only the last turn is trained, whatever precedes it; chosen
and rejected differ only there. A method that learns from ratings takes rated answers or pairs; the
chosen answer of a pair is then desirable and the rejected one undesirable. All desirable answers of
pairs come before the undesirable ones, so that neighbors have different prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tunesmith.errors import DataError
from tunesmith.records import Example, Method, Place, name_places
from tunesmith.records.method_specs import METHODS, RATING_COLUMN, name_methods


@dataclass(frozen=True)
class TrainingSequences:
    """Conversations to render, `per_example` consecutive ones per example; `columns` hold a further
    value for each example, by name (`TokenArrays.columns_E`).
    """

    conversations: list[Example]
    per_example: int = 1
    columns: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)

    def places(self, sequences: Sequence[int]) -> list[Place]:
        """The places of the examples of these sequences (by index), each once."""
        examples = dict.fromkeys(s // self.per_example for s in sequences)
        return [self.conversations[e * self.per_example].place for e in examples]

    @property
    def example_count(self) -> int:
        """The number of examples."""
        return len(self.conversations) // self.per_example


class MethodMismatch(NamedTuple):
    """Examples, by their indices, that a method cannot learn from; what to tell the user."""

    slug: str
    description: str
    hint: str
    positions: tuple[int, ...]


def find_mismatch(examples: Sequence[Example], method: Method) -> MethodMismatch | None:
    """The examples that do not fit this method; None when all of them do."""
    data = METHODS.load(method).data
    if data == "answers":
        return _collect_mismatch(
            examples,
            lambda e: e.is_desirable is False,
            "unwanted-answers",
            f"are rated as undesirable, and {method} would imitate them",
            f"set method={name_methods('ratings')}; or remove them",
        )
    if data == "ratings":
        return _collect_mismatch(
            examples,
            lambda e: not e.rejected and e.is_desirable is None,
            "not-rated",
            f"have neither a rating nor a rejected answer, and {method} needs one of them",
            'add a column "label" with true and false, or "chosen" and "rejected"; or set '
            "method=sft",
        )
    return _collect_mismatch(
        examples,
        lambda e: not e.rejected,
        "not-pairs",
        f"have no rejected answer, and {method} learns from pairs",
        'add columns "chosen" and "rejected"; or set method=sft',
    )


def _collect_mismatch(
    examples: Sequence[Example],
    is_wrong: Callable[[Example], bool],
    slug: str,
    what: str,
    hint: str,
) -> MethodMismatch | None:
    wrong = tuple(i for i, example in enumerate(examples) if is_wrong(example))
    return MethodMismatch(slug, what, hint, wrong) if wrong else None


def check_method_fit(name: str, examples: Sequence[Example], method: Method) -> None:
    """Errors: `DataError` when examples do not fit the method."""
    if misfit := find_mismatch(examples, method):
        wrong = [examples[i].place for i in misfit.positions]
        raise DataError(
            misfit.slug,
            f"{len(wrong):,} of {len(examples):,} examples {misfit.description}",
            at=f"{name} {name_places(wrong)}",
            got=_count_kinds(examples),
            hint=misfit.hint,
        )


def build_sequences(name: str, examples: Sequence[Example], method: Method) -> TrainingSequences:
    """The training sequences of a split. Errors: `DataError` for examples of another kind."""
    check_method_fit(name, examples, method)
    data = METHODS.load(method).data
    if data == "answers":
        return TrainingSequences(list(examples))
    if data == "ratings":
        # A pair has no rating and contributes to both lists, a rated answer to one.
        wanted = [_train_last_turn_only(e) for e in examples if e.is_desirable is not False]
        unwanted = [
            split_answers(e)[-1]
            for e in map(_train_last_turn_only, examples)
            if e.is_desirable is not True
        ]
        return TrainingSequences(
            [*wanted, *unwanted],
            columns={RATING_COLUMN: (True,) * len(wanted) + (False,) * len(unwanted)},
        )
    # Chosen and rejected are adjacent: 2e and 2e + 1 are the sequences of example e.
    pairs = [answer for e in examples for answer in (_train_last_turn_only(e), _with_rejected(e))]
    return TrainingSequences(pairs, per_example=2)


def split_answers(example: Example) -> list[Example]:
    """The example once for each of its answers: one, or the chosen and the rejected one."""
    return [example, _with_rejected(example)] if example.rejected else [example]


def _train_last_turn_only(example: Example) -> Example:
    earlier = (replace(m, weight=0.0) if m.role == "assistant" else m for m in example.prompt)
    return replace(example, messages=(*earlier, *example.messages[-1:]))


def _with_rejected(example: Example) -> Example:
    return _train_last_turn_only(
        replace(example, messages=(*example.prompt, *example.rejected), rejected=())
    )


def _count_kinds(examples: Sequence[Example]) -> str:
    """Counts for an error message, as `12 pairs, 3 rated answers, 40 single answers`."""
    pairs = sum(bool(example.rejected) for example in examples)
    rated = sum(example.is_desirable is not None for example in examples)
    counts = {
        "pairs": pairs,
        "rated answers": rated,
        "single answers": len(examples) - pairs - rated,
    }
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
