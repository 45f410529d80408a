"""Work on several things at the same time, on daemon threads, watched by one who may leave at any moment.

`concurrent.futures` waits for its threads when it is left, and again when the program ends; here nobody waits.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
TICK_SECONDS = 0.25


def run_concurrently(
    work: Callable[[Item], Result], items: Sequence[Item], max_concurrency: int
) -> Iterator[tuple[int, Result] | None]:
    """(number, result) of each item as it is ready, and None now and then while none is.

    When the caller leaves, no further item is begun. Errors: whatever `work` raises, in the caller's thread.
    """
    numbers = iter(range(len(items)))
    lock, is_left = threading.Lock(), threading.Event()
    ready: SimpleQueue[tuple[int, Future[Result]]] = SimpleQueue()

    def run_worker() -> None:
        while not is_left.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            done: Future[Result] = Future()
            try:
                done.set_result(work(items[number]))
            except Exception as error:  # handed on to the caller
                done.set_exception(error)
            ready.put((number, done))

    for _ in range(min(max_concurrency, len(items))):
        threading.Thread(target=run_worker, name="side by side", daemon=True).start()
    waiting = len(items)
    try:
        while waiting:
            try:
                number, done = ready.get(timeout=TICK_SECONDS)
            except Empty:
                yield None
                continue
            waiting -= 1
            yield number, done.result()
    finally:
        is_left.set()
