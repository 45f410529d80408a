"""A model behind an OpenAI-compatible URL as a `Completer`.

The first prompt of a round is asked alone. That of the first round may be one clear error: a refused key, an unknown
host or model. Whoever was reached once raises none any more: hours of other work must not end with a service, so
trouble is a completion with `error` then. No further prompt of a round is sent once the service refuses the key, or
after `MOST_FAILURES` prompts in a row without an answer; the next round begins with one prompt, to see if it is back.

Where the service does not say how many tokens it took, they are estimated: a request that looks free would win by it.

The key is read from the environment when it is needed; it stands in no attribute, message or log.
"""

import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tunesmith.errors import ProviderError
from tunesmith.providers.chat_completions import FATAL, Patience, Refused, Wire, endpoint_of
from tunesmith.providers.remote_form import form_refused, response_format, unwrapped
from tunesmith.records import AnswerForm, Completion, Message, Progress, Prompt, RemoteRecipe
from tunesmith.records.recipe import is_loopback

MOST_FAILURES = 10
CONNECT_SECONDS = 10.0
CHARACTERS_PER_TOKEN = 4
"""Of English text, by OpenAI's rule of thumb (https://help.openai.com/en/articles/4936856)."""
ESTIMATED = (
    f"The service does not say how many tokens a request took; they are estimated, one for {CHARACTERS_PER_TOKEN} "
    "characters, and so is what it costs."
)
CUT = "cut before it said anything: raise max_tokens"
SUBSTITUTES = {"max_tokens": "max_completion_tokens"}  # what newer models call it
DECLINED = ("unsupported", "not supported", "unrecognized", "unknown", "extra", "not permitted", "deprecated")
_TELLS = {
    "key": ("refused-key", "The service refuses the key.", "check what {variable} holds, and what it may do"),
    "not-found": ("not-found", "The service does not know this address or model.", "check url and model {model!r}"),
    "redirect": ("redirect", "The service sends elsewhere, which is not followed.", "give the address it sends to"),
    "quota": ("quota", "The account has no quota left.", "top it up, or leave this model out"),
    "host": ("unknown-host", "The service's host is not found.", "check the url and the network"),
    "certificate": ("bad-certificate", "The service's certificate is not trusted.", "check the url"),
    "gone": ("no-answer", "The service does not answer.", "try again later, or leave this model out"),
    "form": ("form-refused", "The service does not hold answers to this form.", "leave this contender out"),
}


