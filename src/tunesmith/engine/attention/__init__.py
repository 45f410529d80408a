"""Attention over a prefix forest: token i attends to j exactly when `j <= i < end[j]`, and only
such pairs cost time.
"""
