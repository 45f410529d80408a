"""Answering time on this machine as a function of the work done: rates fitted to all contenders.

The wall time of one contender also depends on how busy the machine was in those minutes: two
contenders that read and wrote the same tokens took 113 and 159 s. So a request's cost is computed
from its work, and the time per unit of work is estimated from all contenders together, which run
the same model (an adapter adds a percent or two):

    seconds_i ~ sum over k of rate_k * work_ik        rate_k >= 0

where k is one of: tokens read (those shared by multiple prompts count once), tokens generated
without a constraint, tokens generated under a constraint, answers chosen among labels, questions
with retrieval. The fit minimizes the squared relative error (each row is divided by its seconds).
Equal work then costs the same, however busy the machine was.

**Uncertainty.** With e_i = seconds_i / fitted_i - 1 over m contenders and r rates above 0, the
variance of one contender's error is s2 = (sum e_i^2 + 2 * 0.1^2) / (m - r + 2): the observed
variance, shrunk toward 10 % as if two more contenders had shown that error. The half-width is
1.96 s.

Source: Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23, for rates that are
never negative.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.records import Answer, MachineTime

WORK_KINDS = ("read", "written", "constrained", "picked", "retrieved")
PRIOR_RELATIVE_ERROR, PRIOR_CONTENDERS = 0.1, 2
"""Relative error between two measurements on a quiet machine, and the number of contenders that
this prior counts for; our choice."""


def fit_machine_time(asked: Sequence[ContenderAnswers]) -> MachineTime | None:
    """The rates that fit all contenders that ran on this machine; None if there are none."""
    here = [one for one in asked if is_run_locally(one) and _sum_seconds(one) > 0]
    if not here:
        return None
    from scipy.optimize import nnls  # imported here, so that this module loads without scipy

    work_NK = np.array([_count_work(one) for one in here], dtype=np.float64)
    seconds_N = np.array([_sum_seconds(one) for one in here])
    # Dividing each row by its seconds turns absolute into relative errors; the target is 1.
    rates_K, _ = nnls(work_NK / seconds_N[:, None], np.ones(len(here)))
    fitted_N = work_NK @ rates_K
    if not (fitted_N > 0).all():
        return None  # some contender did none of the work that has a rate above 0
    errors_N = seconds_N / fitted_N - 1
    freedom = max(len(here) - int((rates_K > 0).sum()), 0) + PRIOR_CONTENDERS
    deviation = sqrt(
        (float(errors_N @ errors_N) + PRIOR_CONTENDERS * PRIOR_RELATIVE_ERROR**2) / freedom
    )
    waits = [
        one.usage.waiting_fraction
        for one in here
        if one.usage and one.usage.waiting_fraction is not None
    ]
    return MachineTime(
        seconds={
            kind: float(rate) for kind, rate in zip(WORK_KINDS, rates_K, strict=True) if rate > 0
        },
        uncertainty=1.96 * deviation,
        waiting_fraction=sum(waits) / len(waits) if waits else None,
    )


def estimate_seconds(one: ContenderAnswers, machine: MachineTime) -> float:
    """The seconds that all its requests take at these rates."""
    return sum(
        machine.seconds.get(kind, 0.0) * work
        for kind, work in zip(WORK_KINDS, _count_work(one), strict=True)
    )


def is_run_locally(one: ContenderAnswers) -> bool:
    """Whether this machine ran the contender, not a provider or another system."""
    return not one.spec.traits.is_external and one.spec.token_price is None


def _select_answered(one: ContenderAnswers) -> list[Answer]:
    return [answer for answer in one.answers if answer.error is None]


def _sum_seconds(one: ContenderAnswers) -> float:
    return sum(answer.seconds for answer in _select_answered(one))


def _count_work(one: ContenderAnswers) -> list[float]:
    """The amount of each kind of work (`WORK_KINDS`) that its answers took in total."""
    work = dict.fromkeys(WORK_KINDS, 0.0)
    uses_retrieval = one.spec.traits.uses_retrieval
    for answer in _select_answered(one):
        work["read"] += answer.tokens_in - answer.tokens_shared
        work[answer.mode] += 1 if answer.mode == "picked" else answer.tokens_out
        work["retrieved"] += uses_retrieval
    return [work[kind] for kind in WORK_KINDS]
