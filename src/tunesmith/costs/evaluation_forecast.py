"""What `evaluate` will take: every model answers the same examples.

A local model is timed as for `decide` (`engine/machine_measurement.py`), and its answers are
counted by the same function (`estimate_generation_seconds`). How fast a service answers is not
known before it is asked; the numbers here are assumptions, told as such. What it charges follows
from its price and the tokens: those of the prompts by their characters, those of an answer between
the reference's and its limit, by their geometric mean, because limits of services leave room for
reasoning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from tunesmith.costs.contender_forecast import Workload, estimate_generation_seconds
from tunesmith.providers.reply_parsing import CHARACTERS_PER_TOKEN
from tunesmith.records import EstimateInterval, Example, Recipe, RemoteRecipe, TokenPrice
from tunesmith.records.quantity import format_duration, format_usd
from tunesmith.records.training_estimate import make_point_interval, scale_interval, sum_intervals

if TYPE_CHECKING:
    from tunesmith.engine.machine_measurement import Rates, Throughput

REQUEST_SECONDS = EstimateInterval(low=0.3, expected=1.0, high=4.0)
"""Seconds until a service begins to answer: our assumption."""
TOKEN_SECONDS = EstimateInterval(low=1 / 200, expected=1 / 60, high=1 / 15)
"""Seconds a service takes for one token of an answer: our assumption."""
MACHINE_FACTORS = (0.6, 1.7)
"""Low and high factor on the seconds of this machine, as where no run was learned from
(`training_forecast.DEFAULT_INTERVALS`).
"""
MESSAGE_TOKENS = 4
"""Tokens of a message beside its content, in the formats of services."""


@dataclass(frozen=True)
class AnsweringForecast:
    """Seconds by model, and what services charge, in USD. `assumptions` are sentences."""

    seconds: Mapping[str, EstimateInterval]
    usd: EstimateInterval
    assumptions: tuple[str, ...] = ()

    @property
    def total(self) -> EstimateInterval:
        """Seconds of all models, which are asked one after the other."""
        return sum_intervals(list(self.seconds.values()))

    def __str__(self) -> str:
        total, parts = (
            self.total,
            ", ".join(
                f"{name} {format_duration(one.expected)}" for name, one in self.seconds.items()
            ),
        )
        charged = (
            f"; services charge {format_usd(self.usd.expected)} ({format_usd(self.usd.low)} to "
            f"{format_usd(self.usd.high)})"
            if self.usd.high
            else ""
        )
        return (
            f"estimated total time {format_duration(total.expected)} "
            f"({format_duration(total.low)} to {format_duration(total.high)}): {parts}{charged}"
        )


@dataclass(frozen=True)
class _Timed:
    throughput: "Throughput"


def count_computed_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens of these prompts, with beginnings that they share counted once."""
    computed = 0
    before: tuple[int, ...] = ()
    # In sorted order, each prompt shares the most with its predecessor.
    for prompt in sorted(map(tuple, prompts)):
        shared = next(
            (i for i, (a, b) in enumerate(zip(prompt, before, strict=False)) if a != b),
            min(len(prompt), len(before)),
        )
        computed, before = computed + len(prompt) - shared, prompt
    return computed


def forecast_local_answers(
    rates: "Rates",
    prompts: Sequence[Sequence[int]],
    answer_lengths: Sequence[int],
    limit: int,
    recipe: Recipe,
    *,
    is_tuned: bool,
) -> EstimateInterval:
    """Seconds in which a model on this machine answers prompts of token ids; `limit` is that of an
    answer. A tuned model is expected to answer as long as the references, any other halfway to the
    limit.
    """
    from tunesmith.engine.machine_measurement import Throughput

    # Shared beginnings are computed once for all prompts, so only the rest counts for each.
    per_prompt = count_computed_tokens(prompts) / max(1, len(prompts))
    workload = Workload(
        examples=0,
        tokens_read=0,
        tokens_trained=0,
        answer_lengths=tuple(answer_lengths),
        prompt_tokens=fmean(map(len, prompts)),
        test_examples=len(prompts),
        max_new_tokens=limit,
    )
    pace = Throughput(**vars(rates), prompt_seconds=per_prompt * rates.validation_token_seconds)
    found = estimate_generation_seconds(_Timed(pace), workload, len(prompts), recipe)
    # An untuned model rarely stops where the reference does; half of them run to the limit.
    expected = found.expected if is_tuned else (found.expected + found.high) / 2
    low, high = MACHINE_FACTORS
    return EstimateInterval(low=low * found.low, expected=expected, high=high * found.high)


def forecast_remote_answers(
    remote: RemoteRecipe, price: TokenPrice | None, examples: Sequence[Example]
) -> tuple[EstimateInterval, EstimateInterval]:
    """(seconds, USD) in which a service answers these examples."""
    tokens_in = sum(
        MESSAGE_TOKENS + len(message.content) / CHARACTERS_PER_TOKEN
        for example in examples
        for message in example.prompt
    )
    shortest = sum(
        min(remote.max_tokens, 1 + len(example.answer) / CHARACTERS_PER_TOKEN)
        for example in examples
    )
    longest = float(remote.max_tokens * len(examples))
    # The geometric mean: between a short reference and a long limit, factors count.
    tokens_out = EstimateInterval(low=shortest, expected=(shortest * longest) ** 0.5, high=longest)
    requests = scale_interval(REQUEST_SECONDS, len(examples))
    writing = EstimateInterval(
        low=tokens_out.low * TOKEN_SECONDS.low,
        expected=tokens_out.expected * TOKEN_SECONDS.expected,
        high=tokens_out.high * TOKEN_SECONDS.high,
    )
    seconds = scale_interval(sum_intervals([requests, writing]), 1 / remote.max_concurrency)
    if price is None:
        return seconds, make_point_interval(0.0)
    usd = EstimateInterval(
        low=price.compute_usd(tokens_in, tokens_out.low),
        expected=price.compute_usd(tokens_in, tokens_out.expected),
        high=price.compute_usd(tokens_in, tokens_out.high),
    )
    return seconds, usd
