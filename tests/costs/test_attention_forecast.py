"""A token attends to all before it, which an estimate that counts tokens alike misses for long
prompts of a small model."""

from statistics import fmean

import pytest

from tunesmith.contenders.retrieval.retrieval_candidates import DEFAULT_KS
from tunesmith.contenders.successive_halving import count_required_answers
from tunesmith.costs.contender_forecast import (
    Workload,
    estimate_contender_seconds,
    estimate_reading_seconds,
    list_contender_work,
)
from tunesmith.costs.training_forecast import forecast
from tunesmith.engine.machine_measurement import Throughput, TrainingProfile, compute_pair_seconds
from tunesmith.records import EvaluationRecipe, MemoryPlan, Recipe, TrainingRecipe
from tunesmith.records.contender_kinds import RETRIEVAL
from tunesmith.testing.resolved_recipes import resolve_test_recipe

TOKEN, PAIR, QUESTION, EXAMPLE = 1e-4, 4e-7, 150, 160
"""A fake machine: seconds of a token and of a pair of tokens, and the tokens of the data. At 1,000
tokens attention is two thirds of the work, as for two layers of 32 dimensions."""


def read(tokens: float) -> float:
    """Seconds that the fake machine takes to read a prompt."""
    return TOKEN * tokens + PAIR * tokens**2 / 2


def profile(pair: float = PAIR) -> TrainingProfile:
    pace = Throughput(
        token_seconds=3 * TOKEN,
        validation_token_seconds=TOKEN,
        update_seconds=0.0,
        pass_seconds=0.0,
        pair_seconds=pair,
        prompt_seconds=TOKEN * QUESTION,
    )
    return TrainingProfile(
        throughput=pace,
        plan=MemoryPlan(),
        tokens_per_step=16 * EXAMPLE,
        validation_tokens=0,
        reference_tokens=0,
        timed_prompts=8,
        base_bytes=0,
        accelerator=None,
        step_pairs=16 * EXAMPLE**2 / 2,
    )


WORK = Workload(
    examples=160,
    tokens_read=160 * EXAMPLE,
    tokens_trained=160 * 10,
    answer_lengths=(1,) * 24,
    prompt_tokens=QUESTION,
    test_examples=0,
    max_new_tokens=1,
)
RECIPE = Recipe(evaluation=EvaluationRecipe(constrained=False))


def test_the_seconds_of_a_pair_follow_from_three_lengths_whatever_else_a_prompt_costs() -> None:
    lengths = (128, 576, 1024)
    seconds = [0.02 + TOKEN * n + PAIR * n**2 / 2 for n in lengths]
    assert compute_pair_seconds(seconds, lengths) == pytest.approx(PAIR)
    assert compute_pair_seconds([0.02 + TOKEN * n for n in lengths], lengths) == pytest.approx(0)
    assert compute_pair_seconds([3.0, 2.0, 0.9], lengths) == 0, "noise is not less than nothing"


@pytest.mark.parametrize("longer", [1.0, 2.0, 7.0])
def test_a_prompt_is_read_in_the_seconds_that_the_machine_takes(longer: float) -> None:
    found = estimate_reading_seconds(profile().throughput, WORK, longer)
    assert found == pytest.approx(read(longer * QUESTION))


def test_only_the_tokens_behind_a_shared_beginning_are_computed_and_they_attend_to_all() -> None:
    """Fixed examples of 800 tokens before every question."""
    found = estimate_reading_seconds(profile().throughput, WORK, 1.0, 800.0)
    assert found == pytest.approx(read(800 + QUESTION) - read(800))


def test_the_choice_of_how_much_to_retrieve_is_estimated_as_it_is() -> None:
    """Counting each token alike, a decision of 3 minutes took half of its time for this choice,
    and the estimate said a tenth."""
    (work,) = [one for one in list_contender_work(WORK, RECIPE) if one.kind is RETRIEVAL]
    answers = count_required_answers(2 * len(DEFAULT_KS), 24)
    actual = answers * fmean(read(QUESTION + k * EXAMPLE) for k in DEFAULT_KS)
    found = estimate_contender_seconds(profile(), WORK, RECIPE, work)
    assert found.expected == pytest.approx(actual, rel=0.01), "and one token is written"
    alike = estimate_contender_seconds(profile(0.0), WORK, RECIPE, work)
    assert alike.expected < actual / 2


def test_attention_counts_three_times_in_a_training_step() -> None:
    training = TrainingRecipe(epochs=1, batch_size=16, num_evals=1)
    recipe = resolve_test_recipe(Recipe(training=training))
    found = forecast(profile(), WORK, recipe, [], "quick")
    assert found.breakdown["steps"] == pytest.approx(10 * 16 * 3 * read(EXAMPLE))
