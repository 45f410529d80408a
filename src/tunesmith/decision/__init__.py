"""From an evaluation to a verdict: `decide` in `verdict.py` holds the rules, `reasons.py` says them in sentences.

Before there is an evaluation, `build_power_statement` says what a test set of this size can show (`power.py`).
"""

from tunesmith.decision.power_statement import build_power_statement
from tunesmith.decision.verdict import decide

__all__ = ["build_power_statement", "decide"]
