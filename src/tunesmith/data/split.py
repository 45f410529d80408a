"""Assign examples to train, validation and test by their content, not by their order.

Examples that belong together form a unit and stay in one split: equal normalized prompts, equal
groups, and conversations of which one is a prefix of the other, joined transitively. Each unit has
a number in [0, 1), the BLAKE2 hash of the seed and its smallest key:

    number < test_fraction                         -> test
    number < test_fraction + validation_fraction   -> validation
    else                                           -> train

so an example's split does not depend on the other examples, and new data does not move old data.
Two exceptions depend on all units: when the answers are labels, every 1/fraction-th unit is taken
in the order (label, number), which keeps each label's fraction exact up to one unit; and a split
that would be empty gets a unit from the largest one.

The ids of a split are ordered by their own hashes, so that its first n are a fair sample even of a
sorted file. Of exact duplicates one is used in every split: in test and validation they would count
one question twice, in train they would be memorized. `check` reports how many there are. Declared
splits stay unchanged, also where train has a prompt of another split; such examples are never held
out of train to form another split.

Near duplicates are not joined: prompts from one template are all similar, and joining would leave a
single unit. A group column joins those that belong together; other contamination between splits is
resolved in `contamination.py`.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from tunesmith.data.normalization import build_prompt_key, detect_labels, normalize_text
from tunesmith.errors import DataError
from tunesmith.records import Example, Split, dump_canonical_json


def split_examples(
    examples: Sequence[Example],
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    *,
    grouped_by: str | None = None,
    test: Sequence[Example] | None = None,
    declared_splits: Sequence[str] | None = None,
) -> Split:
    """Split examples, or complete a split that the data declares.

    `test` holds the examples of a separate test file; `declared_splits` the declared split of every
    example (`LoadedDataset.declared_splits`). Declared splits stay as they are; validation or test
    that is not declared is held out of train. Fractions are of the units, from 0 to 1.
    Errors: `DataError` when there are too few different examples.
    """
    given: dict[str, list[Example]] = {"train": [], "validation": [], "test": list(test or [])}
    for example, side in zip(examples, declared_splits or ["train"] * len(examples), strict=True):
        given[side].append(example)
    units = _group_units([*given["test"], *given["validation"], *given["train"]])
    taken = {units[example.id] for name in ("test", "validation") for example in given[name]}
    train = {example.id: example for example in given["train"]}
    free = [example for example in train.values() if units[example.id] not in taken]
    bound = [example for example in train.values() if units[example.id] in taken]
    shares = {"test": test_fraction, "validation": validation_fraction}
    wanted = {name: share for name, share in shares.items() if not given[name]}
    labels = detect_labels(free)
    chosen = _hold_out(free, units, labels, seed, wanted)
    # Test takes precedence: a prompt that is in both would let validation select for the test.
    in_test = {units[example.id] for example in given["test"]}
    validation = [example for example in given["validation"] if units[example.id] not in in_test]
    return Split(
        seed=seed,
        method=(
            "given-test" if test is not None else "given" if declared_splits is not None else "hash"
        ),
        grouped_by=grouped_by,
        stratified=labels is not None and bool(wanted),
        train=_sort_ids([*chosen["train"], *bound], seed),
        validation=_sort_ids(validation or chosen["validation"], seed),
        test=_sort_ids(given["test"] or chosen["test"], seed),
    )


def select_examples(examples: Iterable[Example], ids: Iterable[str]) -> list[Example]:
    """The examples of a split (`split.train` ...) in the order of the ids, without duplicates."""
    by_id: dict[str, Example] = {}
    for example in examples:
        by_id.setdefault(example.id, example)
    return [by_id[id_] for id_ in ids]


def _sort_ids(examples: Iterable[Example], seed: int) -> tuple[str, ...]:
    """Each id once, ordered by its own hash, so that the first n are a fair sample."""
    return tuple(
        sorted(
            {example.id for example in examples}, key=lambda id_: _hash_to_unit_interval(seed, id_)
        )
    )


def _group_units(examples: Sequence[Example]) -> dict[str, str]:
    """Example id -> the smallest key of its unit. Union-find over prompt keys and groups.

    A unit's number must not depend on the order of the examples, so the smallest key always becomes
    the root.
    """
    parents: dict[str, str] = {}

    def find_root(key: str) -> str:
        while parents.setdefault(key, key) != key:
            # Path halving keeps trees flat. No union by rank: the smallest key must be the root.
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    own_key: dict[str, str] = {}
    wholes = _find_whole_conversations(examples)
    for example in examples:
        keys = [build_prompt_key(example)]
        if wholes:
            keys += (key for key in _iterate_prefix_keys(example) if key in wholes)
        if example.group is not None:
            keys.append(
                f"(group) {example.group}"
            )  # "(" sorts before every prompt key: a group that grows keeps its root, and its split
        smallest, *others = sorted({find_root(key) for key in keys})
        for other in others:
            parents[other] = smallest
        own_key[example.id] = smallest
    return {id_: find_root(key) for id_, key in own_key.items()}


def _count_answers(example: Example) -> int:
    return sum(message.role == "assistant" for message in example.messages)


def _find_whole_conversations(examples: Sequence[Example]) -> set[str]:
    """The keys of all conversations; empty if none has a second answer to continue with."""
    if not any(_count_answers(example) > 1 for example in examples):
        return set()
    return {key for example in examples for key in [*_iterate_prefix_keys(example)][-1:]}


def _iterate_prefix_keys(example: Example) -> Iterator[str]:
    """A key of the conversation up to each answer: data with a row per turn has prefixes as rows.

    "~" sorts after every prompt key, so that these keys never become roots and change no number.
    """
    turns = hashlib.blake2b(digest_size=16)
    for message in example.messages:
        turn = dump_canonical_json(
            [message.role, normalize_text(message.content), message.called_functions]
        )
        turns.update(turn.encode("utf-8", "surrogatepass"))
        if message.role == "assistant":
            yield f"~{turns.hexdigest()}"


def _hold_out(
    examples: list[Example],
    units: dict[str, str],
    labels: list[str] | None,
    seed: int,
    fractions: dict[str, float],
) -> dict[str, list[Example]]:
    """Assign every unit to train or to one of the splits in `fractions`."""
    label_of: dict[str, str] = {}
    for example, label in zip(examples, labels or [""] * len(examples), strict=True):
        unit = units[example.id]
        # A unit may hold several labels; the smallest one does not depend on the order of the rows.
        label_of[unit] = min(label, label_of.get(unit, label))
    numbers = {unit: _hash_to_unit_interval(seed, unit) for unit in label_of}
    if len(numbers) < len(fractions) + 1:
        raise DataError(
            "too-few",
            "too few distinct examples to split",
            got=f"{len(numbers)} distinct prompts or groups",
            hint=(
                f"provide at least {len(fractions) + 1}; {len(fractions) * 50} or more are "
                "recommended"
            ),
        )
    allot = _assign_by_label if labels else _assign_by_hash
    side_of = allot(numbers, label_of, fractions)
    _fill_empty_splits(numbers, side_of, [*fractions, "train"])
    sides: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in examples:
        sides[side_of[units[example.id]]].append(example)
    return sides


def _hash_to_unit_interval(seed: int, unit: str) -> float:
    """Uniform in [0, 1): the top 53 bits of BLAKE2b, which a float represents exactly."""
    digest = hashlib.blake2b(
        f"{seed} {unit}".encode("utf-8", "surrogatepass"), digest_size=8
    ).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def _assign_by_hash(
    numbers: dict[str, float], label_of: dict[str, str], fractions: dict[str, float]
) -> dict[str, str]:
    def choose_split(number: float) -> str:
        begin = 0.0
        for name, share in fractions.items():
            begin += share
            if number < begin:
                return name
        return "train"

    return {unit: choose_split(number) for unit, number in numbers.items()}


def _assign_by_label(
    numbers: dict[str, float], label_of: dict[str, str], fractions: dict[str, float]
) -> dict[str, str]:
    """Systematic sampling in the order (label, number): label fractions are exact up to a unit."""
    rest = sorted(numbers, key=lambda unit: (label_of[unit], numbers[unit], unit))
    side_of: dict[str, str] = {}
    left = 1.0
    for name, share in fractions.items():
        # The fraction of what is left: earlier splits have already taken their units.
        is_picked = _make_even_picker(share / left)
        picked = [unit for i, unit in enumerate(rest) if is_picked(i)]
        side_of |= dict.fromkeys(picked, name)
        rest = [unit for unit in rest if unit not in side_of]
        left -= share
    return side_of | dict.fromkeys(rest, "train")


def _make_even_picker(share: float) -> Callable[[int], bool]:
    """Pick a `share` of 0, 1, 2, ... evenly spaced, from the middle of the first interval."""
    return lambda i: math.floor((i + 1) * share + 0.5) > math.floor(i * share + 0.5)


def _fill_empty_splits(
    numbers: dict[str, float], split_by_unit: dict[str, str], names: list[str]
) -> None:
    """Give each empty split a unit of the largest one: three units suffice for three splits."""
    for name in names:
        if name in split_by_unit.values():
            continue
        largest = max(names, key=lambda other: list(split_by_unit.values()).count(other))
        candidates = [unit for unit, side in split_by_unit.items() if side == largest]
        split_by_unit[min(candidates, key=lambda unit: (numbers[unit], unit))] = name
