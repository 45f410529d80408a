"""How much memory may be taken at once, how much was, and giving it back."""

import ctypes
import resource
import sys

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory held so far: of the process on a CPU, of the device on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere but on macOS


def return_unused_memory() -> None:
    """Give freed memory back to the system where the C library keeps it (glibc).

    Activations of ever new sizes leave holes that glibc holds on to. It costs about 0.1 s, hence only every few steps.
    """
    if sys.platform == "linux":
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if malloc_trim is not None:
            malloc_trim(0)


def cache_budget_bytes(device: torch.device) -> int:
    """How much the keys and values of answers under way may take."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else 512 * 2**20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is an allocation that failed; on a CPU torch says so only in the text of a RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )
