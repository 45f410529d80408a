"""What an evaluation takes is told before it begins: seconds for each model, and what services
charge."""

import pytest

from tunesmith.costs.evaluation_forecast import (
    AnsweringForecast,
    count_computed_tokens,
    forecast_local_answers,
    forecast_remote_answers,
)
from tunesmith.engine.machine_measurement import Rates
from tunesmith.records import (
    EstimateInterval,
    EvaluationRecipe,
    Example,
    Message,
    Recipe,
    RemoteRecipe,
    TokenPrice,
)

RATES = Rates(
    token_seconds=0.0,
    validation_token_seconds=0.001,
    update_seconds=0.0,
    pass_seconds=0.1,
    pass_sequence_seconds=0.01,
    pair_seconds=1e-6,
)
RECIPE = Recipe(evaluation=EvaluationRecipe(batch_size=4))


def test_beginnings_that_prompts_share_are_counted_once() -> None:
    assert count_computed_tokens([[1, 2, 3], [1, 2, 4], [1, 2, 3], [9]]) == 3 + 1 + 0 + 1
    assert count_computed_tokens([]) == 0 == count_computed_tokens([[]])


def test_a_local_model_takes_what_its_rates_say() -> None:
    """Ten prompts of 100 tokens, of which 50 are shared; answers of 5 tokens, at most 20."""
    prompts = [[*range(50), *range(1000 + 50 * i, 1050 + 50 * i)] for i in range(10)]
    computed = 55
    reading = computed * 0.001 + (computed * 100 - computed**2 / 2) * 1e-6
    a_pass = 0.1 + 4 * (0.01 + 100 * 1e-6)
    known = 10 * reading + 5 * 10 / 4 * a_pass
    tuned = forecast_local_answers(RATES, prompts, [5] * 10, 20, RECIPE, is_tuned=True)
    assert tuned.expected == pytest.approx(known)
    assert tuned.low == pytest.approx(0.6 * known)
    longest = 10 * reading + 20 * 10 / 4 * a_pass
    untuned = forecast_local_answers(RATES, prompts, [5] * 10, 20, RECIPE, is_tuned=False)
    assert untuned.expected == pytest.approx((known + longest) / 2)
    assert untuned.high == pytest.approx(1.7 * longest) and untuned.low == tuned.low


def test_a_service_charges_for_the_tokens_of_prompts_and_answers() -> None:
    """100 examples with prompts of 4 + 10 tokens and answers of 1 + 5, at most 24."""
    remote = RemoteRecipe(
        name="r", url="https://r.example/v1", model="m", max_concurrency=2, max_tokens=24
    )
    price = TokenPrice(usd_per_million_in=1.0, usd_per_million_out=10.0, source="s", date="d")
    example = Example(1, (Message("user", "x" * 40), Message("assistant", "y" * 20)))
    seconds, usd = forecast_remote_answers(remote, price, [example] * 100)
    assert usd.low == pytest.approx((1400 + 10 * 600) / 1e6)
    assert usd.expected == pytest.approx((1400 + 10 * 1200) / 1e6)
    assert usd.high == pytest.approx((1400 + 10 * 2400) / 1e6)
    assert seconds.expected == pytest.approx((100 * 1.0 + 1200 / 60) / 2), "two at a time"
    assert seconds.low < seconds.expected < seconds.high
    own, free = forecast_remote_answers(remote, None, [example] * 100)
    assert own == seconds and free.high == 0


def test_the_total_comes_first() -> None:
    seconds = {
        "a": EstimateInterval(low=10, expected=20, high=60),
        "b": EstimateInterval(low=20, expected=30, high=30),
    }
    nothing = EstimateInterval(low=0, expected=0, high=0)
    assert str(AnsweringForecast(seconds, nothing)) == (
        "estimated total time 50 s (30 s to 90 s): a 20 s, b 30 s"
    )
    charged = EstimateInterval(low=0.01, expected=0.02, high=0.5)
    assert str(AnsweringForecast(seconds, charged)).endswith(
        "b 30 s; services charge $0.020 ($0.010 to $0.50)"
    )
