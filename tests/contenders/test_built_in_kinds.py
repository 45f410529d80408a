"""Every built-in kind of contender holds the contract of the seam that plugins use."""

from typing import TYPE_CHECKING

from tunesmith.records.contender_kinds import CONTENDER_KINDS, get_contender_kind
from tunesmith.testing.contender_conformance import ContenderConformance

if TYPE_CHECKING:
    from tunesmith.records.contender_kinds import ContenderKind


def conformance_of(name: str) -> type[ContenderConformance]:
    """A test class for one kind."""

    def get_kind(self: ContenderConformance) -> "ContenderKind":
        return get_contender_kind(name)

    return type(f"Test{name}", (ContenderConformance,), {"get_kind": get_kind, "__test__": True})


TestZeroShot, TestFewShot, TestRetrieval, TestTuned, TestTunedRetrieval = (
    conformance_of(name) for name in CONTENDER_KINDS.builtins if get_contender_kind(name).build
)
