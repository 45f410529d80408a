"""Energy in joules, where the machine reports it: monotonic counters, read before and after.

CPU and memory: RAPL, in `/sys/class/powercap/intel-rapl:N/energy_uj` (microjoules; also on AMD); a
counter wraps around at `max_energy_range_uj`. Many systems let only root read it. GPU: NVML's total
energy (millijoules), through the driver's own library. Both count the whole machine, including
other programs, and exclude the losses of the power supply.

Source: kernel.org, Documentation/power/powercap/powercap.rst; NVML API reference,
nvmlDeviceGetTotalEnergyConsumption.
"""

import ctypes
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")


class EnergyCounters:
    """The energy counters of this machine. Call `accumulate_joules` often enough that no counter
    wraps around twice in between (about once an hour)."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        packages = powercap.glob("intel-rapl:*") if powercap.is_dir() else ()
        # `intel-rapl:0` is a package; `intel-rapl:0:1` is a part of it and already included.
        self._packages = [package for package in packages if package.name.count(":") == 1]
        self._gpus = _NvmlDevices()
        self._last = self._read_counters()
        self._joules = 0.0

    def accumulate_joules(self) -> float | None:
        """Joules since this object was created; None if no counter is readable."""
        now = self._read_counters()
        for name, (joules, whole) in now.items():
            grown = joules - self._last[name][0] if name in self._last else 0.0
            # A negative difference means that the counter wrapped around.
            self._joules += grown if grown >= 0 else grown + whole
        self._last = now
        return self._joules if now else None

    def _read_counters(self) -> dict[str, tuple[float, float]]:
        """(value, wrap-around point) of each counter, in joules; GPU counters do not wrap."""
        counters = {name: (joules, 0.0) for name, joules in self._gpus.read_joules().items()}
        for package in self._packages:
            try:
                counted, whole = (
                    (package / name).read_text() for name in ("energy_uj", "max_energy_range_uj")
                )
                counters[package.name] = (int(counted) / 1e6, int(whole) / 1e6)
            except (OSError, ValueError):  # often readable by root only
                continue
        return counters


class _NvmlDevices:
    """NVML without a Python package: a few calls of the driver's library. Without a driver there
    are no devices."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._devices: list[ctypes.c_void_p] = []
        try:
            nvml = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return
        count = ctypes.c_uint()
        # NVML functions return 0 on success.
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return
        self._nvml = nvml
        for index in range(count.value):
            device = ctypes.c_void_p()
            if not nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)):
                self._devices.append(device)

    def read_joules(self) -> dict[str, float]:
        """Joules of each GPU since its driver was loaded; GPUs before Volta do not report."""
        joules, millijoules = {}, ctypes.c_ulonglong()
        for index, device in enumerate(self._devices):
            if not self._nvml.nvmlDeviceGetTotalEnergyConsumption(
                device, ctypes.byref(millijoules)
            ):
                joules[f"gpu{index}"] = millijoules.value / 1000
        return joules
