"""Find contamination: test questions in the training data. A score on them measures memorization.

Five kinds, the strongest first; a held-out example counts once, under its strongest:

    exact        the same question, character for character
    normalised   the same except for case, spacing and Unicode form (`build_prompt_key`)
    13-gram      a run of 13 words in both that is not boilerplate or a chain of set phrases
                 (`ngrams.py`)
    near         a copy with small changes (`near_copy.py`), found by MinHash, whose answer agrees
    group        the same group (`data.group_column`)

The text compared is the whole prompt (every turn before the answer) without boilerplate, or a plain
text as it is. Answers agree when they are equal; when they are not labels, also when half of their
5-character shingles are equal, or when the questions differ only trivially: memorizing another
answer does not help on this one.

What follows (docs/decisions/016, 118): in a declared split, the same question or group
(`BLOCKING_KINDS`) stops the run unless its kind is listed in `data.allow_contamination`; similarity
(13-gram, near) gives a warning with the texts of some pairs, and the score without those examples
is shown next to the full one. In a split that we chose, the train examples are left out; if that
were over 10 % of them, the data is probably made from templates and needs a group column: nothing
is left out, and a warning says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from tunesmith.data.example_count import format_example_count
from tunesmith.data.near_copy import MIN_WORDS, is_near_copy, is_trivially_equal, tokenize_words
from tunesmith.data.normalization import build_prompt_key, detect_labels, normalize_text
from tunesmith.errors import GateFailed
from tunesmith.records import (
    BLOCKING_KINDS,
    CONTAMINATION_KINDS,
    ContaminatedExample,
    ContaminationKind,
    ContaminationReport,
    Example,
    Split,
    name_places,
)

MIN_ESTIMATED_SIMILARITY = 0.4
"""Pairs less similar than this are no copies: replacing one word in six leaves 0.6 or more."""
MIN_ANSWER_SIMILARITY = 0.5
MAX_SHOWN_CHARACTERS = 80
MAX_REMOVED_FRACTION = 0.1

HeldOutSplit = Literal["validation", "test"]
IndexPairs = Iterable[tuple[int, int]]


def find_contamination(
    train: Sequence[Example], test: Sequence[Example], validation: Sequence[Example] = ()
) -> ContaminationReport:
    """Contamination between train and the held-out splits, each example under one kind."""
    held_out = [*test, *validation]
    found: dict[int, ContaminatedExample] = {}
    in_training: dict[tuple[int, HeldOutSplit], ContaminatedExample] = {}
    for kind, pairs in _find_pairs_by_kind(train, held_out):
        for i, j in pairs:
            side: HeldOutSplit = "test" if i < len(test) else "validation"
            if i in found and (j, side) in in_training:
                continue
            leak = ContaminatedExample(
                kind=kind,
                split=side,
                held_out=held_out[i].id,
                held_out_line=held_out[i].line,
                train=train[j].id,
                train_line=train[j].line,
                held_out_text=shorten_question(held_out[i]),
                train_text=shorten_question(train[j]),
                held_out_origin=held_out[i].origin,
                train_origin=train[j].origin,
            )
            found.setdefault(i, leak)
            in_training.setdefault((j, side), leak)
    return ContaminationReport(
        examples=tuple(sorted(found.values(), key=lambda leak: (leak.split, leak.held_out_line))),
        train_examples=tuple(sorted(in_training.values(), key=lambda leak: leak.train_line)),
    )


def find_contaminated_training(
    train: Sequence[Example], held_out: Sequence[Example]
) -> dict[int, tuple[ContaminationKind, int]]:
    """Index of each contaminated train example, ascending -> (kind, index of the held-out one)."""
    found: dict[int, tuple[ContaminationKind, int]] = {}
    for kind, pairs in _find_pairs_by_kind(train, held_out):
        for i, j in pairs:
            found.setdefault(j, (kind, i))
    return dict(sorted(found.items()))


def resolve_contamination(
    split: Split,
    examples: Sequence[Example],
    allow: Sequence[ContaminationKind] = (),
    *,
    test: Sequence[Example] | None = None,
    declared_splits: Sequence[str] | None = None,
) -> tuple[Split, ContaminationReport]:
    """The split to train and measure with, and the contamination found.

    `test` and `declared_splits` as in `split_examples`.
    Errors: `GateFailed` (`gate/leak`) when a declared split has contamination that is not allowed.
    """
    # Only declared splits can stop a run; in our own split the train examples are dropped instead.
    given = {*(declared_splits or ()), *(() if test is None else ("test",))}
    leaks = find_contamination(*_select_splits(split, examples, test, declared_splits))
    _check_allowed([leak for leak in leaks.examples if leak.split in given], split, allow)
    ours = {leak.train for leak in leaks.train_examples if leak.split not in given}
    templated = len(ours) > MAX_REMOVED_FRACTION * len(split.train)
    left_out = () if templated else tuple(id_ for id_ in split.train if id_ in ours)
    stays = templated or "test" in given
    settled = leaks.replace(
        removed_train_ids=left_out,
        allowed_kinds=tuple(allow),
        is_templated=templated,
        contaminated_test_ids=tuple(
            leak.held_out for leak in leaks.examples if stays and leak.split == "test"
        ),
    )
    kept = tuple(id_ for id_ in split.train if id_ not in ours) if left_out else split.train
    return split.replace(train=kept), settled


def _select_splits(
    split: Split,
    examples: Sequence[Example],
    test: Sequence[Example] | None,
    declared_splits: Sequence[str] | None,
) -> Iterator[list[Example]]:
    """The examples of train, test and validation, each from its own split (lines differ)."""
    given: dict[str, dict[str, Example]] = {"train": {}, "test": {}, "validation": {}}
    for example in test or ():
        given["test"].setdefault(example.id, example)
    for example, side in zip(examples, declared_splits or ["train"] * len(examples), strict=True):
        given[side].setdefault(example.id, example)
    for side in given:
        yield [given[side].get(id_) or given["train"][id_] for id_ in getattr(split, side)]


def describe_contamination(leaks: ContaminationReport, train: int) -> list[str]:
    """Sentences for the user; `train` counts the train examples before any was left out."""
    notes = []
    if leaks.removed_train_ids:
        notes.append(
            f"{len(leaks.removed_train_ids):,} of {train:,} train examples were excluded as near "
            f"duplicates of held-out ones ({leaks.format_summary(stays_in_training=False)}): "
            f"{leaks.format_pairs(stays_in_training=False)}"
        )
    if leaks.is_templated:
        notes.append(
            f"held-out examples resemble {len(leaks.train_examples) / train:.0%} of the train "
            f"examples ({leaks.format_summary()}), as in data generated from templates: none is "
            "excluded. Name the column that groups related examples (data.group_column). For "
            f"example {leaks.format_pairs()}"
        )
    elif leaks.contaminated_test_ids:
        is_allowed = bool(set(leaks.count_by_kind()) & set(BLOCKING_KINDS))
        allowed = "; allowed by data.allow_contamination" if is_allowed else ""
        notes.append(
            f"{_format_resembling(len(leaks.contaminated_test_ids))} "
            f"({leaks.format_summary(stays_in_training=True)}){allowed}. The score on the other "
            "test examples is also reported. For example "
            f"{leaks.format_pairs(stays_in_training=True)}"
        )
    return notes


def _format_resembling(count: int) -> str:
    return (
        "1 test example resembles a train example"
        if count == 1
        else f"{count:,} test examples resemble train examples"
    )


def _check_allowed(
    found: Sequence[ContaminatedExample], split: Split, allow: Sequence[ContaminationKind]
) -> None:
    refused = [leak for leak in found if leak.kind in BLOCKING_KINDS and leak.kind not in allow]
    if not refused:
        return
    names = [side for side in ("test", "validation") if any(leak.split == side for leak in refused)]
    total = sum(len(getattr(split, side)) for side in names)
    kinds = ", ".join(
        kind
        for kind in CONTAMINATION_KINDS
        if kind in allow or any(leak.kind == kind for leak in refused)
    )
    same_group = {leak.kind for leak in refused} == {"group"}
    what = "share a group with train examples" if same_group else "also appear in the train data"
    raise GateFailed(
        "leak",
        format_example_count(len(refused), total, what).replace(
            " ex", f" {' and '.join(names)} ex", 1
        ),
        at="; ".join(
            f"{side} {name_places([leak.places[0] for leak in refused if leak.split == side])}"
            for side in names
        ),
        got=(
            f"{ContaminationReport(examples=tuple(refused)).format_summary()}: "
            f"{ContaminationReport(examples=tuple(refused)).format_pairs()}"
        ),
        hint=(
            "remove them from one split; or allow them: --set "
            f"'data.allow_contamination=[{kinds}]' keeps them in the train split and also reports "
            "the score on the other test examples"
        ),
    )


def _find_pairs_by_kind(
    train: Sequence[Example], test: Sequence[Example]
) -> Iterator[tuple[ContaminationKind, IndexPairs]]:
    """(index in test, index in train) of similar pairs, the strongest kind first."""
    if not train or not test:
        return
    yield (
        "exact",
        _find_equal(
            [_get_prompt_text(example) for example in test],
            [_get_prompt_text(example) for example in train],
        ),
    )
    yield (
        "normalised",
        _find_equal(
            [build_prompt_key(example) for example in test],
            [build_prompt_key(example) for example in train],
        ),
    )
    from tunesmith.data.ngrams import (
        NgramIndex,
        find_shared_ngrams,
        flag_common_ngrams,
        remove_boilerplate,
    )  # imports numpy: load it only when needed

    phrases = NgramIndex([tokenize_words(_get_prompt_text(example)) for example in [*test, *train]])
    common = flag_common_ngrams(phrases, len(test))
    if common.is_boilerplate_N.any():
        # Counts change once boilerplate is gone, so common n-grams are determined again.
        phrases = NgramIndex(remove_boilerplate(phrases, common))
        common = flag_common_ngrams(phrases, len(test))
    yield "13-gram", [(i, j - len(test)) for i, j in find_shared_ngrams(phrases, common, len(test))]
    words = phrases.texts
    yield "near", _find_near_copies(train, test, words[len(test) :], words[: len(test)])
    yield (
        "group",
        _find_equal([example.group for example in test], [example.group for example in train]),
    )


def _get_prompt_text(example: Example) -> str:
    """The whole prompt, or the plain text."""
    return "\n".join(message.content for message in example.prompt) or example.answer


def shorten_question(example: Example) -> str:
    """The beginning of the question, or of the text, on one line of at most 80 characters."""
    text = " ".join((example.question or _get_prompt_text(example)).split())
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."


def _find_equal(test: Sequence[str | None], train: Sequence[str | None]) -> IndexPairs:
    """Every index with an equal value in the other list, paired with the first such index there."""
    # Reversed, so that the first occurrence of a value is written last and stays.
    first_test = {value: i for i, value in reversed(list(enumerate(test))) if value is not None}
    first_train = {value: j for j, value in reversed(list(enumerate(train))) if value is not None}
    yield from ((i, first_train[value]) for i, value in enumerate(test) if value in first_train)
    yield from ((first_test[value], j) for j, value in enumerate(train) if value in first_test)


def _find_near_copies(
    train: Sequence[Example],
    test: Sequence[Example],
    train_words: Sequence[Sequence[str]],
    test_words: Sequence[Sequence[str]],
) -> IndexPairs:
    from tunesmith.data.check.minhash import (
        find_similar_across,
    )  # imports numpy: load it only when needed

    long_test = [i for i, words in enumerate(test_words) if len(words) >= MIN_WORDS]
    long_train = [j for j, words in enumerate(train_words) if len(words) >= MIN_WORDS]
    has_labels = detect_labels([*train, *test]) is not None
    # Three spaces between words: no 3-character shingle then holds letters of two words, so that
    # word order does not matter.
    texts_test = ["   ".join(test_words[i]) for i in long_test]
    texts_train = ["   ".join(train_words[j]) for j in long_train]
    for a, b in find_similar_across(texts_test, texts_train, MIN_ESTIMATED_SIMILARITY):
        i, j = long_test[a], long_train[b]
        if is_near_copy(test_words[i], train_words[j]) and (
            _do_answers_agree(test[i], train[j], has_labels)
            or (not has_labels and is_trivially_equal(test_words[i], train_words[j]))
        ):
            yield i, j


def _do_answers_agree(a: Example, b: Example, has_labels: bool) -> bool:
    from tunesmith.data.check.minhash import jaccard  # imports numpy: load it only when needed

    one, other = normalize_text(a.answer), normalize_text(b.answer)
    if one == other or not (a.prompt and b.prompt):
        return True
    return not has_labels and jaccard(one, other) >= MIN_ANSWER_SIMILARITY
