"""From an evaluation to a verdict: `decide` in `verdict.py` holds the rules, `reasons.py` says them in sentences.

Before there is an evaluation, `what_can_be_shown` says what a test set of this size can show (`power.py`).
"""

from tunesmith.decision.power import what_can_be_shown
from tunesmith.decision.verdict import decide

__all__ = ["decide", "what_can_be_shown"]
