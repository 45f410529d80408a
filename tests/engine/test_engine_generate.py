"""Answers: stopping, counting, the state of the model, sampling. Parity with transformers stands in
tests/parity."""

import math
import random
from collections.abc import Iterable, Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.engine import generator
from tunesmith.engine.adapters.lora import attach_lora, disable_adapter, list_lora_parameters
from tunesmith.engine.generation.decoding_batch import DecodingBatch
from tunesmith.engine.generation.sampling import sample_tokens
from tunesmith.engine.generator import Generator
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.errors import UsageError
from tunesmith.records import Sampling
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding

PROMPTS = [
    [1, 3, 4, 5, *rest] for rest in ([10], [11, 12, 13], [14, 15], [10, 11, 12, 13, 20], [40, 41])
]


def test_pain_3_an_answer_ends_at_the_stop_token_which_is_taken_off(tiny: LoadedModel) -> None:
    whole = Generator(tiny).generate(PROMPTS, 12, set())
    assert all(len(answer.tokens) == 12 and not answer.is_complete for answer in whole)
    stop = whole[0].tokens[4]
    for answer, full in zip(Generator(tiny).generate(PROMPTS, 12, {stop}), whole, strict=True):
        at = full.tokens.index(stop) if stop in full.tokens else None
        assert answer.tokens == full.tokens[:at]
        assert answer.is_complete == (at is not None)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    prompts=st.lists(st.lists(st.integers(0, 63), min_size=1, max_size=12), min_size=1, max_size=7),
    batch_size=st.integers(1, 4),
)
def test_pain_24_an_answer_does_not_depend_on_its_neighbours(
    tiny: LoadedModel, prompts: list[list[int]], batch_size: int
) -> None:
    stop = set(range(0, 64, 7))  # many stop tokens, so rows leave and enter at many moments
    together = Generator(tiny, batch_size).generate(prompts, 8, stop)
    alone = [Generator(tiny).generate([prompt], 8, stop)[0] for prompt in prompts]
    assert [(a.tokens, a.is_complete) for a in together] == [
        (a.tokens, a.is_complete) for a in alone
    ]


def test_time_and_progress_add_up(tiny: LoadedModel) -> None:
    seen: list[tuple[int, int]] = []
    answers = Generator(tiny, 2).generate(
        PROMPTS, 6, set(), lambda ready, wanted: seen.append((ready, wanted))
    )
    assert seen[-1] == (5, 5) and seen == sorted(seen)
    assert all(answer.seconds > 0 for answer in answers)


def test_nothing_asked_nothing_answered(tiny: LoadedModel) -> None:
    assert Generator(tiny).generate([], 5, {2}) == []


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_the_mode_it_was_in(tiny: LoadedModel, training: bool) -> None:
    attach_lora(tiny.model, rank=4, alpha=8.0, dropout=0.9)
    for weight in list_lora_parameters(tiny.model):
        torch.nn.init.normal_(weight, std=0.1)
    tiny.model.train(training)
    first = Generator(tiny).generate(PROMPTS, 6, {2})
    assert tiny.model.training is training
    second = Generator(tiny).generate(PROMPTS, 6, {2})
    assert [a.tokens for a in first] == [a.tokens for a in second], (
        "dropout must not act while answering"
    )


def test_the_adapter_can_be_off_while_answering(tiny: LoadedModel) -> None:
    base = [a.tokens for a in Generator(tiny).generate(PROMPTS, 6, set())]
    attach_lora(tiny.model, rank=4, alpha=8.0, dropout=0.0)
    for weight in list_lora_parameters(tiny.model):
        torch.nn.init.normal_(weight, std=0.3)
    assert [a.tokens for a in Generator(tiny).generate(PROMPTS, 6, set())] != base
    with disable_adapter(tiny.model):
        assert [a.tokens for a in Generator(tiny).generate(PROMPTS, 6, set())] == base


def test_streaming_greedily_gives_the_same_answer(tiny: LoadedModel) -> None:
    for prompt in PROMPTS:
        answer = Generator(tiny).generate([prompt], 10, {2, 17})[0]
        assert list(Generator(tiny).stream(prompt, 10, {2, 17})) == answer.tokens


def test_streaming_does_not_leave_inference_mode_on(tiny: LoadedModel) -> None:
    for _ in Generator(tiny).stream(PROMPTS[0], 3, set()):
        assert not torch.is_inference_mode_enabled()


def test_sampling_repeats_with_its_seed_and_differs_with_another(tiny: LoadedModel) -> None:
    def answer(seed: int) -> list[int]:
        return list(Generator(tiny).stream(PROMPTS[0], 20, set(), temperature=1.5, seed=seed))

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_sampling_stays_in_the_nucleus_and_follows_the_probabilities() -> None:
    logits = torch.log(torch.tensor([[0.05, 0.5, 0.15, 0.3]])).repeat(4000, 1)
    drawn = sample_tokens(logits, [Sampling(1.0, 0.7)] * 4000, [random.Random(0)] * 4000)
    shares = drawn.bincount(minlength=4) / 4000
    # 0.5 alone has not reached 0.7, so 0.3 is in; together they have, so 0.15 and 0.05 are out.
    assert shares.tolist() == pytest.approx([0.0, 0.625, 0.0, 0.375], abs=0.03)


def test_a_drawn_answer_depends_on_its_seed_and_not_on_its_neighbours(tiny: LoadedModel) -> None:
    samplings = [Sampling(1.5, 0.9, seed) for seed in range(len(PROMPTS))]
    together = Generator(tiny, 3).generate(PROMPTS, 12, {2}, sampling=samplings)
    for prompt, sampling, answer in zip(PROMPTS, samplings, together, strict=True):
        assert (
            Generator(tiny).generate([prompt], 12, {2}, sampling=sampling)[0].tokens
            == answer.tokens
        )
    again = Generator(tiny).generate(
        [PROMPTS[0]] * 8, 12, {2}, sampling=[Sampling(1.5, 1.0, s) for s in range(8)]
    )
    assert len({tuple(answer.tokens) for answer in again}) > 1


