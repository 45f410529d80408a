"""Attention over a prefix forest: the rule `j <= i < end[j]` at the cost of the pairs that it allows."""
