"""Statistics: arrays in, numbers out; numpy and scipy only. Reviewable without the other packages.

    significance        shared assumptions: scores are checked, the level is 95 %
    standard_error      of a mean, also of grouped examples (CR2, Bell and McCaffrey's degrees of
                        freedom)
    intervals           a rate (Wilson), a mean (scaled Wilson), grouped or not
    bootstrap           a metric over all examples (BCa; whole groups are drawn)
    paired_difference   the difference of two contenders on the same examples, with its p-value
    multiple_testing    p-values of multiple comparisons (Holm)
    power_analysis      what a number of examples can detect, how many a difference needs
    seed_variance       variance between runs with different seeds

All scores lie in [0, 1]. All intervals are two-sided 95 %. NaN is rejected, never dropped. The
claims made here (coverage, false positives, power) are measured by `benchmarks/calibrate_stats.py`.
"""
