"""What the stages report while they work. The command line draws it; a script may omit it."""

from typing import Protocol

from tunesmith.records import MaskProof


class ProgressListener(Protocol):
    """Receives progress events; returns nothing."""

    def start_stage(self, title: str) -> None:
        """A new stage begins."""

    def note(self, text: str) -> None:
        """A message worth showing to the user."""

    def update_progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """`done` of `total` are ready; `detail` is already formatted."""

    def show_mask_proof(self, proof: MaskProof) -> None:
        """Show the first examples with the tokens that are trained."""


class NullListener:
    """Ignores all events."""

    def start_stage(self, title: str) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""

    def update_progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """Ignored."""

    def show_mask_proof(self, proof: MaskProof) -> None:
        """Ignored."""


NULL_LISTENER = NullListener()
