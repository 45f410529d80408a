#!/usr/bin/env bash
# Version: zstandard 0.25.0.
# Expected: `zstandard.decompress` gives all of a .zst file, as `gzip.decompress` does with a .gz
# of several members. The format says that frames may stand one behind the other; `cat a.zst
# b.zst` and parallel compressors write them.
# Seen: only the first frame is unpacked; no error. `zstandard.open` reads both.
# Why it matters: a training file put together from shards loses every shard but the first, and
# the rest is valid JSON Lines, so nothing downstream notices.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile zstandard==0.25.0
venv/bin/python -W ignore - <<'PYTHON'
import gzip
import sys
from pathlib import Path

import zstandard

shards = [b'{"answer": "a"}\n', b'{"answer": "b"}\n']
packed = b"".join(zstandard.compress(shard) for shard in shards)
Path("both.jsonl.zst").write_bytes(packed)
at_once = zstandard.decompress(packed)
with zstandard.open("both.jsonl.zst", "rb") as file:
    opened = file.read()
other = gzip.decompress(b"".join(gzip.compress(shard) for shard in shards))
print("zstandard.decompress:", at_once)
print("zstandard.open:      ", opened)
print("gzip.decompress:     ", other)
if at_once != shards[0] or opened != b"".join(shards) or other != opened:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
