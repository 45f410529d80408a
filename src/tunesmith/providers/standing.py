"""What is known of a service in one command, shared by all who ask it: a service that died is remembered.

It counts as dead once it refuses everybody (key, quota ...), after `MOST_FAILURES` requests in a row without an answer,
or when several in a row had none and the last good one is longer ago than one answer is waited for. Then the rest of
the round is not asked, and the next `MOST_PROBES` rounds begin with one prompt and little patience, to see if it is
back. After those it is left alone: hours of other work must not wait for it.
"""

import threading
import time
from dataclasses import dataclass, field, replace

from tunesmith.providers.chat_completions import FATAL, Patience, Refused

MOST_FAILURES = 10
LEAST_FAILURES = 4
MOST_PROBES = 3
PROBE_SECONDS = 10.0


@dataclass
class Standing:
    """`notes` are sentences about what the service would not do; `why_dead` is empty while it answers."""

    notes: list[str] = field(default_factory=list)
    why_dead: str = ""
    failures: int = 0
    probes: int = 0
    last_answer: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, sentence: str) -> None:
        """Each is told once."""
        with self.lock:
            if sentence not in self.notes:
                self.notes.append(sentence)

    def patience(self, usual: Patience) -> Patience | None:
        """How long the first prompt of a round is waited for; None when the service is not asked any more."""
        with self.lock:
            if not self.why_dead:
                return usual
            if self.probes >= MOST_PROBES:
                return None
            self.probes += 1
            return replace(usual, attempts=1, request_seconds=min(usual.request_seconds, PROBE_SECONDS))

    def answered(self) -> None:
        """It is alive."""
        with self.lock:
            self.why_dead, self.failures, self.probes, self.last_answer = "", 0, 0, time.monotonic()

    def refused(self, refused: Refused, patience: Patience, at_once: int) -> None:
        """It gave no answer; perhaps it is dead by now."""
        with self.lock:
            self.failures += refused.kind == "gone"
            is_silent = time.monotonic() - self.last_answer > patience.answer_seconds
            most = max(at_once, LEAST_FAILURES) if is_silent else MOST_FAILURES
            if refused.kind in FATAL or self.failures >= most:
                self.why_dead = self.why_dead or refused.told
