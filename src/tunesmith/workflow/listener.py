"""What the stages tell while they work. The command line draws it; a script may leave it out."""

from typing import Protocol

from tunesmith.records import MaskProof


class Listener(Protocol):
    """Told what happens; never asked anything."""

    def stage(self, title: str) -> None:
        """A new stage begins."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """`done` of `total` are ready; `detail` is already formatted."""

    def proof(self, proof: MaskProof) -> None:
        """The first examples with what is trained."""


class Silent:
    """Hears nothing."""

    def stage(self, title: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """Nothing."""

    def proof(self, proof: MaskProof) -> None:
        """Nothing."""


SILENT = Silent()
