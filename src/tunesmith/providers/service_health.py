"""The known state of a service within one command, shared by all completers that call it.

A service counts as dead when it rejects all requests (key, quota ...), after `MAX_FAILURES`
consecutive requests without an answer, or after fewer (`MIN_FAILURES`, or the number of concurrent
requests) if the last good answer is older than the time limit for one answer. Then the rest of the
round is skipped, and the next `MAX_PROBES` rounds begin with a single prompt and a short timeout to
see whether it has recovered. After those it is not called again: hours of other work must not wait
for it.
"""

import threading
import time
from dataclasses import dataclass, field, replace

from tunesmith.providers.http_client import FATAL_KINDS, RequestFailed, RetryPolicy

MAX_FAILURES = 10
"""Consecutive failures after which a service counts as dead."""
MIN_FAILURES = 4
"""The same limit if the last good answer is longer ago than `RetryPolicy.answer_seconds`."""
MAX_PROBES = 3
"""Rounds that probe a dead service before it is given up."""
PROBE_SECONDS = 10.0


@dataclass
class ServiceHealth:
    """State of one service. `notes` are sentences about what the service did not do as requested;
    `failure_reason` is empty while it answers; `failures` counts consecutive failures;
    `last_answer` is a `time.monotonic` value in seconds."""

    notes: list[str] = field(default_factory=list)
    failure_reason: str = ""
    failures: int = 0
    probes: int = 0
    last_answer: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add_note(self, sentence: str) -> None:
        """Add a sentence to `notes`, unless it is there already."""
        with self.lock:
            if sentence not in self.notes:
                self.notes.append(sentence)

    def choose_retry_policy(self, default: RetryPolicy) -> RetryPolicy | None:
        """The retry policy for the first prompt of a round; None if the service is given up."""
        with self.lock:
            if not self.failure_reason:
                return default
            if self.probes >= MAX_PROBES:
                return None
            self.probes += 1
            return replace(
                default, max_attempts=1, request_seconds=min(default.request_seconds, PROBE_SECONDS)
            )

    def record_success(self) -> None:
        """Record an answer: the service is alive."""
        with self.lock:
            self.failure_reason, self.failures, self.probes, self.last_answer = (
                "",
                0,
                0,
                time.monotonic(),
            )

    def record_failure(
        self, refused: RequestFailed, retry_policy: RetryPolicy, max_concurrency: int
    ) -> None:
        """Record a request without an answer; the service may count as dead from now on."""
        with self.lock:
            # Only "gone" counts: a request rejected for its content proves that the service lives.
            self.failures += refused.kind == "gone"
            is_silent = time.monotonic() - self.last_answer > retry_policy.answer_seconds
            # Concurrent requests fail together, so one outage must not count as many.
            most = max(max_concurrency, MIN_FAILURES) if is_silent else MAX_FAILURES
            if refused.kind in FATAL_KINDS or self.failures >= most:
                self.failure_reason = self.failure_reason or refused.detail
