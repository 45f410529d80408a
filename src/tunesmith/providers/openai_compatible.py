"""A model behind an OpenAI-compatible URL as a `Completer`.

The first prompt of a round is sent alone. In the first round its failure may raise one clear error:
a refused key, an unknown host or model. Once the service has been reached, nothing raises any more:
hours of other work must not be lost with a service, so a failure becomes a completion with `error`.
A service that stopped responding is remembered across rounds (`service_health.py`).

Every wait has a limit that does not depend on bytes arriving (`http_connection.py`), and a caller
that stops is never blocked.

The key is read from the environment when it is needed (`api_keys.py`); it is stored in no
attribute, message or log.
"""

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import httpx2

from tunesmith.errors import ProviderError, ResponseFormatRefused
from tunesmith.providers.api_keys import Redactor, describe_key_use, get_host, read_api_key
from tunesmith.providers.concurrent_calls import run_concurrently
from tunesmith.providers.http_client import (
    HttpSession,
    RequestFailed,
    RetryPolicy,
    build_endpoint_url,
)
from tunesmith.providers.http_connection import HttpConnection
from tunesmith.providers.reply_parsing import OTHER_MODEL_NOTE, find_other_model, parse_completion
from tunesmith.providers.service_health import ServiceHealth
from tunesmith.providers.structured_output import build_response_format, is_format_rejected
from tunesmith.records import (
    Completion,
    Message,
    OutputConstraint,
    ProgressCallback,
    Prompt,
    RemoteRecipe,
    Sampling,
    get_offered_tools,
)
from tunesmith.records.recipe import is_loopback

CONNECT_SECONDS = 10.0
GREEDY = Sampling()
LOST_NOTE = (
    "Requests whose response timed out or was unreadable were sent again; what the "
    "service charges for the failed attempts is unknown and not counted."
)
# Newer OpenAI models reject `max_tokens` and name this parameter instead.
RENAMED_SETTINGS = {"max_tokens": "max_completion_tokens"}
DECLINED_WORDS = (
    "unsupported",
    "not supported",
    "unrecognized",
    "unknown",
    "extra",
    "not permitted",
    "deprecated",
)
_ERROR_TEXTS = {
    "key": (
        "refused-key",
        "authentication failed",
        "check the value of {variable} and its permissions",
    ),
    "not-found": (
        "not-found",
        "URL or model not found",
        "check url and model {model!r}",
    ),
    "redirect": (
        "redirect",
        "redirects are not followed",
        "use the URL that it redirects to",
    ),
    "quota": ("quota", "quota exhausted", "add credit to the account; or remove this model"),
    "host": ("unknown-host", "host not found", "check the URL and the network"),
    "certificate": (
        "bad-certificate",
        "TLS certificate is not trusted",
        "check the URL",
    ),
    "gone": (
        "no-answer",
        "no response from the service",
        "try again later; or remove this model",
    ),
    "form": (
        "form-refused",
        "structured output is not supported by this endpoint",
        "remove this contender",
    ),
}


