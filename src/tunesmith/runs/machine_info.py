"""Where a run is made: the machine, and the version of everything that is installed. Imports no torch."""

import os
import platform
from importlib.metadata import distributions
from pathlib import Path

import psutil

from tunesmith.records import Machine


def describe_machine(accelerator: str | None = None) -> Machine:
    """This machine. `cores` counts what this process may use; the accelerator's name is the engine's to tell."""
    return Machine(
        platform=platform.platform(),
        processor=_read_processor_name(),
        cores=_count_usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        accelerator=accelerator,
    )


def list_versions() -> dict[str, str]:
    """Python's version and that of every installed package, by name: enough to build the same environment again."""
    packages = (dist.metadata for dist in distributions())  # its file is read each time that it is asked for
    installed = {package["Name"].lower(): package["Version"] for package in packages if package["Name"]}
    return {"python": platform.python_version(), **dict(sorted(installed.items()))}


def _count_usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # fewer than the machine has under taskset or in a container
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