@dataclass
class RemoteCompleter:
    """Asks greedily (temperature 0, one seed), `recipe.at_once` requests at the same time.

    `notes` are sentences about what the service would not do, to be told beside its answers; they are complete when
    everything was asked, and several completers may share them. Errors: `RecipeError` for a URL that is not asked.
    """

    recipe: RemoteRecipe
    form: AnswerForm | None = None
    patience: Patience = field(default=Patience(), repr=False)
    notes: list[str] = field(default_factory=list)
    is_reached: bool = field(default=False, init=False)
    failures: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._endpoint = endpoint_of(self.recipe.url)
        self._settings: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": self.recipe.max_tokens}

    def complete(self, prompts: Sequence[Prompt], progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in their order; tokens are those that the service counts.

        Errors: `ProviderError` when the first prompt ever shows that nothing can be asked.
        """
        if not prompts:
            return []
        began = time.perf_counter()
        completions: list[Completion | None] = [None] * len(prompts)
        key = self._key()
        with self._client(key) as client:
            asking = _Asking(self, Wire(client, self._endpoint, key, self.patience, threading.Event()))
            completions[0] = asking.first(prompts[0])
            _tell(progress, completions)
            with ThreadPoolExecutor(self.recipe.at_once) as pool:
                futures = {pool.submit(asking.answer, prompts[i]): i for i in range(1, len(prompts))}
                try:
                    for future in as_completed(futures):
                        completions[futures[future]] = future.result()
                        _tell(progress, completions)
                finally:
                    asking.wire.stop.set()  # after Ctrl-C nobody waits or is asked any more
                    _cancel(futures)
        done = [completion for completion in completions if completion is not None]
        return _with_shares(done, time.perf_counter() - began)

    def _key(self) -> str:
        """Empty where this machine's own service needs none. Errors: `ProviderError`."""
        key = os.environ.get(self.recipe.key_variable, "").strip()
        if not key and not is_loopback(urlsplit(self._endpoint).hostname or ""):
            raise ProviderError(
                "no-key", f"There is no key for {self.recipe.name}.", where="evaluation.remote",
                found=f"the environment variable {self.recipe.key_variable} is empty",
                do=f"export {self.recipe.key_variable}=..., or name another with key_variable",
            )  # fmt: skip
        if not (key.isascii() and key.isprintable()):
            raise ProviderError(
                "bad-key", "The key cannot be sent.", where="evaluation.remote",
                found=f"{self.recipe.key_variable} holds characters that no key has", do="copy the key again",
            )  # fmt: skip
        return key

    def _client(self, key: str) -> httpx2.Client:
        return httpx2.Client(
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",  # what is read is bounded in bytes
                **({"Authorization": f"Bearer {key}"} if key else {}),
            },
            timeout=httpx2.Timeout(self.patience.request_seconds, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=self.recipe.at_once),
            follow_redirects=False,
            trust_env=not is_loopback(urlsplit(self._endpoint).hostname or ""),
        )

    def note(self, sentence: str) -> None:
        """Each is told once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


@dataclass
class _Asking:
    """One round of questions: the wire, and whether asking on makes sense."""

    completer: RemoteCompleter
    wire: Wire
    why_stopped: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def first(self, prompt: Prompt) -> Completion:
        """The first answer; settings that the service declines are left out from then on.

        Errors: `ProviderError` as long as the service was never reached.
        """
        while True:
            try:
                completion = self._ask(prompt)
                self.completer.failures = 0
            except Refused as refused:
                if refused.kind == "request" and self._drop_declined(refused):
                    continue
                is_about_prompt = refused.kind == "request" and not form_refused(self.completer.form, refused)
                if is_about_prompt or self.completer.is_reached:
                    self._count(refused)
                    completion = _failed(refused.told)
                else:
                    raise self._provider_error("form" if refused.kind == "request" else refused.kind, refused) from None
            self.completer.is_reached = True
            return completion

    def answer(self, prompt: Prompt) -> Completion:
        """One answer, or why there is none; never an exception."""
        if self.why_stopped or self.wire.stop.is_set():
            return _failed(f"not asked, because of what happened before: {self.why_stopped}")
        began = time.perf_counter()
        try:
            completion = self._ask(prompt)
        except Refused as refused:
            self._count(refused)
            return replace(_failed(refused.told), seconds=time.perf_counter() - began)
        with self.lock:
            self.completer.failures = 0
        return completion

    def _ask(self, prompt: Prompt) -> Completion:
        began = time.perf_counter()
        payload = {
            "model": self.completer.recipe.model,
            "messages": [_as_request(message) for message in prompt],
            **self.completer._settings,
            **response_format(self.completer.form),
        }
        response = self.wire.post(payload)
        completion = _completion_of(response, self.completer.form, time.perf_counter() - began)
        if completion.error is not None or completion.tokens_in:
            return completion
        self.completer.note(ESTIMATED)
        asked = sum(len(message.content) for message in prompt)
        return replace(
            completion,
            tokens_in=_estimated(asked),
            tokens_out=completion.tokens_out or _estimated(len(completion.text)),
        )

    def _count(self, refused: Refused) -> None:
        with self.lock:
            self.completer.failures += refused.kind == "gone"
            if refused.kind in FATAL or self.completer.failures >= MOST_FAILURES:
                self.why_stopped = self.why_stopped or refused.told
                self.wire.stop.set()

    def _drop_declined(self, refused: Refused) -> bool:
        """Leave out, or rename, the setting that the service says it does not take; False when it names none."""
        settings = self.completer._settings
        message = str(refused.said.get("message", "")).lower()
        named = [name for name in settings if name == refused.said.get("param")]
        named = named or [name for name in settings if name in message]
        if not named or not any(word in message for word in DECLINED):
            return False
        value = settings.pop(named[0])
        if named[0] in SUBSTITUTES:
            settings[SUBSTITUTES[named[0]]] = value
        else:
            self.completer.note(f"The service takes no {named[0]}, so its answers may differ when asked again.")
        return True

    def _provider_error(self, kind: str, refused: Refused) -> ProviderError:
        recipe = self.completer.recipe
        slug, what, do = _TELLS[kind]
        do = do.format(variable=recipe.key_variable, model=recipe.model)
        return ProviderError(slug, what, where=f"{recipe.name}, {self.wire.url}", found=refused.told, do=do)


def _as_request(message: Message) -> dict[str, Any]:
    """As services take it: arguments as JSON text, and no reasoning of earlier turns, which they refuse to be sent."""
    parts = message.as_dict(arguments_as_text=True)
    return {name: part for name, part in parts.items() if name != "reasoning_content"}


def _completion_of(response: Mapping[str, Any], form: AnswerForm | None, seconds: float) -> Completion:
    """What the service answered, whatever it left out."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    usage = response.get("usage")
    tokens_in, tokens_out = (_count_of(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    reason = choice.get("finish_reason")
    if reason == "length" and not (isinstance(text, str) and text.strip()):
        return Completion("", tokens_in, tokens_out, seconds, finished=False, error=CUT)
    if not isinstance(text, str):
        told = f"no text in the answer (finish_reason {str(reason)[:40]!r})"
        return Completion("", tokens_in, tokens_out, seconds, finished=False, error=told)
    told = unwrapped(text.strip(), form)
    return Completion(told, tokens_in, tokens_out, seconds, finished=reason != "length")


def _count_of(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _estimated(characters: int) -> int:
    return math.ceil(characters / CHARACTERS_PER_TOKEN)


def _failed(why: str) -> Completion:
    return Completion("", 0, 0, 0.0, finished=False, error=why)


def _tell(progress: Progress | None, completions: Sequence[Completion | None]) -> None:
    if progress is not None:
        progress(sum(completion is not None for completion in completions), len(completions))


def _cancel(futures: Mapping[Future[Completion], int]) -> None:
    for future in futures:
        future.cancel()


def _with_shares(completions: Sequence[Completion], wall_seconds: float) -> list[Completion]:
    """Each one's share of the wall time: requests overlap."""
    total = sum(completion.seconds for completion in completions)
    share = min(1.0, wall_seconds / total) if total else 1.0
    return [replace(completion, seconds=completion.seconds * share) for completion in completions]
