"""A choice made on the validation examples, stored with a run so that it is never repeated."""

from tunesmith.records.record import Record


class CandidateScores(Record):
    """A candidate's name and its scores on the examples it was tried on; None for a missing
    score.
    """

    name: str
    scores: tuple[float | None, ...]


class OptimizedPrompt(Record):
    """A prompt written by an external optimizer: an instruction, and shots as (question,
    answer).
    """

    instruction: str
    shots: tuple[tuple[str, str], ...]


class SelectionRecord(Record):
    """What was tried for `purpose` (`shots`, `prompt`, `rag`), the chosen one first, and its cost.

    `optimized_prompt` is the prompt if it came from a search instead of a list of candidates.
    `stopped_early`: its time was over before all was tried.
    """

    purpose: str
    trials: tuple[CandidateScores, ...]
    seconds: float
    usd_charged: float = 0.0
    optimized_prompt: OptimizedPrompt | None = None
    ended_early: bool = False
