#!/usr/bin/env bash
# Version: sacrebleu 2.6.0.
# Expected: references given as one list per answer (the form that nltk and others take) are
# either understood or refused, because sacrebleu takes one list per *set* of references.
# Seen: with three answers and three lists of one reference each, BLEU and chrF are computed from
# the first answer alone, against all three references. No error: two answers that are wrong do
# not count.
# Why it matters: moving a score from one library to the other keeps running and gives a number
# that looks plausible for any number of answers, and is the score of one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile sacrebleu==2.6.0
venv/bin/python -W ignore - <<'PYTHON'
import sys

from sacrebleu import corpus_bleu, corpus_chrf

answers = ["the invoice is of May", "no idea", "none"]
references = [
    "the invoice is of May",
    "the refund was paid in June",
    "the order was sent on Friday",
]
by_answer = [[reference] for reference in references]
found = {
    score.__name__: [round(score(answers, given).score, 1) for given in ([references], by_answer)]
    for score in (corpus_bleu, corpus_chrf)
}
for name, (by_set, one_list_each) in found.items():
    print(
        f"{name}: {by_set} with one list for all answers, {one_list_each} with one list per answer"
    )
if any(each != 100.0 or by_set >= 60 for by_set, each in found.values()):
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
