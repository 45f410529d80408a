"""Remote models: from the URL in a recipe to the driver of its provider, built in or of a plugin.

The scheme of the URL names the provider: `https` and `http` are the OpenAI protocol, and a plugin
adds another name in the group `tunesmith.completers`, for example `echo://local`. A provider that
is reached through HTTP puts its name before a plus sign: `other+https://api.example.com`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tunesmith.errors import RecipeError
from tunesmith.plugins import Registry
from tunesmith.records import Completion, OutputConstraint, ProgressCallback, Prompt, RemoteRecipe


class RemoteModel(Protocol):
    """A `Completer` for a model that is not on this machine; `testing.fake_remote_model` fakes one.

    `notes` are sentences about what the service did not do as requested; they belong next to the
    answers and are complete once all prompts were answered.
    """

    @property
    def notes(self) -> Sequence[str]:
        """Limitations met so far."""
        ...

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """As `Completer.complete`. Errors: `ProviderError` if the first prompt ever sent shows that
        no request can succeed."""
        ...

    def constrain(self, form: OutputConstraint) -> "RemoteModel":
        """The same model with its answers held to a form; `complete` raises `ProviderError` with
        the code `form-refused` if the service cannot do that."""
        ...

    def describe_key_use(self) -> str | None:
        """Which key will be sent where, as a sentence that is printed before the first request;
        None if none is sent. Errors: `ProviderError` without a key."""
        ...


COMPLETERS: Registry[Callable[[RemoteRecipe], RemoteModel]] = Registry(
    "tunesmith.completers",
    "provider of remote models",
    dict.fromkeys(("https", "http"), "tunesmith.providers.openai_compatible:RemoteCompleter"),
)
"""Functions from the recipe of a remote model to the model, by the scheme of its URL."""

_MEMBERS = ("notes", "complete", "constrain", "describe_key_use")


def get_provider_name(remote: RemoteRecipe) -> str:
    """The name of the provider: the scheme of the URL up to a plus sign, in lower case."""
    return remote.base_url.partition("://")[0].partition("+")[0].lower()


def is_openai_compatible(remote: RemoteRecipe) -> bool:
    """Whether the built-in driver asks this model."""
    return get_provider_name(remote) in COMPLETERS.builtins or "://" not in remote.base_url


def open_remote_model(remote: RemoteRecipe) -> RemoteModel:
    """The model of a recipe. Nothing is sent yet.

    Errors: `RecipeError` for a URL whose provider is not known or that is not accepted;
    `PluginError` for a plugin that does not make a `RemoteModel`.
    """
    # a text without a scheme gets the built-in driver's message on what a URL looks like
    name = "https" if is_openai_compatible(remote) else get_provider_name(remote)
    if name not in COMPLETERS:
        raise RecipeError(
            "unknown-provider",
            f"unknown provider of remote models {name!r}",
            at=f"evaluation.remote {remote.name}",
            got=f"known: {', '.join(COMPLETERS)}",
            hint="write an https URL; or install the plugin of this provider",
        )
    model = COMPLETERS.load(name)(remote)
    COMPLETERS.check_part(name, model, _MEMBERS)
    return model