@dataclass
class RemoteCompleter:
    """Sends requests, up to `recipe.max_concurrency` concurrently; greedy (temperature 0, one seed)
    unless there is `sampling`.

    `health` is the known state of the service; completers of one service may share it. Its notes
    belong next to the answers and are complete once all prompts were answered.

    Errors: `RecipeError` for a URL that is not accepted.
    """

    recipe: RemoteRecipe
    output_constraint: OutputConstraint | None = None
    retry_policy: RetryPolicy = field(default=RetryPolicy(), repr=False)
    health: ServiceHealth = field(default_factory=ServiceHealth)
    sampling: Sampling = GREEDY
    is_reached: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._endpoint = build_endpoint_url(self.recipe.base_url)
        self._settings: dict[str, Any] = {
            # an integer where it is one: some services print the request back
            "temperature": self.sampling.temperature or 0,
            "seed": self.sampling.seed,
            "max_tokens": self.recipe.max_tokens,
        }
        if self.sampling.top_p < 1:
            self._settings["top_p"] = self.sampling.top_p
        self._connections = _ConnectionPool(0)

    def constrain(self, form: OutputConstraint) -> "RemoteCompleter":
        """The same model with its answers held to a form: what one learns of the service's health
        holds for the other."""
        return RemoteCompleter(self.recipe, form, self.retry_policy, self.health)

    def describe_key_use(self) -> str | None:
        """Which key will be sent where; None if no key is sent. Errors: as `read_api_key`."""
        return describe_key_use(self.recipe)

    @property
    def notes(self) -> list[str]:
        """Sentences about what the service did not do as requested."""
        return self.health.notes

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, in order; token counts are those that the service reports.

        `progress` is also called periodically while nothing arrives.

        Errors: `ProviderError` if the first prompt ever sent shows that no request can succeed;
        `RecipeError` for a variable that may not be sent as a key.
        """
        if not prompts:
            return []
        began, key = time.perf_counter(), read_api_key(self.recipe)
        patience = self.health.choose_retry_policy(self.retry_policy)
        if patience is None:
            if progress is not None:
                progress(len(prompts), len(prompts))
            return [_make_skipped_completion(self.health)] * len(prompts)
        completions: list[Completion | None] = [None] * len(prompts)
        asking = _RequestRound(
            self, self._create_session(Redactor(key)), self._get_connections(key), patience
        )
        ready = 0
        try:
            # The first request alone: it finds the settings that the service accepts, and a dead
            # service fails one request instead of `max_concurrency` of them.
            for begin, work, part in (
                (0, asking.request_first, prompts[:1]),
                (1, asking.request_answer, prompts[1:]),
            ):
                for one in run_concurrently(work, part, self.recipe.max_concurrency):
                    if one is not None:
                        completions[begin + one[0]] = one[1]
                        ready += 1
                    if progress is not None:
                        progress(ready, len(prompts))
        finally:
            asking.session.stop.set()  # after Ctrl-C, pending requests end and no new one starts
        done = [completion for completion in completions if completion is not None]
        return _scale_to_wall_time(done, time.perf_counter() - began)

    def _create_session(self, redact: Redactor) -> HttpSession:
        return HttpSession(
            self._endpoint,
            redact,
            self.retry_policy,
            threading.Event(),
            lambda: self.health.add_note(LOST_NOTE),
        )

    def _get_connections(self, key: str) -> "_ConnectionPool":
        """Connections stay open across rounds as long as the key is the same."""
        # The hash, because the key itself must not stay in an attribute.
        if self._connections.key_hash != hash(key):
            self._connections = _ConnectionPool(hash(key))
        self._connections.open_client = lambda: self._create_client(key)
        return self._connections

    def _create_client(self, key: str) -> httpx2.Client:
        return httpx2.Client(
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",  # the size limit counts bytes as received
                **({"Authorization": f"Bearer {key}"} if key else {}),
            },
            verify=self._tls,
            timeout=httpx2.Timeout(self.retry_policy.request_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
            # A proxy from the environment cannot reach a service on this machine.
            trust_env=not is_loopback(get_host(self._endpoint)),
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Loading the CA bundle is slow, so all connections share one context.
        return httpx2.create_ssl_context()


@dataclass
class _ConnectionPool:
    """Idle connections; each request takes one and returns it."""

    key_hash: int
    open_client: Callable[[], httpx2.Client] = field(default=httpx2.Client, repr=False)
    idle: list[HttpConnection] = field(default_factory=list, repr=False)

    def acquire(self) -> HttpConnection:
        try:
            # `pop` inside `try`, not `if self.idle`: another thread may take the last one.
            return self.idle.pop()
        except IndexError:
            return HttpConnection(self.open_client)


@dataclass
class _RequestRound:
    """One call of `complete`: its session, its connections, and the retry policy of its first
    request."""

    completer: RemoteCompleter
    session: HttpSession
    connections: _ConnectionPool
    retry_policy: RetryPolicy

    def request_first(self, prompt: Prompt) -> Completion:
        """The first answer. Settings that the service rejects are omitted from then on.

        Errors: `ProviderError` as long as the service was never reached.
        """
        # Repeats once for each rejected setting; it ends because every pass removes or renames one.
        while True:
            try:
                completion = self._send(
                    prompt, replace(self.session, retry_policy=self.retry_policy)
                )
                self.completer.health.record_success()
            except RequestFailed as refused:
                if refused.kind == "request" and self._drop_declined(refused):
                    continue
                is_about_prompt = refused.kind == "request" and not is_format_rejected(
                    self.completer.output_constraint, refused
                )
                if is_about_prompt or self.completer.is_reached:
                    self._record_failure(refused)
                    completion = _make_failed_completion(refused.detail)
                else:
                    raise self._make_provider_error(
                        "form" if refused.kind == "request" else refused.kind, refused
                    ) from None
            self.completer.is_reached = True
            return completion

    def request_answer(self, prompt: Prompt) -> Completion:
        """One answer, or a completion with `error`; never raises `RequestFailed`."""
        if self.completer.health.failure_reason or self.session.stop.is_set():
            return _make_skipped_completion(self.completer.health)
        began = time.perf_counter()
        try:
            completion = self._send(prompt, self.session)
        except RequestFailed as refused:
            self._record_failure(refused)
            return replace(
                _make_failed_completion(refused.detail), seconds=time.perf_counter() - began
            )
        self.completer.health.record_success()
        return completion

    def _send(self, prompt: Prompt, wire: HttpSession) -> Completion:
        began = time.perf_counter()
        completer = self.completer
        tools = get_offered_tools(prompt)
        payload = {
            "model": completer.recipe.model,
            "messages": [_to_request_message(message) for message in prompt],
            **({"tools": list(tools)} if tools else {}),
            **completer._settings,
            **build_response_format(completer.output_constraint),
        }
        line = self.connections.acquire()
        try:
            response = wire.post(payload, line)
        finally:
            # Also after a failure: an abandoned connection opens a new thread when it is next used.
            self.connections.idle.append(line)
        asked = sum(len(" ".join(message.content.split())) for message in prompt)
        self._note_other_model(find_other_model(response, completer.recipe.model))
        completion = parse_completion(
            response,
            completer.output_constraint,
            asked,
            self.session.redact,
            completer.health.add_note,
        )
        return replace(completion, seconds=time.perf_counter() - began)

    def _note_other_model(self, said: str | None) -> None:
        """Add one note, only once, that the reply names another model."""
        standing = self.completer.health
        if said is not None and not any(
            note.startswith(OTHER_MODEL_NOTE) for note in standing.notes
        ):
            standing.add_note(
                f"{OTHER_MODEL_NOTE}{self.session.redact(said)!r} for"
                f" {self.completer.recipe.model!r}."
            )

    def _record_failure(self, refused: RequestFailed) -> None:
        completer = self.completer
        completer.health.record_failure(
            refused, completer.retry_policy, completer.recipe.max_concurrency
        )
        if completer.health.failure_reason:
            self.session.stop.set()

    def _drop_declined(self, refused: RequestFailed) -> bool:
        """Omit or rename the setting that the service rejects; False if the error names none."""
        settings = self.completer._settings
        message = str(refused.service_error.get("message", "")).lower()
        # `param` is OpenAI's machine-readable field; others name the setting only in the message.
        named = [name for name in settings if name == refused.service_error.get("param")]
        named = named or [name for name in settings if name in message]
        if not named or not any(word in message for word in DECLINED_WORDS):
            return False
        value = settings.pop(named[0])
        if named[0] in RENAMED_SETTINGS:
            settings[RENAMED_SETTINGS[named[0]]] = value
        else:
            self.completer.health.add_note(
                f"The service does not support {named[0]}, so its answers may differ between runs."
            )
        return True

    def _make_provider_error(self, kind: str, refused: RequestFailed) -> ProviderError:
        recipe = self.completer.recipe
        slug, what, hint = _ERROR_TEXTS[kind]
        hint = hint.format(variable=recipe.api_key_env, model=recipe.model)
        error_type = ResponseFormatRefused if kind == "form" else ProviderError
        return error_type(
            slug, what, at=f"{recipe.name}, {self.session.url}", got=refused.detail, hint=hint
        )


def _to_request_message(message: Message) -> dict[str, Any]:
    """The message in the services' format: tool arguments as JSON text, and without the reasoning
    of earlier turns, which services reject in requests."""
    parts = message.as_dict(arguments_as_text=True)
    return {name: part for name, part in parts.items() if name != "reasoning_content"}


def _make_skipped_completion(standing: ServiceHealth) -> Completion:
    return _make_failed_completion(f"skipped after an earlier failure: {standing.failure_reason}")


def _make_failed_completion(why: str) -> Completion:
    return Completion("", 0, 0, 0.0, finished=False, error=why)


def _scale_to_wall_time(completions: Sequence[Completion], wall_seconds: float) -> list[Completion]:
    """The completions with `seconds` scaled so that they add up to the wall time: requests
    overlap."""
    total = sum(completion.seconds for completion in completions)
    share = min(1.0, wall_seconds / total) if total else 1.0
    return [replace(completion, seconds=completion.seconds * share) for completion in completions]
