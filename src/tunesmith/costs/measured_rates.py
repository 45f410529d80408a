"""Cached speed of a model on this machine: the rates of `engine/machine_measurement.py`, stored in
`rates/` of the home folder.

A file is named by a hash of everything the rates depend on: the model's files, the machine,
threads, dtype, method and adapter, versions. The data is not included: rates are per token.

Rates are stored with the fraction of the time that this program waited for a core meanwhile
(`evaluation/usage_meter.py`), so that they can be converted to another load: seconds scale with 1 /
(1 - waiting). Rates measured on a busy machine are noisy (threads wait for each other), so they are
measured again once the machine is less busy.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tunesmith.atomic_io import get_home_folder, write_atomically
from tunesmith.costs.training_forecast import work_share
from tunesmith.records import Machine, ModelIdentity, Recipe, compute_fingerprint
from tunesmith.records.evaluation import MAX_WAITING_FRACTION
from tunesmith.records.record import Record
from tunesmith.runs.machine_info import list_versions

if TYPE_CHECKING:
    from tunesmith.engine.machine_measurement import Rates

FORMAT = 3  # part of the key: increase it when the way of measuring or the names of rates change


class CachedRates(Record):
    """Rates in seconds as measured while this program waited for a core for the fraction `waiting`;
    `at` is an ISO time.
    """

    seconds: dict[str, float]
    waiting: float | None
    at: str

    def serves_at(self, waiting: float | None) -> bool:
        """Whether the rates are usable now: measured on a quiet machine, or the machine is at least
        as busy now.
        """
        return (self.waiting or 0.0) <= max(MAX_WAITING_FRACTION, waiting or 0.0)

    def at_load(self, waiting: float | None) -> "Rates":
        """The rates converted to another fraction of waiting for a core."""
        from tunesmith.engine.machine_measurement import Rates

        slower = work_share(self.waiting) / work_share(waiting)
        return Rates(**{name: slower * seconds for name, seconds in self.seconds.items()})


@dataclass(frozen=True)
class RatesFile:
    """The cache file for one model under these conditions. If the home folder cannot be read or
    written, rates are measured each time.
    """

    key: str

    @classmethod
    def of(
        cls, model: ModelIdentity, machine: Machine, recipe: Recipe, work: str = "training"
    ) -> "RatesFile":
        """The file for a model on this machine, in this process; `work` is what was timed."""
        from tunesmith.engine.machine_measurement import conditions_of

        here = [machine.platform, machine.processor, machine.cores, machine.memory_bytes]
        own = list_versions().get("tunesmith", "")
        conditions = conditions_of(recipe)
        return cls(compute_fingerprint([FORMAT, work, own, model.files, here, conditions])[:32])

    def read(self) -> CachedRates | None:
        """The stored rates; None if there are none that can be read, or another version wrote
        others."""
        from tunesmith.engine.machine_measurement import Rates

        path = get_home_folder() / "rates" / f"{self.key}.json"
        try:
            stored = CachedRates.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError):
            return None
        return stored if set(stored.seconds) == {field.name for field in fields(Rates)} else None

    def write(self, rates: "Rates", waiting: float | None) -> None:
        """Store the rates just measured. Failures are ignored: the cache is optional."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept = CachedRates(seconds=asdict(rates), waiting=waiting, at=now)
        folder = get_home_folder() / "rates"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{self.key}.json", kept.model_dump_json())


@dataclass
class RatesLookup:
    """Called for rates once memory is planned: returns the cached ones if they are usable at the
    load that `waiting` measures.

    `used_of` is when the returned rates were measured, None if none were returned.
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
