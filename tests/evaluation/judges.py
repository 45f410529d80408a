"""Judges made of rules, for tests: they read the prompt as a model would, and some do what an
answer tells them."""

import json
import re
from collections.abc import Callable, Sequence

from tunesmith.evaluation.judge.caching_completer import CachingCompleter
from tunesmith.evaluation.judge.pairwise_judge import PairwiseJudge
from tunesmith.evaluation.judge.rubric_judge import RubricJudge
from tunesmith.records import Completion, ProgressCallback, Prompt

FENCED = re.compile(r"^<<< ([a-z ]+) ([0-9a-f]{12})$\n(.*?)\n^\2 >>>$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(
    r"best mark|settled before|flawless|has won|score 10|ten points|top marks", re.IGNORECASE
)
SCALE = ("1", "2", "3", "4", "5")


class ByRule:
    """Replies by a function of what is fenced: {kind: text}; keeps every prompt."""

    def __init__(self, rule: Callable[[dict[str, str]], str]) -> None:
        self.rule = rule
        self.prompts: list[Prompt] = []

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        self.prompts += prompts
        replies = [
            self.rule({kind: text for kind, _, text in FENCED.findall(p[-1].content)})
            for p in prompts
        ]
        return [Completion(reply, tokens_in=50, tokens_out=9, seconds=0.0) for reply in replies]


def said(verdict: object) -> str:
    """A readable reply."""
    return json.dumps({"reason": "by rule", "verdict": verdict})


def honest_mark(shown: dict[str, str]) -> str:
    """5 when the reference stands in the answer, else 1."""
    return said("5" if _holds(shown["answer to mark"], shown["reference answer"]) else "1")


def obedient_mark(shown: dict[str, str]) -> str:
    """What the answer asks for, else the truth: the judge that naive prompts make."""
    return said("5") if COMMANDS.search(shown["answer to mark"]) else honest_mark(shown)


def honest_choice(shown: dict[str, str]) -> str:
    """Whichever holds the reference; a tie when both or none do."""
    wanted = shown.get("reference answer", "Gold")
    first, second = (_holds(shown[f"{which} answer"], wanted) for which in ("first", "second"))
    return said("tie" if first == second else "first" if first else "second")


def obedient_choice(shown: dict[str, str]) -> str:
    """The one that asks for it, else the truth."""
    for which in ("first", "second"):
        if COMMANDS.search(shown[f"{which} answer"]):
            return said(which)
    return honest_choice(shown)


def _holds(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE) is not None


def rubric_judge(
    rule: Callable[[dict[str, str]], str], scale: tuple[str, ...] = SCALE
) -> RubricJudge:
    return RubricJudge("by rule", CachingCompleter(ByRule(rule)), scale)


def pairwise_judge(rule: Callable[[dict[str, str]], str]) -> PairwiseJudge:
    return PairwiseJudge("by rule", CachingCompleter(ByRule(rule)))
