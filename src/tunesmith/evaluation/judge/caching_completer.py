"""A completer that counts its usage and sends each distinct prompt only once.

A judge costs money, too; and the same answer must not get two grades because two contenders gave
it.
"""

import time
from collections.abc import Sequence

from tunesmith.records import Completer, Completion, ProgressCallback, Prompt, Usage


class CachingCompleter:
    """Completes like the inner completer; `usage` grows with every request that is not cached."""

    def __init__(self, inner: Completer) -> None:
        self._inner = inner
        self._cache: dict[Prompt, Completion] = {}
        self.usage = Usage(requests=0, tokens_in=0, tokens_out=0, seconds=0.0)

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, in the order of the prompts. Failures are not cached, so they
        are requested again the next time."""
        new = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self._cache))
        began = time.perf_counter()
        completions = self._inner.complete(new, progress) if new else []
        now = Usage(
            requests=len(new),
            tokens_in=sum(one.tokens_in for one in completions),
            tokens_out=sum(one.tokens_out for one in completions),
            seconds=time.perf_counter() - began,
        )
        self.usage = sum_usage([self.usage, now])
        known = {**self._cache, **dict(zip(new, completions, strict=True))}
        self._cache = {
            prompt: completion for prompt, completion in known.items() if completion.error is None
        }
        return [known[prompt] for prompt in prompts]


def subtract_usage(usage: Usage, earlier: Usage) -> Usage:
    """The usage since `earlier`."""
    return Usage(
        requests=usage.requests - earlier.requests,
        tokens_in=usage.tokens_in - earlier.tokens_in,
        tokens_out=usage.tokens_out - earlier.tokens_out,
        seconds=usage.seconds - earlier.seconds,
    )


def sum_usage(usages: Sequence[Usage]) -> Usage:
    """The total usage."""
    return Usage(
        requests=sum(one.requests for one in usages),
        tokens_in=sum(one.tokens_in for one in usages),
        tokens_out=sum(one.tokens_out for one in usages),
        seconds=sum(one.seconds for one in usages),
    )
