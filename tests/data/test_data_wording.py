"""One example has, several have."""

import pytest

from tunesmith.data.example_count import format_example_count
from tunesmith.data.tokenization import RENDER_ERROR_MESSAGES


@pytest.mark.parametrize(
    ("count", "total", "what", "said"),
    [
        (1, 4, "have no answer to train on", "1 of 4 examples has no answer to train on"),
        (2, 4, "have no answer to train on", "2 of 4 examples have no answer to train on"),
        (1, 1, "are refused", "1 of 1 example is refused"),
        (
            1,
            2000,
            "of the data share a prompt",
            "1 of 2,000 examples of the data shares a prompt",
        ),
        (1, 4, "have a rare label: have, are", "1 of 4 examples has a rare label: have, are"),
        (
            1,
            4,
            "would not teach the model to stop",
            "1 of 4 examples would not teach the model to stop",
        ),
    ],
)
def test_the_verb_follows_the_count(count: int, total: int, what: str, said: str) -> None:
    assert format_example_count(count, total, what) == said


@pytest.mark.parametrize("what", [what for what, _ in RENDER_ERROR_MESSAGES.values()])
def test_every_refusal_can_be_said_of_one(what: str) -> None:
    assert format_example_count(1, 9, what) != f"1 of 9 examples {what}" or what.startswith("would")
