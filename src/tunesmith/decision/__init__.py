"""From an evaluation to a verdict: `decide` in `verdict.py` holds the rules, `reasons.py` says them in sentences."""

from tunesmith.decision.verdict import decide

__all__ = ["decide"]
