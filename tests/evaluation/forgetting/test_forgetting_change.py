"""What was forgotten, from two measurements, as numbers and as sentences."""

import random

import pytest

from tunesmith.errors import RecordError
from tunesmith.evaluation.forgetting.forgetting_summary import describe_forgetting
from tunesmith.evaluation.forgetting.probe import load_probe_items
from tunesmith.evaluation.forgetting.probe_comparison import compute_forgetting
from tunesmith.evaluation.stats.paired_difference import rate_difference
from tunesmith.records import Forgetting, GeneralAbility, ProbeAnswer, TextLoss

ITEMS = load_probe_items()


def ability(
    wrong: set[str], unanswered: set[str] = frozenset(), nats: float = 2.0, probe: str = "p"
) -> GeneralAbility:
    answers = tuple(
        ProbeAnswer(
            item=item.id,
            kind=item.kind,
            text="x",
            is_correct=None if item.id in unanswered else item.id not in wrong,
        )
        for item in ITEMS
    )
    draw = random.Random(int(nats * 100))
    texts = tuple(
        TextLoss(nats=nats * tokens + draw.gauss(0, 2), tokens=tokens) for tokens in range(80, 110)
    )
    return GeneralAbility(probe=probe, answers=answers, texts=texts, seconds=1.5)


def ids(kind: str, count: int) -> set[str]:
    return {item.id for item in [item for item in ITEMS if item.kind == kind][:count]}


def test_a_loss_is_a_positive_drop_with_the_paired_interval() -> None:
    before = ability(ids("arithmetic", 30))
    after = ability(ids("arithmetic", 28) | ids("fact", 20), nats=2.5)
    forgetting = compute_forgetting(before, after)
    expected = rate_difference(20, 2, 200)
    drop = forgetting.drop
    assert (drop.value, drop.low, drop.high, forgetting.p) == pytest.approx(expected[:4])
    assert (forgetting.lost, forgetting.gained, drop.n, drop.n_failed) == (20, 2, 200, 0)
    by_kind = {change.kind: change.drop.value for change in forgetting.kinds}
    assert by_kind == {
        "instruction": 0,
        "arithmetic": -0.05,
        "fact": 0.5,
        "format": 0,
        "willing": 0,
    }
    assert forgetting.seconds == 3.0 and {lapse.kind for lapse in forgetting.regressions} == {
        "fact"
    }
    assert Forgetting.model_validate_json(forgetting.model_dump_json()) == forgetting


def test_what_was_not_answered_is_counted_and_left_out() -> None:
    forgetting = compute_forgetting(
        ability(set(), unanswered=ids("fact", 3)), ability(ids("fact", 5))
    )
    assert (forgetting.drop.n, forgetting.drop.n_failed, forgetting.lost) == (197, 3, 2)
    assert "3 items without an answer before or after are excluded." in describe_forgetting(
        forgetting
    )


def test_lapses_are_of_all_kinds_in_turn() -> None:
    forgetting = compute_forgetting(
        ability(set()), ability(ids("arithmetic", 9) | ids("willing", 2))
    )
    assert [lapse.kind for lapse in forgetting.regressions] == ["arithmetic", "willing"] * 2 + [
        "arithmetic"
    ] * 2


def test_other_probes_and_other_tokens_are_refused() -> None:
    with pytest.raises(RecordError) as error:
        compute_forgetting(ability(set()), ability(set(), probe="q"))
    assert str(error.value) == (
        "error[record/other-probe]: general ability was measured with two different probes "
        "and cannot be compared\n  got: p before, q after\n  hint: measure both with the "
        "same version of tunesmith"
    )
    longer = ability(set()).model_copy(update={"texts": (TextLoss(nats=1.0, tokens=7),)})
    with pytest.raises(RecordError, match="two different tokenizers"):
        compute_forgetting(ability(set()), longer)


def test_a_model_without_likelihoods_has_no_text_change() -> None:
    assert (
        compute_forgetting(ability(set()), ability(set()).model_copy(update={"texts": ()})).text
        is None
    )


def test_sentences_have_their_numbers() -> None:
    forgetting = compute_forgetting(
        ability(ids("arithmetic", 30)), ability(ids("arithmetic", 30) | ids("fact", 20), nats=2.5)
    )
    sentences = describe_forgetting(forgetting, 0.05)
    assert sentences[:3] == [
        (
            "General ability fell by 10.0 points: 85.0 % of 200 short tasks were correct "
            "before tuning, 75.0 % after (95 % interval of the drop 6.6 to 14.9 points; 20 "
            "lost, 0 gained)."
        ),
        "This is significantly more than the allowed 5.0 points (max_forgetting).",
        "Significant drops: facts 50.0 points (95 % interval 35.2 to 64.8, n = 40).",
    ]
    assert sentences[3].startswith("General text: 2.0") and "it rose by 0.4" in sentences[3]


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (0, "General ability did not change"),
        (2, "which is not significant"),
        (0, "A drop of more than the allowed 5.0 points (max_forgetting) is ruled out."),
        (
            6,
            (
                "This is within the allowed 5.0 points (max_forgetting), but a larger drop is "
                "not ruled out."
            ),
        ),
        (11, "but not significantly."),
    ],
)
def test_the_budget_is_judged_with_its_doubt(lost: int, words: str) -> None:
    told = describe_forgetting(compute_forgetting(ability(set()), ability(ids("fact", lost))), 0.05)
    assert words in " ".join(told)


def test_a_gain_is_said_as_one() -> None:
    told = describe_forgetting(
        compute_forgetting(ability(ids("fact", 12)), ability(set(), nats=1.5))
    )
    assert (
        told[0].startswith("General ability rose by 6.0 points:") and "it fell by 0.5" in told[-1]
    )
