"""How answers are sampled."""

from dataclasses import dataclass, replace

from tunesmith.errors import UsageError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one answer is sampled; temperature 0 is greedy. Above 0, each token is drawn from the
    most likely ones that together have probability `top_p`, by a generator with this `seed`.

    Errors: `UsageError` for values out of range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        # NaN compares false with everything, so the conditions say what is right
        if not (self.temperature >= 0 and 0 < self.top_p <= 1):
            raise UsageError(
                "bad-sampling",
                "temperature must be at least 0, top_p above 0 and at most 1",
                got=f"temperature {self.temperature}, top_p {self.top_p}",
            )

    def for_prompt(self, number: int) -> "Sampling":
        """The same for prompt `number` of several: each has a seed of its own."""
        return replace(self, seed=self.seed + number)
