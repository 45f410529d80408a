"""200 varied conversations through eight families of templates: text, token ids and loss mask equal
transformers'.

Both begin with the same conversation; ours is first written in a form that people have it in (older
calls, JSON text, ShareGPT, other names of weights and reasoning) and read back. Text and integers,
so there is no tolerance. What our proof refuses must be refused by transformers too, or be missing
in its text.
"""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import random
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tests.chats.conversations import conversation, written_by_others
from tests.chats.templates import FAMILIES, Family
from tunesmith.data.prepare import prepare_split
from tunesmith.data.read.data_formats import detect_format, read_example
from tunesmith.data.render import Renderer, RenderError
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.records import Example

Chat = dict[str, Any]
COUNT = 200


def as_read(row: Chat) -> Example:
    rule = detect_format([row])
    assert rule is not None
    return read_example(rule, row, 1, None)


@pytest.fixture(scope="module")
def chats() -> list[tuple[Chat, Example]]:
    """Each conversation, and the example that another form of it is read as."""
    made = []
    for number in range(COUNT):
        pick = random.Random(number).choice
        chat = conversation(pick)
        made.append((chat, as_read(written_by_others(chat, pick))))
    return made


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Family, FolderTokenizer, PreTrainedTokenizerBase]:
    family = FAMILIES[request.param]
    folder = family.write(tmp_path_factory.mktemp(request.param))
    return family, load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)


def as_theirs(family: Family, chat: Chat) -> list[Chat]:
    """The conversation for transformers: whoever asks it knows which form of arguments the template
    takes."""
    messages: list[Chat] = json.loads(json.dumps(chat["messages"]))
    for message in messages:
        message.pop("weight", None)
        for call in message.get("tool_calls", ()) if family.takes_text else ():
            call["function"]["arguments"] = json.dumps(
                call["function"]["arguments"], ensure_ascii=False
            )
    return messages


def applied(theirs: PreTrainedTokenizerBase, messages: list[Chat], chat: Chat, **asked: Any) -> Any:
    """What transformers makes of it, None where its template refuses."""
    try:
        return theirs.apply_chat_template(messages, tools=chat.get("tools"), **asked)
    except Exception as error:  # transformers lets whatever the template raises through
        assert type(error).__name__ in ("TemplateError", "UndefinedError", "TypeError")
        return None


def test_text_ids_and_mask_equal_transformers(
    sides: tuple[Family, FolderTokenizer, PreTrainedTokenizerBase],
    chats: list[tuple[Chat, Example]],
) -> None:
    family, ours, theirs = sides
    same = refused = 0
    for chat, example in chats:
        messages = as_theirs(family, chat)
        whole = applied(theirs, messages, chat, tokenize=False)
        prompt = applied(theirs, messages[:-1], chat, tokenize=False, add_generation_prompt=True)
        try:
            text = Renderer(ours).render(example).text
        except RenderError as refusal:
            refused += 1
            assert is_right(refusal, family, chat, whole), (refusal.slug, refusal.got, chat)
            continue
        same += 1
        assert whole.startswith(text) and not whole[len(text) :].strip()
        assert ours.render(example.messages[:-1], example.tools, open_answer=True) == prompt
        _, arrays = prepare_split("train", [example], ours, 100_000)
        assert (
            arrays.tokens_N.tolist()
            == theirs(whole, add_special_tokens=False)["input_ids"][: len(arrays.tokens_N)]
        )
        if family.marks and all(message.get("weight") is None for message in chat["messages"]):
            marked = applied(
                theirs,
                messages,
                chat,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
            assert arrays.weights_N.tolist() == marked["assistant_masks"][: len(arrays.weights_N)]
    assert same >= COUNT // 3 and same + refused == COUNT


def is_right(refusal: RenderError, family: Family, chat: Chat, whole: str | None) -> bool:
    """Whether transformers' template refuses it too, or does not write what we say it does not
    write."""
    if refusal.slug == "template-refused":
        return whole is None or "IDs" in refusal.got  # the older form of a call has none
    parts = {
        "tool definitions": "tools" in chat and "tools" not in family.writes,
        "tool calls": (
            "calls" not in family.writes and any("tool_calls" in m for m in chat["messages"])
        ),
        "reasoning": (
            "reasoning" not in family.writes
            and any("reasoning_content" in m for m in chat["messages"])
        ),
        "text of answers that call tools": (
            "text with calls" not in family.writes
            and any("tool_calls" in m and m["content"] for m in chat["messages"])
        ),
    }
    missing = {what for what, is_missing in parts.items() if is_missing}
    return (
        refusal.slug == "template-drops"
        and set(refusal.got.partition("does not render: ")[2].split(", ")) == missing
    )
