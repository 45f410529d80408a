"""A choice that was made on the validation examples, kept with a run so that it is never made twice."""

from tunesmith.records.record import Record


class CandidateScores(Record):
    """A candidate by its name, and its scores on the examples that it was asked; None where there was none."""

    name: str
    scores: tuple[float | None, ...]


class OptimizedPrompt(Record):
    """A prompt that was written by a search of its own: an instruction, and shots as (question, answer)."""

    instruction: str
    shots: tuple[tuple[str, str], ...]


class SelectionRecord(Record):
    """What was tried for `what` (`shots`, `prompt`, `rag`), the chosen one first, and what that took.

    `found` is the prompt where there were no candidates to choose from and one was searched for.
    """

    what: str
    trials: tuple[CandidateScores, ...]
    seconds: float
    usd_charged: float = 0.0
    found: OptimizedPrompt | None = None
