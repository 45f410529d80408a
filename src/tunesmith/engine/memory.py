"""Memory that is free, in use, or needed by one piece of work; and how to release it.

The memory that a process may still use is the minimum of: what the machine has available, what each
control group around it leaves (cgroup v1 and v2; file cache that the kernel would drop counts as
free), and its address space limit (`ulimit -v`). Source: kernel.org,
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

import ctypes
import os
import resource
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

CPU_OVERHEAD = 1.4
"""Resident bytes per byte of tensors: measured 1.33 with glibc, whose freed blocks leave holes
(docs/decisions/080).
"""
CUDA_OVERHEAD = 1.1
"""Factor on the CUDA allocator's own peak."""
MAX_CACHED_KERNELS = 64


def get_peak_memory_bytes(device: torch.device) -> int:
    """Peak memory so far, in bytes: of the process on a CPU, of the device's allocator on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS reports bytes, other systems kilobytes.
    return peak if sys.platform == "darwin" else peak * 1024


def get_used_memory_bytes(device: torch.device) -> int:
    """Memory in use now, in bytes: by the process on a CPU, by our tensors on CUDA."""
    return (
        torch.cuda.memory_allocated(device)
        if device.type == "cuda"
        else psutil.Process().memory_info().rss
    )


def get_free_memory_bytes(device: torch.device, root: Path = Path("/")) -> int:
    """Bytes that may still be used. `root`: the folder that contains /proc and /sys, for tests."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return max(
        0,
        min(
            [psutil.virtual_memory().available, *_list_cgroup_limits(root), *_list_address_limits()]
        ),
    )


def _list_cgroup_limits(root: Path) -> Iterator[int]:
    """Bytes that each control group around this process leaves."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        # Lines are `number:controllers:path`. In v2 the controllers are empty; in v1 only "memory"
        # is of interest.
        is_v1 = "memory" in controllers.split(",")
        if not is_v1 and controllers:
            continue
        top = root / "sys/fs/cgroup" / ("memory" if is_v1 else "")
        limit, usage, cache = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if is_v1
            else ("memory.max", "memory.current", "inactive_file")
        )
        group = top / inside.strip("/")
        # A limit of any ancestor applies to this process too.
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                yield from _list_cgroup_free(folder, limit, usage, cache)


def _list_cgroup_free(folder: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    try:
        allowed = (folder / limit).read_text().strip()
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    # No such controller, or a group that is not visible inside a container.
    except (OSError, ValueError):
        return
    if allowed != "max":
        yield int(allowed) - used + int(stat.get(cache, 0))


def _list_address_limits() -> Iterator[int]:
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        yield most - psutil.Process().memory_info().vms


def limit_kernel_cache() -> None:
    """Limit the number of products that oneDNN keeps compiled, before it compiles the first one.

    By default it caches 1,024 shapes. Forests have new shapes at every step, so the cache would
    grow by 0.3 GB (docs/lab/2026-11-24-engine.md). oneDNN reads the variable once.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(MAX_CACHED_KERNELS))


def release_unused_memory() -> None:
    """Return freed memory to the operating system, where the C library holds on to it (glibc).

    Activations of varying sizes leave holes in glibc's heap. A call takes about 0.1 s, so it is not
    made in every step.
    """
    if sys.platform == "linux":
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if malloc_trim is not None:
            malloc_trim(0)


def compute_cache_budget_bytes(device: torch.device) -> int:
    """Bytes that the keys and values of answers in progress may use."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else 512 * 2**20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is a failed allocation; on a CPU only a RuntimeError's text shows it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


@contextmanager
def track_peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Provide a function that returns the block's peak bytes beyond those at its start.

    On a CPU tensors are counted, not resident pages: the same work gives the same number, every
    time.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: int(CUDA_OVERHEAD * (torch.cuda.max_memory_allocated(device) - before))
        return
    with _StorageCounter() as counter:
        yield lambda: int(CPU_OVERHEAD * counter.peak_bytes)


class _StorageCounter(TorchDispatchMode):
    """Counts the storages that operations create, and subtracts those that are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live_storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self.used_bytes = self.peak_bytes = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        known: set[int] | None = None
        for tensor in _list_tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.live_storages:
                known = (
                    {given.untyped_storage()._cdata for given in _list_tensors(args)}
                    if known is None
                    else known
                )
                # A view shares the storage of an argument that is older than this block, which does
                # not count.
                if storage._cdata not in known:
                    self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()

        # Called when the last tensor of the storage is gone, which makes the count follow real
        # lifetimes.
        def forget(_: object) -> None:
            del self.live_storages[key]
            self.used_bytes -= size

        self.live_storages[key] = weakref.ref(storage, forget)
        self.used_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)


def _list_tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_iter(tree) if isinstance(leaf, torch.Tensor))
