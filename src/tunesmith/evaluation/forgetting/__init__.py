"""Forgetting: a probe of general ability before and after tuning.

    items.jsonl             about 200 small tasks of five kinds, each with rules for its answer
    rule_checkers.py        the rules
    general_text.txt        plain prose of many kinds, to measure the loss on
    probe.py                runs the probe: `measure_general_ability`
    probe_comparison.py     compares two runs: `compute_forgetting`
    forgetting_summary.py   puts the comparison into words: `describe_forgetting`

Written for this project: no item or sentence is taken from a benchmark.
"""
