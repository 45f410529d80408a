"""Concurrent calls on daemon threads, whose consumer may stop at any moment.

`concurrent.futures` joins its threads when its block ends and again at interpreter exit, so a
hanging request would delay both; daemon threads are not joined.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
TICK_SECONDS = 0.25
"""Longest time between two yields, so that the consumer can report progress and handle Ctrl-C."""


def run_concurrently(
    work: Callable[[Item], Result], items: Sequence[Item], max_concurrency: int
) -> Iterator[tuple[int, Result] | None]:
    """(index, result) of each item as it completes, and None every `TICK_SECONDS` while none does.

    When the consumer stops iterating, no further item starts. Errors: those that `work` raises,
    re-raised in the consumer's thread.
    """
    numbers = iter(range(len(items)))
    lock, is_left = threading.Lock(), threading.Event()
    ready: SimpleQueue[tuple[int, Future[Result]]] = SimpleQueue()

    def run_worker() -> None:
        while not is_left.is_set():
            with lock:
                # Threads share the iterator; the lock does not rely on `next` being atomic.
                number = next(numbers, None)
            if number is None:
                return
            done: Future[Result] = Future()
            try:
                done.set_result(work(items[number]))
            except Exception as error:  # re-raised in the consumer's thread
                done.set_exception(error)
            ready.put((number, done))

    for _ in range(min(max_concurrency, len(items))):
        threading.Thread(target=run_worker, name="concurrently", daemon=True).start()
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
        # Runs also when the generator is closed early; calls in progress end by themselves.
        is_left.set()
