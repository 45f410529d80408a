"""Conversations through chat templates of several families, and chat templates themselves."""

import json
import random
import tempfile
from functools import cache
from pathlib import Path

from tests.chats.conversations import conversation, written_by_others
from tests.chats.templates import FAMILIES
from tests.fuzz.target import Target
from tunesmith.data.check import check_examples
from tunesmith.data.prepare import prepare_split, prove_mask
from tunesmith.data.read import read_dataset
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.records import Message
from tunesmith.testing.tiny_model import write_tiny_tokenizer

CALL = {
    "id": "abc123456",
    "type": "function",
    "function": {"name": "f", "arguments": {"a": [1, "b"]}},
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
CHAT = (
    Message("user", "q"),
    Message("assistant", "", tool_calls=(CALL,)),
    Message("tool", "r", name="f", tool_call_id="abc123456"),
    Message("assistant", "a", reasoning="t"),
)


@cache
def tokenizers() -> list[FolderTokenizer]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            load_tokenizer(family.write(Path(folder) / name)) for name, family in FAMILIES.items()
        ]


def render_conversations(data: bytes, folder: Path) -> object:
    """JSON Lines: checked with every family, and prepared with the first that takes all of them."""
    path = folder / "d.jsonl"
    path.write_bytes(data)
    loaded = read_dataset(path)
    for tokenizer in tokenizers():
        report = check_examples(loaded, tokenizer=tokenizer, max_tokens=1_000)
        if not any(problem.code != "data/too-few" for problem in report.errors):
            prepared, arrays = prepare_split("train", loaded.examples, tokenizer, 1_000)
            prove_mask(arrays, tokenizer, loaded.examples)
            return prepared
    return report


def render_with_template(data: bytes, folder: Path) -> object:
    """The bytes as the template of a tokenizer."""
    template = data.decode("utf-8", "replace")
    tokenizer = load_tokenizer(write_tiny_tokenizer(folder, template, eos_token="<|im_end|>"))
    return tokenizer.render(CHAT, TOOLS), tokenizer.render(CHAT[:1], open_answer=True)


def conversations() -> list[bytes]:
    seeds = []
    for number in range(12):
        pick = random.Random(number).choice
        rows = [written_by_others(conversation(pick), pick) for _ in range(2)]
        seeds.append("".join(json.dumps(row) + "\n" for row in rows).encode())
    return seeds


def templates() -> list[bytes]:
    return [family.template.encode() for family in FAMILIES.values()]


TARGETS = (
    Target("conversations", render_conversations, conversations),
    Target("chat_templates", render_with_template, templates),
)
