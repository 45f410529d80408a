"""Are planted wrong labels found, and only these? Precision and recall of
`tunesmith.analysis.label_issues`.

    python -m benchmarks.calibrate_suspects FOLDER [SHARE]

FOLDER holds banking77's `train.csv` (text, category). `SHARE` of its labels (0.05) are replaced by
another label drawn at random; each signal alone and two that agree are counted against them.
Besides, without anything planted: what is accused then is right, but for the errors that the data
have anyway. No model is asked, so there are two signals here.
"""

import csv
import random
import sys
from pathlib import Path

from tunesmith.analysis.error_analysis import _select_embedded
from tunesmith.analysis.label_issues import (
    LabelSignals,
    collect_neighbor_signals,
    find_label_issues,
    select_examined,
)
from tunesmith.analysis.nearest_examples import TrainIndex
from tunesmith.contenders.retrieval.search_index import DenseIndex
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.records import Example, Message


def planted(
    rows: list[tuple[str, str]], share: float, seed: int = 0
) -> tuple[list[Example], set[str]]:
    """The rows as examples with some labels replaced, and the ids of those."""
    draw = random.Random(seed)
    labels = sorted({label for _, label in rows})
    wrong = set(draw.sample(range(len(rows)), round(share * len(rows))))
    made, ids = [], set()
    for i, (text, label) in enumerate(rows):
        answer = draw.choice([one for one in labels if one != label]) if i in wrong else label
        made.append(
            Example(line=i + 2, messages=(Message("user", text), Message("assistant", answer)))
        )
        ids |= {made[-1].id} if i in wrong else set()
    return made, ids


def accused_by_one(some: list[Example], signals: LabelSignals) -> set[str]:
    """What a single signal contradicts, the way it was before two had to agree."""
    return {
        e.id for e in some for of in signals.values() if e.id in of and of[e.id].answer != e.answer
    }


def measure(rows: list[tuple[str, str]], share: float) -> None:
    """Print one line for each way to suspect."""
    train, wrong = planted(rows, share)
    some = select_examined(train)
    wrong &= {example.id for example in some}
    words = collect_neighbor_signals(some, TrainIndex(train), "nearest neighbors by words")
    embedder = LocalEmbedder()
    by_meaning = TrainIndex(_select_embedded(train), lambda texts: DenseIndex(texts, embedder))
    meaning = collect_neighbor_signals(some, by_meaning, "nearest neighbors by meaning")
    ways = {
        "words alone": accused_by_one(some, {"words": words}),
        "meaning alone": accused_by_one(some, {"meaning": meaning}),
        "both agree": {
            one.example for one in find_label_issues(some, {"words": words, "meaning": meaning})
        },
    }
    for way, accused in ways.items():
        right = len(accused & wrong)
        precision = f"{right / len(accused):.3f}" if accused else "-"
        recall = f"{right / len(wrong):.3f}" if wrong else "-"
        print(
            f"{share:.0%} {way}: {len(accused)} accused of {len(some)}, precision {precision},"
            f" recall {recall}"
        )


if __name__ == "__main__":
    with (Path(sys.argv[1]) / "train.csv").open(newline="", encoding="utf-8") as file:
        read = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    for planted_share in (float(sys.argv[2]) if len(sys.argv) > 2 else 0.05, 0.0):
        measure(read, planted_share)
