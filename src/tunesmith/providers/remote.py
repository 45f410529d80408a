"""A model behind an OpenAI-compatible URL as a `Completer`.

The first prompt of a round is asked alone. That of the first round may be one clear error: a refused key, an unknown
host or model. Whoever was reached once raises none any more: hours of other work must not end with a service, so
trouble is a completion with `error` then. A service that died is remembered from round to round (`standing.py`).

Every wait has an end that does not depend on bytes arriving (`line.py`), and whoever leaves waits for nothing.

The key is read from the environment when it is needed (`keys.py`); it stands in no attribute, message or log.
"""

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import httpx2

from tunesmith.errors import ProviderError
from tunesmith.providers.chat_completions import Patience, Refused, Wire, endpoint_of
from tunesmith.providers.keys import Redactor, host_of, key_of
from tunesmith.providers.line import Line
from tunesmith.providers.remote_form import form_refused, response_format
from tunesmith.providers.reply import ANOTHER_MODEL, completion_of, other_model
from tunesmith.providers.side_by_side import side_by_side
from tunesmith.providers.standing import Standing
from tunesmith.records import AnswerForm, Completion, Message, Progress, Prompt, RemoteRecipe
from tunesmith.records.recipe import is_loopback

CONNECT_SECONDS = 10.0
LOST = (
    "Requests whose answer did not arrive in time, or could not be read, were sent again; what the service charges for "
    "those is not known and not counted."
)
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

    `standing` is what is known of the service; several completers may share it. Its notes are to be told beside the
    answers and are complete when everything was asked. Errors: `RecipeError` for a URL that is not asked.
    """

    recipe: RemoteRecipe
    form: AnswerForm | None = None
    patience: Patience = field(default=Patience(), repr=False)
    standing: Standing = field(default_factory=Standing)
    is_reached: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._endpoint = endpoint_of(self.recipe.url)
        self._settings: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": self.recipe.max_tokens}
        self._lines = _Lines(0)

    @property
    def notes(self) -> list[str]:
        """Those of the service."""
        return self.standing.notes

    def complete(self, prompts: Sequence[Prompt], progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in their order; tokens are those that the service counts.

        `progress` is also called now and then while nothing arrives. Errors: `ProviderError` when the first prompt ever
        shows that nothing can be asked; `RecipeError` for a variable that is not sent as a key.
        """
        if not prompts:
            return []
        began, key = time.perf_counter(), key_of(self.recipe)
        patience = self.standing.patience(self.patience)
        if patience is None:
            if progress is not None:
                progress(len(prompts), len(prompts))
            return [_not_asked(self.standing)] * len(prompts)
        completions: list[Completion | None] = [None] * len(prompts)
        asking = _Asking(self, self._wire(Redactor(key)), self._lines_with(key), patience)
        ready = 0
        try:
            for begin, work, part in ((0, asking.first, prompts[:1]), (1, asking.answer, prompts[1:])):
                for one in side_by_side(work, part, self.recipe.at_once):
                    if one is not None:
                        completions[begin + one[0]] = one[1]
                        ready += 1
                    if progress is not None:
                        progress(ready, len(prompts))
        finally:
            asking.wire.stop.set()  # after Ctrl-C nobody waits or is asked any more
        done = [completion for completion in completions if completion is not None]
        return _with_shares(done, time.perf_counter() - began)

    def _wire(self, redact: Redactor) -> Wire:
        return Wire(self._endpoint, redact, self.patience, threading.Event(), lambda: self.standing.note(LOST))

    def _lines_with(self, key: str) -> "_Lines":
        """Connections stay open from round to round, as long as the key is the same."""
        if self._lines.key_hash != hash(key):
            self._lines = _Lines(hash(key))
        self._lines.open_client = lambda: self._client(key)
        return self._lines

    def _client(self, key: str) -> httpx2.Client:
        return httpx2.Client(
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",  # what is read is bounded in bytes
                **({"Authorization": f"Bearer {key}"} if key else {}),
            },
            verify=self._tls,
            timeout=httpx2.Timeout(self.patience.request_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=not is_loopback(host_of(self._endpoint)),
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx2.create_ssl_context()


@dataclass
class _Lines:
    """Idle connections; one is taken for each request and put back."""

    key_hash: int
    open_client: Callable[[], httpx2.Client] = field(default=httpx2.Client, repr=False)
    idle: list[Line] = field(default_factory=list, repr=False)

    def take(self) -> Line:
        try:
            return self.idle.pop()
        except IndexError:
            return Line(self.open_client)


@dataclass
class _Asking:
    """One round of questions: the wire, and how long the first one is waited for."""

    completer: RemoteCompleter
    wire: Wire
    lines: _Lines
    patience: Patience

    def first(self, prompt: Prompt) -> Completion:
        """The first answer; settings that the service declines are left out from then on.

        Errors: `ProviderError` as long as the service was never reached.
        """
        while True:
            try:
                completion = self._ask(prompt, replace(self.wire, patience=self.patience))
                self.completer.standing.answered()
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
        if self.completer.standing.why_dead or self.wire.stop.is_set():
            return _not_asked(self.completer.standing)
        began = time.perf_counter()
        try:
            completion = self._ask(prompt, self.wire)
        except Refused as refused:
            self._count(refused)
            return replace(_failed(refused.told), seconds=time.perf_counter() - began)
        self.completer.standing.answered()
        return completion

    def _ask(self, prompt: Prompt, wire: Wire) -> Completion:
        began = time.perf_counter()
        completer = self.completer
        payload = {
            "model": completer.recipe.model,
            "messages": [_as_request(message) for message in prompt],
            **completer._settings,
            **response_format(completer.form),
        }
        line = self.lines.take()
        try:
            response = wire.post(payload, line)
        finally:
            self.lines.idle.append(line)
        asked = sum(len(" ".join(message.content.split())) for message in prompt)
        self._tell_model(other_model(response, completer.recipe.model))
        completion = completion_of(response, completer.form, asked, self.wire.redact, completer.standing.note)
        return replace(completion, seconds=time.perf_counter() - began)

    def _tell_model(self, said: str | None) -> None:
        """Note once that another model answered."""
        standing = self.completer.standing
        if said is not None and not any(note.startswith(ANOTHER_MODEL) for note in standing.notes):
            standing.note(f"{ANOTHER_MODEL}{self.wire.redact(said)!r} for {self.completer.recipe.model!r}.")

    def _count(self, refused: Refused) -> None:
        completer = self.completer
        completer.standing.refused(refused, completer.patience, completer.recipe.at_once)
        if completer.standing.why_dead:
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
            self.completer.standing.note(
                f"The service takes no {named[0]}, so its answers may differ when asked again."
            )
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


def _not_asked(standing: Standing) -> Completion:
    return _failed(f"not asked, because of what happened before: {standing.why_dead}")


def _failed(why: str) -> Completion:
    return Completion("", 0, 0, 0.0, finished=False, error=why)


def _with_shares(completions: Sequence[Completion], wall_seconds: float) -> list[Completion]:
    """Each one's share of the wall time: requests overlap."""
    total = sum(completion.seconds for completion in completions)
    share = min(1.0, wall_seconds / total) if total else 1.0
    return [replace(completion, seconds=completion.seconds * share) for completion in completions]
