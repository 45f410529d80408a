"""Error analysis: what goes wrong, why, what to do about it, and what changed between two runs.

    scored_examples.py    which answers are wrong
    by_label.py  by_field.py  by_length.py  by_topic.py  by_format.py
                          errors that have something in common
    error_clusters.py     a group of errors, and its record
    rate_differences.py   is a group significantly worse than the rest?
    nearest_examples.py   the training examples nearest to an error
    label_issues.py       training answers that may be wrong
    suggestions.py        at most ten recommended actions
    labeling_sheet.py     a file to fill in
    error_analysis.py     all of these in order: `analyze_errors`
    run_diff.py           two runs: `compare_runs`
    seed_comparison.py    runs that differ in their seed: `compare_seeds`

Everything is computed from stored answers; no model is run here.
"""
