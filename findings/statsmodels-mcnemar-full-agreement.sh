#!/usr/bin/env bash
# Version: statsmodels 0.15.0.
# Expected: two models that are right on the same examples do not differ; the p-value of McNemar's
# test is 1, or nan.
# Seen: the exact test gives 1. The chi-squared one (`exact=False`) divides by the number of
# examples on which the two differ, which is 0, and gives p = 0: the strongest difference there
# can be. With one example each way it is 0.48.
# Why it matters: comparing a model with its quantized or merged copy is just the case in which
# all answers agree, and a loop over models that looks at p < 0.05 reports it as a proven
# difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile statsmodels==0.15.0 scipy==1.17.1
venv/bin/python -W ignore - <<'PYTHON'
import sys

from statsmodels.stats.contingency_tables import mcnemar

TABLES = {
    "the same on all 100 examples": [[80, 0], [0, 20]],
    "one example each way": [[80, 1], [1, 18]],
}
found = {
    name: [round(float(mcnemar(table, exact=exact).pvalue), 4) for exact in (True, False)]
    for name, table in TABLES.items()
}
for name, (exact, chi_squared) in found.items():
    print(f"{name}: exact p = {exact}, chi-squared p = {chi_squared}")
if found != {"the same on all 100 examples": [1.0, 0.0], "one example each way": [1.0, 0.4795]}:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
