"""What the stages tell while they work. The command line draws it; a script may leave it out."""

from typing import Protocol

from tunesmith.records import MaskProof


class ProgressListener(Protocol):
    """Told what happens; never asked anything."""

    def start_stage(self, title: str) -> None:
        """A new stage begins."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def update_progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """`done` of `total` are ready; `detail` is already formatted."""

    def show_mask_proof(self, proof: MaskProof) -> None:
        """The first examples with what is trained."""


class NullListener:
    """Hears nothing."""

    def start_stage(self, title: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def update_progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """Nothing."""

    def show_mask_proof(self, proof: MaskProof) -> None:
        """Nothing."""


NULL_LISTENER = NullListener()