def test_greedy_and_drawn_answers_share_a_batch(tiny: LoadedModel) -> None:
    greedy = Generator(tiny).generate(PROMPTS, 12, {2})
    mixed = Generator(tiny).generate(
        PROMPTS, 12, {2}, sampling=[Sampling(1.5, 1.0, 3)] + [Sampling()] * 4
    )
    assert [a.tokens for a in mixed[1:]] == [a.tokens for a in greedy[1:]]
    assert mixed[0].tokens != greedy[0].tokens


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_sampling_that_makes_no_sense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="bad-sampling"):
        Sampling(**bad)


def test_log_probabilities_are_those_of_the_whole_text_read_at_once(tiny: LoadedModel) -> None:
    for answer, prompt in zip(
        Generator(tiny, 2).generate(PROMPTS, 12, {2, 17, 33}, with_log_probabilities=True),
        PROMPTS,
        strict=True,
    ):
        noted = answer.log_probabilities
        assert noted is not None and len(noted) == len(answer.tokens) + answer.is_complete
        with torch.no_grad():
            logits = tiny.model(input_ids=torch.tensor([prompt + answer.tokens])).logits[
                0, len(prompt) - 1 :
            ]
        expected = logits.log_softmax(-1)
        size = float(expected.abs().max())
        for t, token in enumerate(answer.tokens):
            assert_close_within_rounding(noted[t], float(expected[t, token]), scale=size)
        if answer.is_complete:
            best = max(float(expected[-1, stop]) for stop in (2, 17, 33))
            assert_close_within_rounding(noted[-1], best, scale=size)


def test_nobody_asked_no_log_probabilities(tiny: LoadedModel) -> None:
    assert Generator(tiny).generate(PROMPTS[:1], 3, {2})[0].log_probabilities is None


TrieNode = dict[int, "TrieNode"]


class ChoiceConstraint:
    """A trie of answers, each ended by a stop token. Greedy decoding picks the best branch
    locally.
    """

    def __init__(self, answers: Iterable[Sequence[int]], stop_ids: Iterable[int]) -> None:
        stop: TrieNode = {token: {} for token in sorted(stop_ids)}
        self.root: TrieNode = {}
        for answer in answers:
            node = self.root
            for token in answer:
                node = node.setdefault(token, {})
            node.update(stop)

    def __call__(self, tokens: Sequence[int]) -> list[int]:
        """The token ids that may follow these tokens of an answer."""
        node = self.root
        for token in tokens:
            node = node[token]
        return list(node)


CHOICES = [[20, 21, 22], [20, 21], [20, 30], [40]]


def test_an_answer_is_one_of_the_choices(tiny: LoadedModel) -> None:
    answers = Generator(tiny).generate(
        PROMPTS, 12, {2, 17}, constraints=[ChoiceConstraint(CHOICES, {2, 17})] * 5
    )
    assert all(answer.tokens in CHOICES and answer.is_complete for answer in answers)


def test_every_choice_is_reached_and_in_proportion_to_its_probability(tiny: LoadedModel) -> None:
    """Drawn within the trie, a branch has the model's probability among those allowed."""
    count = 600
    answers = Generator(tiny).generate(
        [PROMPTS[0]] * count,
        4,
        {2},
        sampling=[Sampling(1.0, 1.0, seed) for seed in range(count)],
        constraints=[ChoiceConstraint(CHOICES, {2})] * count,
    )
    with torch.no_grad():
        first = tiny.model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1]
    share = float(first[[20, 40]].softmax(-1)[1])
    assert sum(a.tokens == [40] for a in answers) / count == pytest.approx(
        share, abs=4 * math.sqrt(0.25 / count)
    )


def test_a_constraint_may_leave_everything_open_for_some_and_rules_one_row_only(
    tiny: LoadedModel,
) -> None:
    free = Generator(tiny).generate(PROMPTS, 6, set())
    ruled = Generator(tiny).generate(
        PROMPTS, 6, set(), constraints=[lambda so_far: [9], lambda so_far: None] + [None] * 3
    )
    assert ruled[0].tokens == [9] * 6
    assert [a.tokens for a in ruled[1:]] == [a.tokens for a in free[1:]]


def test_a_constraint_that_allows_nothing_is_an_error(tiny: LoadedModel) -> None:
    with pytest.raises(UsageError, match="nothing-allowed"):
        Generator(tiny).generate(PROMPTS[:1], 6, set(), constraints=[lambda so_far: []])


def test_pain_16_fewer_rows_at_once_when_their_keys_and_values_would_not_fit(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [answer.tokens for answer in Generator(tiny).generate(PROMPTS, 6, set())]
    bytes_per_token = (
        2 * 2 * 2 * 8 * 4
    )  # keys and values, layers, heads of keys, head size, float32
    longest = max(map(len, PROMPTS)) + 6
    monkeypatch.setattr(
        generator, "compute_cache_budget_bytes", lambda device: 2 * longest * bytes_per_token
    )
    most: list[int] = []
    original = DecodingBatch._decode_next_tokens

    def counting(batch: DecodingBatch) -> None:
        most.append(len(batch.active_sequences))
        original(batch)

    monkeypatch.setattr(DecodingBatch, "_decode_next_tokens", counting)
    assert [answer.tokens for answer in Generator(tiny).generate(PROMPTS, 6, set())] == expected
    assert max(most) == 2
