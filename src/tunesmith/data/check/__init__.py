"""Checking: one check a file, each from a context to problems. The door is `check_examples`."""

from tunesmith.data.check.run_checks import check_examples

__all__ = ["check_examples"]
