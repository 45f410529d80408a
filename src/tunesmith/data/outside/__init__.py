"""Tasks and answers in the formats of other evaluation tools. The door is `read_outside`; a format is one file.

What a file asks for and we cannot give is named in `not_understood`, with the places; nothing is skipped silently.
"""

from tunesmith.data.outside.read import read_outside, sniff
from tunesmith.data.outside.task import OutsideAnswers, OutsideTask

__all__ = ["OutsideAnswers", "OutsideTask", "read_outside", "sniff"]
