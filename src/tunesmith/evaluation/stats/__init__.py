"""Statistics: arrays in, numbers out; numpy and scipy only. A statistician can review this folder alone.

    scores          what is taken for granted: scores are checked, the level is 95 %
    standard_error  of a mean, also where examples come in groups (CR2, Bell and McCaffrey's degrees of freedom)
    intervals       a rate (Wilson, exact), a mean (scaled Wilson, Student's t), in groups or not
    bootstrap       a statistic that only exists over all examples, and a mean (BCa; whole groups are drawn)
    paired          the difference of two contenders on the same examples, with its p value
    margin          is a contender not worse than another by more than a margin?
    several         p values of several comparisons (Holm)
    power           what a number of examples can show, how many a difference needs
    seeds           how far runs with different seeds lie apart

All scores lie in [0, 1]. All intervals are two-sided 95 %. NaN is refused, never dropped. What is promised here
(coverage, false positives, power) is measured by `benchmarks/calibrate_stats.py`.
"""
