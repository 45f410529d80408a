"""How much memory a training may take at once, and how much it took."""

import resource
import sys

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory held so far: of the process on a CPU, of the device on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere but on macOS


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is an allocation that failed; on a CPU torch says so only in the text of a RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )
