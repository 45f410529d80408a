"""The machine of a run, and the version of every installed package. Imports no torch."""

import os
import platform
from importlib.metadata import distributions
from pathlib import Path

import psutil

from tunesmith.records import Machine


def describe_machine(accelerator: str | None = None) -> Machine:
    """This machine. `cores` counts those usable by this process; the engine supplies the
    accelerator's name.
    """
    return Machine(
        platform=platform.platform(),
        processor=_read_processor_name(),
        cores=_count_usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        accelerator=accelerator,
    )


def list_versions() -> dict[str, str]:
    """Version of Python and of every installed package, by name: enough to rebuild the
    environment.
    """
    # `metadata` reads its file at each access
    packages = (dist.metadata for dist in distributions())
    installed = {
        package["Name"].lower(): package["Version"] for package in packages if package["Name"]
    }
    return {"python": platform.python_version(), **dict(sorted(installed.items()))}


def _count_usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # respects taskset and container limits
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
