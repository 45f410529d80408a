"""Explain: what goes wrong, why, what to do about it, and what changed between two runs.

    cases.py       which answers are wrong
    by_labels.py  by_field.py  by_length.py  by_topic.py  by_form.py     errors that have something in common
    found.py       a group of errors, and its record
    contrast.py    is a group worse than the rest beyond noise?
    neighbours.py  the train examples near an error
    suspects.py    train answers that may be wrong
    suggest.py     at most ten things to do
    to_label.py    a file to fill in
    analyse.py     all of these in order: `analyse`
    compare.py     two runs: `compare_runs`
    seeds.py       several runs that differ in their seed: `compare_seeds`

Everything is found from stored answers; no model is asked here.
"""
