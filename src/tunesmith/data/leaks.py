"""Test questions that stand in the training data: a score on them measures memory, not ability.

Five kinds, the strongest first; a held-out example counts once, under its strongest:

    exact        the same question, character for character
    normalised   the same but for case, spacing and Unicode form (`keys.prompt_key`)
    13-gram      a run of 13 words in both that is no form or chain of set phrases (`phrases.py`)
    near         a copy with small changes (`copies.py`), found by MinHash, whose answer agrees
    group        the same group (`data.group`)

What is compared is all that is asked: every turn before the answer, without the words of a form; of a plain text the
text. The answers agree when they are the same; where they are no labels, also when half of their runs of 5 characters
are, or when the questions differ by a trifle: whoever remembers another answer gains nothing from it.

What then happens (docs/decisions/016, 118): on a side that was given, the same question or group (`STOPPING`) stops the
run unless its kind is named in `data.allow_leaks`; likeness (13-gram, near) is a warning with the texts of some pairs,
and the score without those examples stands beside the full one. On a side that we chose ourselves the train examples
are left out; were that over 10 % of them, the data is made from templates and a group column is needed: nothing is left
out and it is said.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from tunesmith.data.copies import FEWEST_WORDS, is_copy, is_same_but_for_trifles, words_of
from tunesmith.data.keys import labels_of, normalised, prompt_key
from tunesmith.data.wording import of_examples
from tunesmith.errors import GateFailed
from tunesmith.records import LEAK_KINDS, STOPPING, Example, Leak, LeakKind, Leaks, Split, name_places

LEAST_ESTIMATE = 0.4
"""Candidates below this estimated similarity are no copies: one word of six replaced leaves 0.6 and more."""
ANSWER_SIMILARITY = 0.5
SHOWN_CHARACTERS = 80
MOST_LEFT_OUT = 0.1

Side = Literal["validation", "test"]
Pairs = Iterable[tuple[int, int]]


def find_leaks(train: Sequence[Example], test: Sequence[Example], validation: Sequence[Example] = ()) -> Leaks:
    """What leaks between training and the held-out sides, each example under its strongest kind."""
    held_out = [*test, *validation]
    found: dict[int, Leak] = {}
    in_training: dict[tuple[int, Side], Leak] = {}
    for kind, pairs in _pairs_by_kind(train, held_out):
        for i, j in pairs:
            side: Side = "test" if i < len(test) else "validation"
            if i in found and (j, side) in in_training:
                continue
            leak = Leak(
                kind=kind, side=side, held_out=held_out[i].id, held_out_line=held_out[i].line,
                train=train[j].id, train_line=train[j].line,
                held_out_text=shown(held_out[i]), train_text=shown(train[j]),
                held_out_origin=held_out[i].origin, train_origin=train[j].origin,
            )  # fmt: skip
            found.setdefault(i, leak)
            in_training.setdefault((j, side), leak)
    return Leaks(
        found=tuple(sorted(found.values(), key=lambda leak: (leak.side, leak.held_out_line))),
        in_training=tuple(sorted(in_training.values(), key=lambda leak: leak.train_line)),
    )


def pairs_in_training(train: Sequence[Example], held_out: Sequence[Example]) -> dict[int, tuple[LeakKind, int]]:
    """Position of each train example that leaks, in order -> its kind, and which held-out one it is like."""
    found: dict[int, tuple[LeakKind, int]] = {}
    for kind, pairs in _pairs_by_kind(train, held_out):
        for i, j in pairs:
            found.setdefault(j, (kind, i))
    return dict(sorted(found.items()))


def settle_leaks(
    split: Split,
    examples: Sequence[Example],
    allow: Sequence[LeakKind] = (),
    *,
    test: Sequence[Example] | None = None,
    sides: Sequence[str] | None = None,
) -> tuple[Split, Leaks]:
    """The split that may be trained on and measured with, and what leaked. `test` and `sides` as in `split_examples`.

    Errors: `GateFailed` (`gate/leak`) when a given side leaks in a way that is not allowed.
    """
    given = {*(sides or ()), *(() if test is None else ("test",))}
    leaks = find_leaks(*_on_sides(split, examples, test, sides))
    _refuse([leak for leak in leaks.found if leak.side in given], split, allow)
    ours = {leak.train for leak in leaks.in_training if leak.side not in given}
    templated = len(ours) > MOST_LEFT_OUT * len(split.train)
    left_out = () if templated else tuple(id_ for id_ in split.train if id_ in ours)
    stays = templated or "test" in given
    settled = leaks.model_copy(
        update={
            "left_out": left_out,
            "allowed": tuple(allow),
            "templated": templated,
            "leaked": tuple(leak.held_out for leak in leaks.found if stays and leak.side == "test"),
        }
    )
    kept = tuple(id_ for id_ in split.train if id_ not in ours) if left_out else split.train
    return split.model_copy(update={"train": kept}), settled


def _on_sides(
    split: Split, examples: Sequence[Example], test: Sequence[Example] | None, sides: Sequence[str] | None
) -> Iterator[list[Example]]:
    """The examples of train, test and validation, each as it stands on its own side: a copy has another line there."""
    given: dict[str, dict[str, Example]] = {"train": {}, "test": {}, "validation": {}}
    for example in test or ():
        given["test"].setdefault(example.id, example)
    for example, side in zip(examples, sides or ["train"] * len(examples), strict=True):
        given[side].setdefault(example.id, example)
    for side in given:
        yield [given[side].get(id_) or given["train"][id_] for id_ in getattr(split, side)]


def notes_of(leaks: Leaks, train: int) -> list[str]:
    """What a person should know of it, as sentences; `train` counts the train examples before any was left out."""
    notes = []
    if leaks.left_out:
        notes.append(
            f"{len(leaks.left_out):,} of {train:,} train examples were left out because a held-out one is nearly the "
            f"same ({leaks.told(stays=False)}): {leaks.pairs(stays=False)}"
        )
    if leaks.templated:
        notes.append(
            f"warning: held-out examples are like {len(leaks.in_training) / train:.0%} of the train examples "
            f"({leaks.told()}), which looks like data made from templates: nothing is left out. Name the column of "
            f"what belongs together (data.group). For example {leaks.pairs()}"
        )
    elif leaks.leaked:
        notes.append(
            f"warning: {_resembling(len(leaks.leaked))} ({leaks.told(stays=True)})"
            f"{'; you allowed it' if set(leaks.counts()) & set(STOPPING) else ''}. The score on the others is shown "
            f"beside the full one. For example {leaks.pairs(stays=True)}"
        )
    return notes


def _resembling(count: int) -> str:
    return "1 test example resembles training" if count == 1 else f"{count:,} test examples resemble training"


def _refuse(found: Sequence[Leak], split: Split, allow: Sequence[LeakKind]) -> None:
    refused = [leak for leak in found if leak.kind in STOPPING and leak.kind not in allow]
    if not refused:
        return
    names = [side for side in ("test", "validation") if any(leak.side == side for leak in refused)]
    total = sum(len(getattr(split, side)) for side in names)
    kinds = ", ".join(kind for kind in LEAK_KINDS if kind in allow or any(leak.kind == kind for leak in refused))
    same_group = {leak.kind for leak in refused} == {"group"}
    what = "are of a group that training has too." if same_group else "are in the training data too."
    raise GateFailed(
        "leak",
        of_examples(len(refused), total, what).replace(" ex", f" {' and '.join(names)} ex", 1),
        where="; ".join(
            f"{side} {name_places([leak.places[0] for leak in refused if leak.side == side])}" for side in names
        ),
        found=f"{Leaks(found=tuple(refused)).told()}: {Leaks(found=tuple(refused)).pairs()}",
        do=f"take them out of one side, or allow them: --set 'data.allow_leaks=[{kinds}]' keeps them in training and "
        "shows the score on the other test examples too",
    )


def _pairs_by_kind(train: Sequence[Example], test: Sequence[Example]) -> Iterator[tuple[LeakKind, Pairs]]:
    """(position in test, position in train) of what is alike, the strongest kind first."""
    if not train or not test:
        return
    yield "exact", _equal([_asked(example) for example in test], [_asked(example) for example in train])
    yield "normalised", _equal([prompt_key(example) for example in test], [prompt_key(example) for example in train])
    from tunesmith.data.phrases import Phrases, frequencies, shared_runs, without_form  # numpy

    phrases = Phrases([words_of(_asked(example)) for example in [*test, *train]])
    common = frequencies(phrases, len(test))
    if common.is_form_N.any():
        phrases = Phrases(without_form(phrases, common))
        common = frequencies(phrases, len(test))
    yield "13-gram", [(i, j - len(test)) for i, j in shared_runs(phrases, common, len(test))]
    words = phrases.texts
    yield "near", _near(train, test, words[len(test) :], words[: len(test)])
    yield "group", _equal([example.group for example in test], [example.group for example in train])


def _asked(example: Example) -> str:
    """All that is asked, or the plain text."""
    return "\n".join(message.content for message in example.prompt) or example.answer_with_calls


def shown(example: Example) -> str:
    """The beginning of the question, or of the text, in one line."""
    text = " ".join((example.question or _asked(example)).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def _equal(test: Sequence[str | None], train: Sequence[str | None]) -> Pairs:
    """Each position on either side whose value stands on the other side too, with the first there."""
    first_test = {value: i for i, value in reversed(list(enumerate(test))) if value is not None}
    first_train = {value: j for j, value in reversed(list(enumerate(train))) if value is not None}
    yield from ((i, first_train[value]) for i, value in enumerate(test) if value in first_train)
    yield from ((first_test[value], j) for j, value in enumerate(train) if value in first_test)


def _near(
    train: Sequence[Example], test: Sequence[Example], train_words: Sequence[Sequence[str]],
    test_words: Sequence[Sequence[str]],
) -> Pairs:  # fmt: skip
    from tunesmith.data.check.minhash import alike_across  # numpy

    long_test = [i for i, words in enumerate(test_words) if len(words) >= FEWEST_WORDS]
    long_train = [j for j, words in enumerate(train_words) if len(words) >= FEWEST_WORDS]
    has_labels = labels_of([*train, *test]) is not None
    # Three spaces between words: no run of characters then holds letters of two, and their order does not matter.
    texts_test = ["   ".join(test_words[i]) for i in long_test]
    texts_train = ["   ".join(train_words[j]) for j in long_train]
    for a, b in alike_across(texts_test, texts_train, LEAST_ESTIMATE):
        i, j = long_test[a], long_train[b]
        if is_copy(test_words[i], train_words[j]) and (
            _answers_agree(test[i], train[j], has_labels)
            or (not has_labels and is_same_but_for_trifles(test_words[i], train_words[j]))
        ):
            yield i, j


def _answers_agree(a: Example, b: Example, has_labels: bool) -> bool:
    from tunesmith.data.check.minhash import jaccard  # numpy

    one, other = normalised(a.answer_with_calls), normalised(b.answer_with_calls)
    if one == other or not (a.prompt and b.prompt):
        return True
    return not has_labels and jaccard(one, other) >= ANSWER_SIMILARITY
