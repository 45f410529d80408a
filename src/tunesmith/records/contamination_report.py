"""Held-out examples that resemble training examples, and what was done about them."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from tunesmith.records.origin import Origin, Place, name_places
from tunesmith.records.recipe import ContaminationKind
from tunesmith.records.record import Record

CONTAMINATION_KINDS: tuple[ContaminationKind, ...] = (
    "exact",
    "normalised",
    "13-gram",
    "near",
    "group",
)
"""Strongest first: an example that leaks in several ways counts under the first of them."""

BLOCKING_KINDS: tuple[ContaminationKind, ...] = ("exact", "normalised", "group")
"""Kinds that stop a run if the user provided the split. The others are mere similarity: "five
divided by one" is near "ten divided by five", and no rule of ours distinguishes such a template
from a copy (docs/decisions/118).
"""


class ContaminatedExample(Record):
    """A held-out example of the split `split` and a similar training example, with the places of
    both in their files and the beginning of both questions.
    """

    kind: ContaminationKind
    split: Literal["validation", "test"]
    held_out: str
    held_out_line: int
    train: str
    train_line: int
    held_out_text: str = ""
    train_text: str = ""
    held_out_origin: Origin | None = None
    train_origin: Origin | None = None

    @property
    def places(self) -> tuple[Place, Place]:
        """The places of the held-out example and of the training example."""
        return (self.held_out_origin, self.held_out_line), (self.train_origin, self.train_line)

    def format_pair(self) -> str:
        """For example `test b.jsonl line 4 "How do I reset my PIN?" ~ train a.jsonl line 8 "How can
        I reset my PIN?"`.
        """
        here, there = (name_places([place]) for place in self.places)
        return f'{self.split} {here} "{self.held_out_text}" ~ train {there} "{self.train_text}"'


class ContaminationReport(Record):
    """Contamination between training and held-out splits.

    `examples` has one entry per held-out example that leaks, `train_examples` one per training
    example and split, each under its strongest kind with the first example it resembles.
    `removed_train_ids` are the ids removed from training for it; `allowed_kinds` the kinds named in
    the recipe; `is_templated` is True if so much of the training data would have been removed that
    nothing was. `contaminated_test_ids` are the test ids whose similar examples stayed in training:
    their score measures memory too, so the score without them is reported as well.
    """

    examples: tuple[ContaminatedExample, ...] = ()
    train_examples: tuple[ContaminatedExample, ...] = ()
    removed_train_ids: tuple[str, ...] = ()
    allowed_kinds: tuple[ContaminationKind, ...] = ()
    is_templated: bool = False
    contaminated_test_ids: tuple[str, ...] = ()

    def count_by_kind(self) -> dict[ContaminationKind, int]:
        """Number of held-out examples by the strongest kind of their leak; kinds without any are
        omitted.
        """
        counted = Counter(leak.kind for leak in self.examples)
        return {kind: counted[kind] for kind in CONTAMINATION_KINDS if counted[kind]}

    def format_pairs(self, limit: int = 2, *, stays_in_training: bool | None = None) -> str:
        """The first pairs of texts, for a person to compare; `stays_in_training` as in
        `format_summary`.
        """
        leaked = set(self.contaminated_test_ids)
        some = [
            leak
            for leak in self.examples
            if stays_in_training is None or (leak.held_out in leaked) == stays_in_training
        ]
        return "; ".join(leak.format_pair() for leak in some[:limit])

    def format_summary(self, limit: int = 3, *, stays_in_training: bool | None = None) -> str:
        """For example `exact 3 (b.jsonl lines 4, 9, 12 like train a.jsonl lines 7, 7, 30); near 1
        (...)`; each pair separately if a split has several files.

        `stays_in_training`: True for the leaks that stayed in training, False for the others, None
        for all.
        """
        parts = []
        leaked = set(self.contaminated_test_ids)
        told = [
            leak
            for leak in self.examples
            if stays_in_training is None or (leak.held_out in leaked) == stays_in_training
        ]
        for kind in CONTAMINATION_KINDS:
            own = [leak for leak in told if leak.kind == kind]
            if own:
                parts.append(f"{kind} {len(own):,} ({_name_pairs(own, limit)})")
        return "; ".join(parts)


def _name_pairs(leaks: Sequence[ContaminatedExample], limit: int) -> str:
    if len({(leak.held_out_origin, leak.train_origin) for leak in leaks[:limit]}) == 1:
        here = name_places([leak.places[0] for leak in leaks], limit)
        there = name_places([leak.places[1] for leak in leaks[:limit]], limit)
        return f"{here} like train {there}"
    pairs = [
        " like train ".join(name_places([place]) for place in leak.places) for leak in leaks[:limit]
    ]
    more = f" ({len(leaks) - limit:,} more)" if len(leaks) > limit else ""
    return ", ".join(pairs) + more
