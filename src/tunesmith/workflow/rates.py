"""How fast a model is here, measured once: the rates of `engine/profiling.py`, kept in `rates/` of the home folder.

A file is named by a hash of all that rates follow from: the model's files, the machine, the threads, the dtype, method
and adapter, versions. The data is not among it: rates are per token.

Each is kept with the share of the time that this program waited for a core meanwhile (`evaluation/usage_meter.py`), so
that
it can be used at another load: seconds go with 1 / (1 - waiting). What was measured on a busy machine is noisy (threads
wait for one another), so it is measured again once the machine is less busy.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tunesmith.atomic_io import get_home_folder, write_atomically
from tunesmith.records import Machine, ModelIdentity, Recipe, compute_fingerprint
from tunesmith.records.evaluation import MAX_WAITING_FRACTION
from tunesmith.records.record import Record
from tunesmith.runs.machine_info import list_versions
from tunesmith.workflow.forecast import work_share

if TYPE_CHECKING:
    from tunesmith.engine.profiling import Rates

FORMAT = 1  # raise it when rates are measured in another way


class CachedRates(Record):
    """Rates in seconds as they were measured, `waiting` for a core so much of the time; `at` is an ISO time."""

    seconds: dict[str, float]
    waiting: float | None
    at: str

    def serves_at(self, waiting: float | None) -> bool:
        """Whether it may be used now: it was measured on a quiet machine, or this one is no less busy."""
        return (self.waiting or 0.0) <= max(MAX_WAITING_FRACTION, waiting or 0.0)

    def at_load(self, waiting: float | None) -> "Rates":
        """The rates where this program waits for a core so much of the time."""
        from tunesmith.engine.profiling import Rates

        slower = work_share(self.waiting) / work_share(waiting)
        return Rates(**{name: slower * seconds for name, seconds in self.seconds.items()})


@dataclass(frozen=True)
class RatesFile:
    """Where the rates of one model under these conditions are kept. Where the home folder cannot be read or written
    they are measured each time."""

    key: str

    @classmethod
    def of(cls, model: ModelIdentity, machine: Machine, recipe: Recipe) -> "RatesFile":
        """For a model on this machine, in this process."""
        from tunesmith.engine.profiling import conditions_of

        here = [machine.platform, machine.processor, machine.cores, machine.memory_bytes]
        own = list_versions().get("tunesmith", "")
        return cls(compute_fingerprint([FORMAT, own, model.files, here, conditions_of(recipe)])[:32])

    def read(self) -> CachedRates | None:
        """What is kept; None where there is nothing that can be read."""
        path = get_home_folder() / "rates" / f"{self.key}.json"
        try:
            return CachedRates.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError):
            return None

    def write(self, rates: "Rates", waiting: float | None) -> None:
        """Keep what was measured just now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept = CachedRates(seconds=asdict(rates), waiting=waiting, at=now)
        folder = get_home_folder() / "rates"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{self.key}.json", kept.model_dump_json())


@dataclass
class Recall:
    """Asked for rates once memory is planned: what is kept, where that serves at the load that `waiting` tells.

    `used_of` is when the rates that it gave were measured, None where it gave none.
    """

    kept: CachedRates | None
    waiting: Callable[[], float | None]
    used_of: str | None = None

    def __call__(self) -> "Rates | None":
        now = self.waiting()
        if self.kept is None or not self.kept.serves_at(now):
            return None
        self.used_of = self.kept.at
        return self.kept.at_load(now)
