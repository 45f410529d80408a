"""Tool calls: does the answer call the right functions with the right arguments?

    call_accuracy = 1 if the calls of answer and reference are equal as multisets, else 0

Two calls are equal if their names are equal and their arguments are the same JSON value: the order
of keys, spaces and escapes do not matter, 1 and 1.0 are the same number, "1" and 1 are not, and an
argument that is left out differs from one that is given. Ids of calls are not compared. The order
of parallel calls does not matter, as in BFCL's parallel categories. There is no partial credit;
`call_names` says how often at least the functions were right, and `call_valid` how often calls
could be read at all.

The answer's own text beside its calls is not compared. Where the reference calls nothing, the right
answer is one that calls nothing.

Source: Patil et al. 2025, "The Berkeley Function Calling Leaderboard (BFCL)", ICML, for matching
names and arguments; unlike it, texts are compared exactly (BFCL ignores case, spaces and some
punctuation), and a reference has one value for each argument (BFCL lists several).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from tunesmith.data.tool_call_format import FoundCalls, find_calls
from tunesmith.evaluation.scorers.json_fields import format_canonical
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric


class ToolCallsScorer:
    """Equality of calls. `are_all_calls`: every reference calls a function, so an answer without a
    call cannot be read as one.
    """

    name = "tool_calls"
    metric = "call_accuracy"
    failure_text = "hold no tool call that can be read"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, *, are_all_calls: bool = True) -> None:
        self.are_all_calls = are_all_calls

    @classmethod
    def from_references(cls, references: Sequence[str]) -> "ToolCallsScorer":
        """The scorer for these references."""
        return cls(are_all_calls=all(find_calls(one).functions for one in references))

    def can_parse(self, answer: str) -> bool:
        """Whether calls can be read in the answer; without any, whether it may call nothing."""
        found = find_calls(answer)
        return not found.is_broken and bool(found.functions or not self.are_all_calls)

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`call_accuracy`, `call_names` and `call_valid`: 0 or 1 each."""
        wanted = _read_reference(reference)
        found = find_calls(answer)
        if found.is_broken:
            return {"call_accuracy": 0.0, "call_names": 0.0, "call_valid": 0.0}
        same_names = _count_names(found) == _count_names(wanted)
        return {
            "call_accuracy": float(same_names and _count_calls(found) == _count_calls(wanted)),
            "call_names": float(same_names),
            "call_valid": float(bool(found.functions) or not wanted.functions),
        }


@lru_cache(maxsize=4096)
def _read_reference(text: str) -> FoundCalls:
    return find_calls(text)


def _count_names(found: FoundCalls) -> Counter[str]:
    return Counter(function["name"] for function in found.functions)


def _count_calls(found: FoundCalls) -> Counter[str]:
    return Counter(format_canonical([one["name"], one["arguments"]]) for one in found.functions)
