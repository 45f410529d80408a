"""Data checks: one per file, each from a context to problems. Entry point: `check_examples`."""

from tunesmith.data.check.run_checks import check_examples

__all__ = ["check_examples"]
