"""What is known of a service in one command, shared by all who ask it: a service that died is remembered.

It counts as dead once it refuses everybody (key, quota ...), after `MAX_FAILURES` requests in a row without an answer,
or when several in a row had none and the last good one is longer ago than one answer is waited for. Then the rest of
the round is not asked, and the next `MAX_PROBES` rounds begin with one prompt and little patience, to see if it is
back. After those it is left alone: hours of other work must not wait for it.
"""

import threading
import time
from dataclasses import dataclass, field, replace

from tunesmith.providers.http_client import FATAL_KINDS, RequestFailed, RetryPolicy

MAX_FAILURES = 10
MIN_FAILURES = 4
MAX_PROBES = 3
PROBE_SECONDS = 10.0


@dataclass
class ServiceHealth:
    """`notes` are sentences about what the service would not do; `failure_reason` is empty while it answers."""

    notes: list[str] = field(default_factory=list)
    failure_reason: str = ""
    failures: int = 0
    probes: int = 0
    last_answer: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add_note(self, sentence: str) -> None:
        """Each is told once."""
        with self.lock:
            if sentence not in self.notes:
                self.notes.append(sentence)

    def choose_retry_policy(self, default: RetryPolicy) -> RetryPolicy | None:
        """How long the first prompt of a round is waited for; None when the service is not asked any more."""
        with self.lock:
            if not self.failure_reason:
                return default
            if self.probes >= MAX_PROBES:
                return None
            self.probes += 1
            return replace(default, max_attempts=1, request_seconds=min(default.request_seconds, PROBE_SECONDS))

    def record_success(self) -> None:
        """It is alive."""
        with self.lock:
            self.failure_reason, self.failures, self.probes, self.last_answer = "", 0, 0, time.monotonic()

    def record_failure(self, refused: RequestFailed, retry_policy: RetryPolicy, max_concurrency: int) -> None:
        """It gave no answer; perhaps it is dead by now."""
        with self.lock:
            self.failures += refused.kind == "gone"
            is_silent = time.monotonic() - self.last_answer > retry_policy.answer_seconds
            most = max(max_concurrency, MIN_FAILURES) if is_silent else MAX_FAILURES
            if refused.kind in FATAL_KINDS or self.failures >= most:
                self.failure_reason = self.failure_reason or refused.detail
