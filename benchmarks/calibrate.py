"""Do our statistics and our verdict keep what they promise? `make calibrate`, or

    python -m benchmarks.calibrate [--quick]

Runs the simulations of `calibrate_stats` (false positives, coverage, power), `calibrate_worlds`
(verdicts on worlds whose truth is known) and `calibrate_leaks` (planted leaks), prints a table and
keeps it in `calibration.json`, a list of {"name", "value", "low_bar", "high_bar", "holds"}. Exit
code 1 when a bar does not hold. Seeds are fixed: two runs give the same table. `--quick` draws few
worlds, to see that everything runs; its table is noise and is not kept.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import calibrate_leaks, calibrate_stats, calibrate_worlds
from tunesmith.atomic_io import write_atomically

KEPT = Path(__file__).parent / "calibration.json"


def main() -> int:
    """Measure, show, keep."""
    parser = argparse.ArgumentParser(
        description="Do our statistics and our verdict keep what they promise?"
    )
    parser.add_argument("--quick", action="store_true", help="few worlds; nothing is kept")
    is_quick = parser.parse_args().quick
    rows: list[dict[str, Any]] = []
    for part in (calibrate_stats, calibrate_worlds, calibrate_leaks):
        began = time.monotonic()
        rows += [dict(row) for row in part.rows(quick=is_quick)]
        print(f"{part.__name__.removeprefix('benchmarks.')}: {time.monotonic() - began:.0f} s")
    print(table(rows))
    if not is_quick:
        write_atomically(KEPT, json.dumps(rows, indent=2) + "\n")
    broken = [row["name"] for row in rows if not row["holds"]]
    print("every bar holds" if not broken else f"{len(broken)} of {len(rows)} rows fail")
    return 1 if broken else 0


def table(rows: list[dict[str, Any]]) -> str:
    """One line a row: what was measured, where it should lie if there is a bar, and whether it
    does."""
    width = max(len(row["name"]) for row in rows)
    return "\n".join(
        f"{_held(row)} {row['name']:<{width}}  {row['value']:>10.4g}  {_bar(row)}".rstrip()
        for row in rows
    )


def _held(row: dict[str, Any]) -> str:
    if row["low_bar"] is None and row["high_bar"] is None:
        return "    "
    return "ok  " if row["holds"] else "FAIL"


def _bar(row: dict[str, Any]) -> str:
    low, high = row["low_bar"], row["high_bar"]
    if low is None:
        return "" if high is None else f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


if __name__ == "__main__":
    sys.exit(main())
