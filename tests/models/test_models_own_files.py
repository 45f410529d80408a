"""Files beside the weights that change answers: chat templates, an adapter's own tokenizer, ids
without a row."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer

from tunesmith.data.check import check_examples
from tunesmith.data.prepare import prepare_split
from tunesmith.data.read import read_dataset
from tunesmith.errors import DataError, ModelError
from tunesmith.models.resolve import resolve_model
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.providers.prompt_encoding import encode_prompts
from tunesmith.records import Message
from tunesmith.testing.tiny_model import CHATML

Make = Callable[..., Path]
TOOLS = [
    {
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
    }
]
ASKED = [Message("user", "one two")]


def put_template(folder: Path, name: str, text: str) -> None:
    path = folder / "additional_chat_templates" / f"{name}.jinja"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_an_additional_template_for_tools_is_used_for_tools_and_is_part_of_the_identity(
    make_folder: Make,
) -> None:
    folder = make_folder()
    before = resolve_model(str(folder)).files
    put_template(folder, "tool_use", "TOOLS " + CHATML)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.render(ASKED, TOOLS).startswith("TOOLS ")
    assert not tokenizer.render(ASKED).startswith("TOOLS ")
    added = resolve_model(str(folder)).files.keys() - before.keys()
    assert added == {"additional_chat_templates/tool_use.jinja"}


def test_named_templates_in_the_settings_are_chosen_in_the_same_way(make_folder: Make) -> None:
    folder = make_folder()
    (folder / "chat_template.jinja").unlink()
    named = [
        {"name": "default", "template": CHATML},
        {"name": "tool_use", "template": "TOOLS " + CHATML},
    ]
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": named}))
    assert load_tokenizer(folder).render(ASKED, TOOLS).startswith("TOOLS ")


def test_templates_without_a_default_are_named(make_folder: Make) -> None:
    folder = make_folder()
    (folder / "chat_template.jinja").unlink()
    put_template(folder, "rag", CHATML)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    assert caught.value.code == "model/no-chat-template" and "rag" in caught.value.got


def test_a_template_that_is_not_utf8_is_named(make_folder: Make) -> None:
    folder = make_folder()
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    assert caught.value.code == "model/bad-template" and "chat_template.jinja" in caught.value.at


@pytest.mark.parametrize("found", [1, ["x"], [{"name": 1, "template": "x"}], [{"name": "default"}]])
def test_a_template_of_another_type_is_refused(make_folder: Make, found: object) -> None:
    folder = make_folder()
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": found}))
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    assert caught.value.code == "model/broken-settings"


def test_an_adapters_own_template_and_tokenizer_are_used_and_are_part_of_the_identity(
    make_folder: Make, make_adapter: Make
) -> None:
    base = make_folder()
    adapter = make_adapter(str(base))
    (adapter / "chat_template.jinja").write_text("MINE " + CHATML)
    identity = resolve_model(str(adapter))
    assert identity.files.keys() > {"adapter/chat_template.jinja", "chat_template.jinja"}
    tokenizer = load_tokenizer(identity.folder, identity.adapter)
    assert tokenizer.render(ASKED).startswith("MINE ")
    assert tokenizer.origin == str(adapter / "chat_template.jinja")
    assert tokenizer.tokenizer_sha256 == load_tokenizer(base).tokenizer_sha256


def test_an_adapters_template_replaces_every_template_of_the_base(
    make_folder: Make, make_adapter: Make
) -> None:
    base = make_folder()
    put_template(base, "tool_use", "TOOLS " + CHATML)
    adapter = make_adapter(str(base))
    (adapter / "chat_template.jinja").write_text("MINE " + CHATML)
    assert load_tokenizer(base, adapter).render(ASKED, TOOLS).startswith("MINE ")


def enlarged(folder: Path) -> Path:
    """A tokenizer with one more token than the model has rows."""
    core = Tokenizer.from_file(str(folder / "tokenizer.json"))
    core.add_tokens([AddedToken("quokka", normalized=False)])
    core.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    rows = core.token_to_id("quokka")
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": rows}))
    return folder


def test_examples_with_tokens_past_the_embedding_are_named_by_check_and_refused(
    make_folder: Make, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(enlarged(make_folder()))
    (beyond,) = tokenizer.ids_without_embedding
    rows = [
        {"prompt": f"{number} {word}", "completion": "yes"}
        for number, word in enumerate(("dog", "quokka", "fox"))
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = read_dataset(tmp_path / "data.jsonl")
    (problem,) = [
        p
        for p in check_examples(loaded, None, tokenizer, 100).problems
        if p.code == "data/no-embedding"
    ]
    assert (problem.severity, problem.lines) == ("error", (2,)) and str(beyond) in problem.message
    with pytest.raises(DataError) as caught:
        prepare_split("train", loaded.examples, tokenizer, 100)
    assert caught.value.code == "data/no-embedding" and "line 2" in caught.value.at
    first, second = encode_prompts(tokenizer, [ASKED, [Message("user", "a quokka")]])
    assert first.error is None and f"ids {beyond}" in (second.error or "")


def test_an_end_of_turn_past_the_embedding_is_refused(make_folder: Make) -> None:
    folder = make_folder()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 1}))
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    assert caught.value.code == "model/tokenizer-misfit" and "<|im_end|> (id 1)" in caught.value.got


def test_an_embedding_with_more_rows_than_the_tokenizer_has_tokens_is_usual(
    make_folder: Make,
) -> None:
    assert load_tokenizer(make_folder(vocab_size=400)).ids_without_embedding == frozenset()


def test_a_folder_with_an_older_vocabulary_only_says_how_to_make_a_tokenizer(
    make_folder: Make,
) -> None:
    folder = make_folder()
    (folder / "tokenizer.json").rename(folder / "vocab.json")
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    assert caught.value.code == "model/no-tokenizer"
    assert "vocab.json" in caught.value.got and "save_pretrained" in caught.value.hint
