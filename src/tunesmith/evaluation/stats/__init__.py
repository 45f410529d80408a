"""Statistics: arrays in, numbers out; numpy and scipy only. A statistician can review this folder alone.

    intervals   a rate (Wilson), a mean (Student's t)
    bootstrap   a statistic that only exists over all examples (BCa)
    paired      the difference of two contenders on the same examples, with its p value
    power       how many examples would settle a difference

All scores lie in [0, 1]. All intervals are two-sided 95 %.
"""
