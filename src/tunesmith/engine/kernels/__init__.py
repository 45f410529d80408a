"""Faster replacements of model parts, each checked against the original when installed."""
