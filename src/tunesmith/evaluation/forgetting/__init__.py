"""Forgetting: a general probe before and after tuning.

    items.jsonl       about 200 small tasks of five kinds, each with the rules that its answer must keep
    rules.py          the rules
    general_text.txt  plain prose of many kinds: how surprising does the model find it?
    probe.py          asks: `measure_general_ability`
    change.py         compares: `compute_forgetting`
    wording.py        says it: `describe_forgetting`

Written for this project: no item or sentence is taken from a benchmark.
"""
