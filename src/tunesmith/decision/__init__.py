"""From an evaluation to a verdict: `decide` (`verdict.py`) applies the rules, `explanations.py`
puts them into sentences.

Before there is an evaluation, `build_power_statement` states which gains a test set of this size
can detect.
"""

from tunesmith.decision.power_statement import build_power_statement
from tunesmith.decision.verdict import decide

__all__ = ["build_power_statement", "decide"]
