"""Which environment variable may be sent as an API key, and how a key is redacted from all output.

A recipe may come from an untrusted author, and it names both the variable and the host. So a value
is sent only if its variable is named like an API key, and never if the name suggests another kind
of credential (a cloud account, a repository, a signature), unless the user allows it outside the
recipe: `TUNESMITH_SEND_KEYS=NAME,NAME` (docs/decisions/105).
"""

import base64
import os
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, urlsplit

from tunesmith.errors import ProviderError, RecipeError
from tunesmith.records import RemoteRecipe
from tunesmith.records.recipe import is_loopback

ALLOWED_KEYS_VARIABLE = "TUNESMITH_SEND_KEYS"
KEY_SUFFIXES = ("_API_KEY", "_TOKEN", "_KEY")
OTHER_KEY_WORDS = {
    "ACCESS",
    "AWS",
    "AZURE",
    "BOT",
    "CI",
    "CLIENT",
    "CSRF",
    "DATABASE",
    "DB",
    "DEPLOY",
    "DISCORD",
    "DOCKER",
    "ENCRYPTION",
    "GCP",
    "GH",
    "GITHUB",
    "GITLAB",
    "GPG",
    "HF",
    "HUGGING",
    "HUGGINGFACE",
    "JWT",
    "KUBE",
    "KUBERNETES",
    "MASTER",
    "NPM",
    "OAUTH",
    "PASSWORD",
    "PAYMENT",
    "PRIVATE",
    "PYPI",
    "REFRESH",
    "ROOT",
    "SECRET",
    "SESSION",
    "SIGNING",
    "SLACK",
    "SSH",
    "STRIPE",
    "TELEGRAM",
    "VAULT",
    "WEBHOOK",
}
"""Words in a variable name that mark a credential for something other than a language model."""
MODEL_KEYS = {"AZURE_OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_AI_API_KEY"}
"""Names that contain such a word but hold keys of language models."""
REDACTION_WINDOW = 12
"""Minimum number of consecutive key characters that are redacted. Shorter pieces, such as
`sk-proj-`, are common to many keys."""
MIN_KEY_CHARACTERS = 8
"""Shorter values are not secrets: local services are commonly given `x` or `none`."""


def read_api_key(recipe: RemoteRecipe) -> str:
    """The key to send; empty if the service runs on this machine and needs none.

    Errors: `RecipeError` for a variable that may not be sent; `ProviderError` if the key is missing
    or cannot stand in an HTTP header.
    """
    variable = recipe.api_key_env
    key = os.environ.get(variable, "").strip()
    if not key and not is_loopback(get_host(recipe.base_url)):
        raise ProviderError(
            "no-key",
            f"no API key for {recipe.name}",
            at="evaluation.remote",
            got=f"environment variable {variable} is empty",
            hint=f"export {variable}=...; or name another variable with api_key_env",
        )
    if key and not _can_be_sent(variable):
        raise RecipeError(
            "key-not-sent",
            "recipe names a variable whose value may not be sent to a service",
            at=f"evaluation.remote {recipe.name}, api_key_env",
            got=f"{variable}, to be sent to {get_host(recipe.base_url)}",
            hint=(
                "put the API key into a variable with a name like NAME_API_KEY; or, if this "
                f"one holds it, set {ALLOWED_KEYS_VARIABLE}={variable}"
            ),
        )
    # A line break would inject a header, and the HTTP library encodes header values as ASCII.
    if not (key.isascii() and key.isprintable()):
        raise ProviderError(
            "bad-key",
            "invalid API key",
            at="evaluation.remote",
            got=f"{variable} contains characters that no key has",
            hint="copy the key again",
        )
    return key


def describe_key_use(recipe: RemoteRecipe) -> str | None:
    """The sentence printed before the first request; None if no key is sent.

    Errors: as `read_api_key`.
    """
    return (
        f"sends the value of ${recipe.api_key_env} to {get_host(recipe.base_url)}"
        if read_api_key(recipe)
        else None
    )


def get_host(url: str) -> str:
    """The host of a URL; an empty text if the URL cannot be parsed (see `build_endpoint_url`)."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _can_be_sent(variable: str) -> bool:
    name = variable.upper()
    if (
        variable in {one.strip() for one in os.environ.get(ALLOWED_KEYS_VARIABLE, "").split(",")}
        or name in MODEL_KEYS
    ):
        return True
    return name.endswith(KEY_SUFFIXES) and not OTHER_KEY_WORDS & set(name.split("_"))


@dataclass(frozen=True)
class Redactor:
    """Removes a key from a text: whole, in part (`REDACTION_WINDOW` consecutive characters), and in
    base64, hex or URL encoding."""

    key: str = field(repr=False)

    def __call__(self, text: str) -> str:
        """The text with every occurrence of key material replaced by `[key]`."""
        if len(self.key) < MIN_KEY_CHARACTERS or len(text) < self._size:
            return text
        # `begin`: start of the text that is not yet copied to `pieces`.
        size, pieces, at = self._size, [], 0
        begin = 0
        while at <= len(text) - size:
            if text[at : at + size] not in self._windows:
                at += 1
                continue
            pieces += [text[begin:at], "[key]"]
            at += size
            # Extend the match one character at a time while the window still lies in the key.
            while at < len(text) and text[at - size + 1 : at + 1] in self._windows:
                at += 1
            begin = at
        return "".join([*pieces, text[begin:]]) if pieces else text

    @property
    def _size(self) -> int:
        return min(REDACTION_WINDOW, len(self.key))

    @cached_property
    def _windows(self) -> frozenset[str]:
        # Base64 packs 3 bytes into 4 characters, so the encoding of a key inside a longer text
        # depends on its byte offset modulo 3: encode at each offset, then drop the characters
        # that carry bits of the padding.
        raw, size = self.key.encode(), self._size
        shifted = [
            base64.b64encode(b" " * lead + raw).decode()[2 * lead - lead // 2 :]
            for lead in range(3)
        ]
        spelled = [self.key, quote(self.key, safe=""), raw.hex(), raw.hex().upper()]
        spelled += [*shifted, *(one.translate(str.maketrans("+/", "-_")) for one in shifted)]
        return frozenset(one[i : i + size] for one in spelled for i in range(len(one) - size + 1))
