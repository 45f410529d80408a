"""How fast this machine multiplies matrices with torch: `python -m benchmarks.matmul DTYPE` prints
one JSON object.

"square": 2048 x 2048 by 2048 x 2048 (8192 on CUDA); "best": the fastest of some shapes, which may
be a little faster.
"""

import json
import sys
import time

import torch

SHAPES = (
    (1024, 576, 1536),
    (2048, 576, 1536),
    (2048, 1536, 576),
    (1024, 1024, 1024),
    (4096, 2048, 2048),
)
LEAST_SECONDS = 1.0


def main() -> None:
    on_cuda, dtype = torch.cuda.is_available(), getattr(torch, sys.argv[1])
    side = 8192 if on_cuda else 2048
    square = rate(side, side, side, dtype)
    rates = {
        f"{side} cubed": square,
        **{"x".join(map(str, shape)): rate(*shape, dtype) for shape in SHAPES},
    }
    best = max(rates, key=lambda name: rates[name])
    found = {
        "square": square,
        "best": max(square, rates[best]),
        "best_shape": best if rates[best] > square else f"{side} cubed",
    }
    print(json.dumps(found))


def rate(m: int, k: int, n: int, dtype: torch.dtype) -> float:
    """Floating-point operations per second of (m, k) by (n, k) transposed, after one warm-up call.

    The weight is stored as a linear layer stores it.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, weight = (torch.randn(rows, k, dtype=dtype, device=device) for rows in (m, n))
    torch.nn.functional.linear(x, weight)
    if device == "cuda":
        torch.cuda.synchronize()
    began, times = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < LEAST_SECONDS or not times:
        torch.nn.functional.linear(x, weight)
        if device == "cuda":
            torch.cuda.synchronize()
        times += 1
    return 2 * m * k * n * times / elapsed


if __name__ == "__main__":
    main()
