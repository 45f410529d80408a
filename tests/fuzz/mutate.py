"""Inputs made from good ones: bytes are changed, or, where the input is JSON (whole or by lines),
its values are."""

import json
import random
from collections.abc import Sequence
from typing import Any

PIECES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\r\n",
    b'"',
    b'""',
    b"'",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b",",
    b";",
    b"\t",
    b"[",
    b"]",
    b"{",
    b"}",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"1" * 400,
    b"0.1",
    b":",
    b"&a",
    b"*a",
    b"---\n",
    b"- ",
    b"<<: *a",
    b"PAR1",
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b"[" * 300,
    b'{"a":' * 300,
    b"\xc3",
    b"\xed\xa0\x80",
    b" " * 200,
    b"a" * 5000,
    b"%s",
    b"{{x}}",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    3,
    2.5,
    1e300,
    "",
    " ",
    "a",
    "7",
    "true",
    "\ud83d\ude00",
    "\ud800",
    "\0",
    "line\nline",
    [],
    [[]],
    {},
    [None],
    [1],
    ["a"],
    {"a": None},
    {"role": "user", "content": "a"},
    {"role": "assistant"},
    [{"role": "user"}],
    10**30,
    "a" * 3000,
)
MOST_BYTES = 200_000


def mutate(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """One input. The same seeds and the same state of `chance` give the same one."""
    data = chance.choice(seeds)
    if chance.random() < 0.5:
        data = _with_other_values(data, chance)
    for _ in range(chance.choice((0, 1, 1, 2, 4, 8))):
        data = chance.choice(_CHANGES)(data, seeds, chance)
    return data[:MOST_BYTES]


def _with_other_values(data: bytes, chance: random.Random) -> bytes:
    """The JSON document, or one JSON line, with one to three values or keys changed; other inputs
    as they are."""
    try:
        return json.dumps(_changed(json.loads(data), chance)).encode()
    except (ValueError, RecursionError):
        pass
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    try:
        lines[at] = json.dumps(_changed(json.loads(lines[at]), chance)).encode()
    except (ValueError, RecursionError):
        return data
    return b"\n".join(lines)


def _changed(value: Any, chance: random.Random) -> Any:
    for _ in range(chance.randint(1, 3)):
        value = _changed_once(value, chance)
    return value


def _changed_once(value: Any, chance: random.Random) -> Any:
    """One value anywhere replaced, dropped or repeated, or one key renamed."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.1:
        return chance.choice(VALUES)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        changes = [[*value[:at], *value[at + 1 :]], [*value, value[at]], value[::-1]]
        if chance.random() < 0.3:
            return chance.choice(changes)
        return [*value[:at], _changed_once(value[at], chance), *value[at + 1 :]]
    key = chance.choice(list(value))
    what = chance.random()
    if what < 0.15:
        return {name: child for name, child in value.items() if name != key}
    if what < 0.3:
        other = chance.choice(
            ["", "a", "role", "content", "messages", "prompt", "label", "text", "\0", *value]
        )
        return {other if name == key else name: child for name, child in value.items()}
    return {**value, key: _changed_once(value[key], chance)}


def _place(data: bytes, chance: random.Random) -> tuple[int, int]:
    begin = chance.randint(0, len(data))
    return begin, min(len(data), begin + chance.choice((0, 1, 1, 4, 16, 64, 1024)))


def _replace(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    begin, end = _place(data, chance)
    return data[:begin] + chance.choice(PIECES) + data[end:]


def _insert(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    begin, _ = _place(data, chance)
    return data[:begin] + chance.choice(PIECES) + data[begin:]


def _repeat(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    begin, end = _place(data, chance)
    return data[:end] + data[begin:end] * chance.choice((1, 2, 50)) + data[end:]


def _flip(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _join(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    other = chance.choice(seeds)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _noise(data: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    begin, end = _place(data, chance)
    return data[:begin] + chance.randbytes(end - begin) + data[end:]


_CHANGES = (_replace, _insert, _repeat, _flip, _cut, _join, _noise)
