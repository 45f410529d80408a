"""The rows of `latest.json`, and how they are printed."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LATEST = Path(__file__).parent / "latest.json"


@dataclass(frozen=True)
class Row:
    """One measured thing. `tunesmith` and `peer` are medians over the repetitions, `ratio` is the
    median of the ratios.

    The ratio is ours over the peer's, except `loss_difference*`: the largest relative difference of
    any step's loss.
    """

    workload: str
    measure: str
    tunesmith: float
    peer: float | None
    peer_name: str
    ratio: float | None
    repetitions: int


def paired(
    workload: str, measure: str, ours: Sequence[float], peer: Sequence[float], peer_name: str
) -> Row:
    """Repetition i of ours ran beside repetition i of the peer: their ratio suffers least from the
    machine's load."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return Row(
        workload,
        measure,
        statistics.median(ours),
        statistics.median(peer),
        peer_name,
        statistics.median(ratios),
        len(ratios),
    )


def last_row(workload: str, measure: str) -> Row:
    """What `latest.json` says; a row without a peer where it says nothing."""
    for row in _read():
        if (row["workload"], row["measure"]) == (workload, measure):
            return Row(**row)
    return Row(workload, measure, 0.0, None, "no peer", None, 0)


def _read() -> list[dict[str, Any]]:
    return json.loads(LATEST.read_text(encoding="utf-8")) if LATEST.exists() else []


def keep(rows: Sequence[Row]) -> None:
    """Put the rows into `latest.json`; rows of other workloads stay."""
    measured = {row.workload for row in rows}
    kept = [row for row in _read() if row["workload"] not in measured]
    lines = ",\n".join(json.dumps(row) for row in [*kept, *map(asdict, rows)])
    LATEST.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def show(rows: Sequence[Row]) -> None:
    print(f"\n{'workload':18}{'measure':30}{'tunesmith':>12}{'peer':>12}{'ratio':>10}  peer")
    for row in rows:
        peer = "" if row.peer is None else _number(row.measure, row.peer)
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        ours = _number(row.measure, row.tunesmith)
        print(f"{row.workload:18}{row.measure:30}{ours:>12}{peer:>12}{ratio:>10}  {row.peer_name}")


def _number(measure: str, value: float) -> str:
    return f"{value / 2**20:,.0f} MiB" if measure.endswith("_bytes") else f"{value:,.4g}"
