"""Attention over a prefix forest: token i attends to j exactly when `j <= i < end[j]`."""
