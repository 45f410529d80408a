"""What is measured: each workload's examples as token arrays, the same for both sides.

The data lies outside the checkout (`--data`, see README there) and is never copied into it:
banking77 (Casanueva et al. 2020, CC BY 4.0) and gsm8k (Cobbe et al. 2021, MIT). Everything is
chosen by seed, so every run sees the same examples.
"""

import csv
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.arrays import Arrays
from tunesmith.models.tokenizer import FolderTokenizer
from tunesmith.records import Message

SHORT_SYSTEM = "Classify the customer's message."
LONG_SYSTEM = (
    "Classify the customer's message into one of these categories and answer with its name only:\n"
)
SHOTS = 5
QUESTIONS = 200

Chat = tuple[list[Message], str]
"""(the messages before the answer, the answer)."""


@dataclass(frozen=True)
class Training:
    """`steps` are counted; one more before them is warm-up. `batch_size` counts examples (or pairs)
    a step.

    The peer's best setting is searched with `search_batch_size` examples a step, which says the
    same sooner.
    """

    name: str
    batch_size: int
    search_batch_size: int
    steps: int
    method: Literal["sft", "dpo"] = "sft"
    kind: Literal["lora", "qlora", "full"] = "lora"
    learning_rate: float = 1e-3
    repetitions: int = 3

    @property
    def all_steps(self) -> int:
        return self.steps + 1


@dataclass(frozen=True)
class Answering:
    """Greedy answers to test questions."""

    name: str
    shots: int
    max_new_tokens: int = 32
    repetitions: int = 3


TRAININGS = (
    Training("banking77-short", batch_size=32, search_batch_size=16, steps=8),
    Training("banking77-long", batch_size=32, search_batch_size=4, steps=2),
    Training("gsm8k", batch_size=16, search_batch_size=4, steps=2),
    Training(
        "dpo-gsm8k", batch_size=8, search_batch_size=4, steps=2, method="dpo", learning_rate=1e-4
    ),
)
ANSWERINGS = (Answering("generate-fewshot", shots=SHOTS), Answering("generate-zeroshot", shots=0))


def training_arrays(workload: Training, data: Path, tokenizer: FolderTokenizer) -> Arrays:
    """As many examples as the steps take. Pairs are two sequences in a row: chosen, rejected."""
    count = workload.batch_size * workload.all_steps
    chats: list[Chat]
    if workload.name.startswith("banking77"):
        chats = banking77_chats(data, is_long=workload.name.endswith("long"))[:count]
    else:
        chats = gsm8k_chats(data)[: count + 1]
        if workload.method == "dpo":  # the rejected answer is the one of the next problem
            chats = [
                (chats[i][0], answer)
                for i in range(count)
                for answer in (chats[i][1], chats[i + 1][1])
            ]
        else:
            chats = chats[:count]
    return Arrays.of([encode_chat(tokenizer, *chat) for chat in chats])


def question_tokens(workload: Answering, data: Path, tokenizer: FolderTokenizer) -> list[list[int]]:
    """The prompts of the test questions, ready to be answered."""
    shots: list[Message] = []
    for messages, label in banking77_chats(data, is_long=False)[: workload.shots]:
        shots += [messages[-1], Message("assistant", label)]
    questions = [chat[0] for chat in banking77_chats(data, is_long=False, side="test")[:QUESTIONS]]
    texts = [tokenizer.render([q[0], *shots, q[-1]], open_answer=True) for q in questions]
    return [encoded.ids for encoded in tokenizer.encode(texts)]


def write_prompts(prompts: list[list[int]], path: Path) -> None:
    path.write_text(json.dumps(prompts), encoding="utf-8")


def banking77_chats(data: Path, *, is_long: bool, side: str = "train") -> list[Chat]:
    with (data / "banking77" / f"{side}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    system = (
        LONG_SYSTEM + "\n".join(sorted({row["category"] for row in rows}))
        if is_long
        else SHORT_SYSTEM
    )
    random.Random(0).shuffle(rows)
    return [
        ([Message("system", system), Message("user", row["text"])], row["category"]) for row in rows
    ]


def gsm8k_chats(data: Path) -> list[Chat]:
    lines = (data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    random.Random(0).shuffle(rows)
    return [([Message("user", row["question"])], row["answer"]) for row in rows]


def encode_chat(
    tokenizer: FolderTokenizer, messages: list[Message], answer: str
) -> tuple[list[int], list[int]]:
    """(token ids, mask): trained is the answer with its end of turn."""
    before = tokenizer.render(messages, open_answer=True)
    whole = tokenizer.render([*messages, Message("assistant", answer)]).rstrip("\n")
    prompt, all_tokens = (encoded.ids for encoded in tokenizer.encode([before, whole]))
    if all_tokens[: len(prompt)] != prompt or all_tokens[-1] != tokenizer.end_of_turn_id:
        raise SystemExit(
            "the prompt is not the beginning of the example, or it does not end its turn:"
            f" {whole!r}"
        )
    return all_tokens, [0] * len(prompt) + [1] * (len(all_tokens) - len(prompt))
