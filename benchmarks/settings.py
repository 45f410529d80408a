"""The peer's best settings: `peers/best.toml` keeps what a search found, with its date and every
candidate.

A machine without bfloat16 products has settings of its own, under the workload's name and
"-float32".
"""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

BEST = Path(__file__).parent / "peers" / "best.toml"
HEAD = (
    "# What TRL and transformers are fastest with, found by `make bench SEARCH=1`; every candidate"
    " that was measured.\n"
)

Settings = dict[str, Any]


def _read() -> dict[str, Settings]:
    return tomllib.loads(BEST.read_text(encoding="utf-8")) if BEST.exists() else {}


def knows(workload: str, *, has_bf16: bool) -> bool:
    """Whether a search was made for this workload on such a machine."""
    return _name(workload, has_bf16) in _read()


def best_settings(workload: str, *, has_bf16: bool) -> Settings:
    """What a job of the peer takes for this workload."""
    settings: Settings = _read()[_name(workload, has_bf16)]["best"]
    return settings


def peaks_by_examples(workload: str, *, has_bf16: bool) -> dict[int, int]:
    """Examples that the peer held at once, padded, with its best precision -> its peak in bytes, of
    those searched."""
    found = _read()[_name(workload, has_bf16)]
    alike = [
        c
        for c in found["candidates"]
        if c["precision"] == found["best"]["precision"] and not c["pack"]
    ]
    return {c["micro_batch"]: c["peak_mib"] << 20 for c in alike if not c["reference_first"]}


def _name(workload: str, has_bf16: bool) -> str:
    return workload if has_bf16 else f"{workload}-float32"


def keep_best(
    workload: str,
    candidates: list[Settings],
    speeds: list[float],
    peaks: list[int],
    clock: str,
    *,
    has_bf16: bool,
) -> Settings:
    """Write the fastest candidate and all of them; return it. A candidate that failed has speed
    0."""
    found = _read()
    best = candidates[speeds.index(max(speeds))]
    measured = [
        {**settings, f"examples_per_{clock[:-1]}": round(speed, 3), "peak_mib": peak >> 20}
        for settings, speed, peak in zip(candidates, speeds, peaks, strict=True)
    ]
    found[_name(workload, has_bf16)] = {
        "date": date.today().isoformat(),
        "best": best,
        "candidates": measured,
    }
    BEST.write_text(
        HEAD + "".join(_section(name, one) for name, one in found.items()), encoding="utf-8"
    )
    return best


def _section(name: str, found: Settings) -> str:
    rows = "".join(f"    {_inline(candidate)},\n" for candidate in found["candidates"])
    return (
        f'\n[{name}]\ndate = "{found["date"]}"\nbest = {_inline(found["best"])}\ncandidates ='
        f" [\n{rows}]\n"
    )


def _inline(settings: Settings) -> str:
    return "{ " + ", ".join(f"{key} = {_value(value)}" for key, value in settings.items()) + " }"


def _value(value: Any) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f'"{value}"'
        if isinstance(value, str)
        else str(value)
    )
