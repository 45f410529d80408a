"""Whether other programs compute on this machine while an estimate is made, as a warning text."""

import os
from typing import Any

from tunesmith.records.evaluation import MAX_WAITING_FRACTION

BUSY_MACHINE = "the machine is busy"
"""How the warning of a busy machine begins; callers recognize it by this."""
STOLEN = 0.05
"""Fraction of the cores' time that the host of a virtual machine may take without a warning."""


def list_load_warnings(
    waiting: float | None, load_per_core: float | None, cores: int, stolen: float
) -> tuple[str, ...]:
    """A warning if other programs compute on this machine, because then everything takes longer
    than necessary.

    `waiting`: fraction of the time that this program waited for a core; where the platform does not
    count it (None), the load average decides. `stolen`: fraction of the cores' time taken by the
    host.
    """
    load = (load_per_core or 0.0) * cores
    # The load average includes this program's own threads, so only more than one process per core
    # is a sign of others.
    is_busy = load >= cores + 0.5 if waiting is None else waiting > MAX_WAITING_FRACTION
    reasons = []
    if is_busy:
        waited = (
            ""
            if waiting is None
            else f"this process waited for a processor core {waiting:.0%} of the time, "
        )
        reasons.append(f"{waited}load {load:.1f} on {cores} cores")
    if stolen > STOLEN:
        reasons.append(f"the hypervisor takes {stolen:.0%} of the processor time (steal)")
    if not reasons:
        return ()
    one_thread = os.environ.get("OMP_NUM_THREADS") == "1" or cores == 1
    advice = (
        ""
        if one_thread
        else "; multi-threaded work suffers most, so OMP_NUM_THREADS=1 may be faster"
    )
    return (
        (
            f"{BUSY_MACHINE} ({'; '.join(reasons)}): the low estimate assumes an idle machine, "
            f"the expected one the current load{advice}"
        ),
    )


def compute_stolen_fraction(before: Any, after: Any) -> float:
    """Fraction of all cores' time that the host of a virtual machine took between two
    `psutil.cpu_times()`; 0 where it is not counted.
    """
    passed = sum(after) - sum(before)
    stolen = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
    return max(0.0, stolen / passed) if passed > 0 else 0.0


def describe_rates_origin(timed_at: str | None) -> tuple[str, ...]:
    """The origin of the rates, if they were not measured just now."""
    if timed_at is None:
        return ()
    return (
        (
            f"using the speed of this model measured earlier (at {timed_at}), adjusted to the "
            "current load"
        ),
    )
