"""Trunks, label scores and the banks of rows. Parity with transformers stands in tests/parity."""

import itertools

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from tunesmith.engine.attention import decode_attention
from tunesmith.engine.attention.decode_attention import KVCache
from tunesmith.engine.generation import decoding_batch, shared_prefixes
from tunesmith.engine.generation.shared_prefixes import group_by_prefix
from tunesmith.engine.generator import Generator
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.errors import UsageError
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding

SYSTEM, OTHER = [1, *range(10, 50)], [1, *range(30, 63)]
PROMPTS = [
    *([*SYSTEM, tail, 5] for tail in (3, 4, 6, 7)),
    *([*OTHER, tail, *range(tail)] for tail in (3, 4, 6, 20)),
    [9, 9, 9],
]


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6), min_size=0, max_size=8),
    st.integers(0, 4),
)
def test_groups_hold_every_prompt_once_and_share_what_they_say(
    prompts: list[list[int]], cost: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_prefixes, "PREFIX_COST_TOKENS", cost)
        groups = group_by_prefix(prompts)
    assert sorted(prompt for group in groups for prompt in group.prompts) == list(
        range(len(prompts))
    )
    for group in groups:
        beginnings = {tuple(prompts[p][: group.length]) for p in group.prompts}
        assert len(beginnings) == 1
        assert all(len(prompts[p]) > group.length for p in group.prompts)


def saved(prompts: list[list[int]], members: tuple[int, ...], cost: int) -> int:
    length = min(len(prompts[p]) - 1 for p in members)
    while len({tuple(prompts[p][:length]) for p in members}) > 1:
        length -= 1
    return max(0, (len(members) - 1) * length - cost)


def partitions(items: list[int]) -> list[list[tuple[int, ...]]]:
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    return [
        [(first, *others), *partition]
        for size in range(len(rest) + 1)
        for others in itertools.combinations(rest, size)
        for partition in partitions([item for item in rest if item not in others])
    ]


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=5),
    st.integers(0, 3),
)
@example(
    [[0, 0], [0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], 0
)  # some stay at a node, others of it go on together
def test_no_other_grouping_saves_more_tokens(prompts: list[list[int]], cost: int) -> None:
    best = max(
        sum(saved(prompts, members, cost) for members in partition)
        for partition in partitions(list(range(len(prompts))))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_prefixes, "PREFIX_COST_TOKENS", cost)
        assert sum(group.saved_tokens for group in group_by_prefix(prompts)) == best


def test_two_systems_have_a_trunk_each() -> None:
    assert [(group.length, sorted(group.prompts)) for group in group_by_prefix(PROMPTS)] == [
        (41, [0, 1, 2, 3]),
        (34, [4, 5, 6, 7]),
        (0, [8]),
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("at_once", [7, 2048])
def test_trunks_and_pieces_of_prompts_change_no_answer(
    tiny: LoadedModel, batch_size: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = set(range(0, 64, 9))
    alone = [Generator(tiny).generate([prompt], 20, stop)[0].tokens for prompt in PROMPTS]
    monkeypatch.setattr(decoding_batch, "MAX_PREFILL_TOKENS", at_once)
    monkeypatch.setattr(decode_attention, "MAX_SCORES", 500)
    assert [
        answer.tokens for answer in Generator(tiny, batch_size).generate(PROMPTS, 20, stop)
    ] == alone


def test_a_trunk_is_read_once_and_never_copied_to_rows(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[int] = []
    columns: list[int] = []
    original_feed, original_write = decoding_batch.run_pass, KVCache.write

    def counting(model, parts, windows):  # type: ignore[no-untyped-def]
        fed.append(sum(len(part.tokens_N) for part in parts))
        return original_feed(model, parts, windows)

    def watching(bank, layer, keys, values, part):  # type: ignore[no-untyped-def]
        if len(bank.lengths) > 1:
            columns.append(part.columns)
        return original_write(bank, layer, keys, values, part)

    generator = Generator(tiny)
    generator.generate(PROMPTS[:2], 1, set())  # the probe of the model has been
    monkeypatch.setattr(decoding_batch, "run_pass", counting)
    monkeypatch.setattr(KVCache, "write", watching)
    generator.generate(PROMPTS[:4], 3, set())
    assert fed == [41, 4 * 2, 4, 4]
    assert max(columns) == decode_attention.SPARE_COLUMNS


LABELS = [[20, 21, 22], [20, 21], [20, 30, 2], [40], [41, 20, 21]]


def test_label_scores_are_the_log_probabilities_of_the_texts(tiny: LoadedModel) -> None:
    scores = Generator(tiny).score_labels(PROMPTS, LABELS)
    assert scores.shape == (len(PROMPTS), len(LABELS))
    for p, prompt in enumerate(PROMPTS):
        for a, label in enumerate(LABELS):
            with torch.no_grad():
                logits = tiny.model(input_ids=torch.tensor([prompt + label])).logits[
                    0, len(prompt) - 1 : -1
                ]
            expected = logits.log_softmax(-1).gather(1, torch.tensor(label)[:, None]).sum()
            assert_close_within_rounding(float(scores[p, a]), float(expected))


def test_label_scores_do_not_depend_on_how_much_fits(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.engine.generation import label_scoring

    whole = Generator(tiny).score_labels(PROMPTS, LABELS)
    monkeypatch.setattr(label_scoring, "MAX_TREE_TOKENS", 1)
    monkeypatch.setattr(label_scoring, "MAX_CHUNK_LOGITS", 1)
    assert_close_within_rounding(Generator(tiny).score_labels(PROMPTS, LABELS), whole)


def test_no_prompts_no_labels_no_scores(tiny: LoadedModel) -> None:
    assert Generator(tiny).score_labels([], LABELS).shape == (0, 5)
    assert Generator(tiny).score_labels(PROMPTS, []).shape == (9, 0)


def test_an_empty_label_is_refused(tiny: LoadedModel) -> None:
    with pytest.raises(UsageError, match="empty-label"):
        Generator(tiny).score_labels(PROMPTS, [[1], []])
