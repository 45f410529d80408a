"""Forgetting: a general probe before and after tuning.

    items.jsonl       about 200 small tasks of five kinds, each with the rules that its answer must keep
    rules.py          the rules
    general_text.txt  plain prose of many kinds: how surprising does the model find it?
    probe.py          asks: `measure_general`
    change.py         compares: `forgetting_of`
    wording.py        says it: `sentences_of`

Written for this project: no item or sentence is taken from a benchmark.
"""
