"""Scorers, one a file: `(answer, reference) -> scores`. `choose.choose_scorer` finds the one that fits the answers."""
