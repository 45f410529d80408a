#!/usr/bin/env bash
# Version: safetensors 0.8.0 with numpy 2.4.6.
# Expected: `safetensors.numpy.save_file` stores the values of an array, or raises as
# `safetensors.torch` does for tensors that are not contiguous.
# Seen: of a transposed or strided array the memory is written as it lies, under the array's
# shape. The file loads without an error and holds other values: [1, 3, 5] is read back as [1, 2,
# 3].
# Why it matters: converting weights often transposes them (linear layers between two frameworks).
# The converted model runs and answers nonsense; a square matrix does not even change its shape.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile safetensors==0.8.0 numpy==2.4.6
venv/bin/python -W ignore - <<'PYTHON'
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

matrix = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
row = np.array([1.0, 2.0, 3.0, 4.0, 5.0], dtype=np.float32)
arrays = {"transposed": matrix.T, "every second": row[::2]}
save_file(arrays, "model.safetensors")
found = {name: array.tolist() for name, array in load_file("model.safetensors").items()}
for name, array in arrays.items():
    print(f"{name}: saved {array.tolist()}, loaded {found[name]}")
if found != {"transposed": matrix.tolist(), "every second": [1.0, 2.0, 3.0]}:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
