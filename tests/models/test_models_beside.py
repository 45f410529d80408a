"""What a tokenizer and a chat template do unasked: tokens beside the file, BOS before texts, dates,
trimmed answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, processors

from tunesmith.data.cache import prepare_with_cache
from tunesmith.data.check import check_examples
from tunesmith.data.prepare import prepare_split
from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.errors import ModelError
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.records import Problem
from tunesmith.testing.tiny_model import CHATML, write_tiny_tokenizer

END = "<|im_end|>"


def folder_with(
    tmp_path: Path, template: str = CHATML, files: dict[str, Any] | None = None, **named: str
) -> Path:
    folder = write_tiny_tokenizer(
        tmp_path / "m", template, ("<|im_start|>", END, "<s>"), eos_token=END, **named
    )
    for name, content in (files or {}).items():
        path = folder / name
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(before | content), encoding="utf-8")
    return folder


def read(tmp_path: Path, rows: list[dict[str, Any]]) -> LoadedDataset:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_dataset(path)


def problems(loaded: LoadedDataset, tokenizer: FolderTokenizer) -> dict[str, Problem]:
    return {
        problem.code: problem for problem in check_examples(loaded, tokenizer=tokenizer).problems
    }


TOKEN = {"content": "<tool>", "special": True}


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config.json": {"added_tokens_decoder": {"398": TOKEN}}},
        {"tokenizer_config.json": {"additional_special_tokens": ["<tool>"]}},
        {"tokenizer_config.json": {"extra_special_tokens": {"tool_token": "<tool>"}}},
        {"special_tokens_map.json": {"additional_special_tokens": [TOKEN]}},
        {"added_tokens.json": {"<tool>": 398}},
    ],
)
def test_tokens_that_only_the_settings_name_are_refused(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match="tokens-beside") as refused:
        load_tokenizer(folder_with(tmp_path, files=files))
    assert refused.value.got == "'<tool>'"


def test_a_pad_token_beside_the_file_harms_nobody_and_known_tokens_may_be_named(
    tmp_path: Path,
) -> None:
    files = {
        "added_tokens.json": {"[PAD]": 398, END: 1},
        "tokenizer_config.json": {
            "added_tokens_decoder": {"0": {"content": "<|im_start|>"}},
            "pad_token": "[PAD]",
        },
    }
    assert load_tokenizer(folder_with(tmp_path, files=files)).end_of_turn == END


@pytest.mark.parametrize("adds_bos", [True, False])
def test_a_plain_text_begins_as_the_tokenizer_begins_texts(tmp_path: Path, adds_bos: bool) -> None:
    folder = folder_with(tmp_path, bos_token="<s>")
    if adds_bos:
        core = Tokenizer.from_file(str(folder / "tokenizer.json"))
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 2)]
        )
        core.save(str(folder / "tokenizer.json"))
    tokenizer = load_tokenizer(folder)
    _, arrays = prepare_split(
        "train", read(tmp_path, [{"text": "the quick <s> fox"}]).examples, tokenizer, 100
    )
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)("the quick ").input_ids
    assert arrays.tokens_N[: len(theirs) - 1].tolist() == theirs[:-1]
    assert (arrays.tokens_N == 2).sum() == adds_bos  # the one in the text stays a text
    assert arrays.weights_N[1:].all()
    assert arrays.weights_N[0] == 0
    assert arrays.tokens_N[-1] == tokenizer.end_of_turn_id


DATED = "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %B %Y') + '<|im_end|>\n' }}" + CHATML


def test_a_template_that_tells_the_date_is_named(tmp_path: Path) -> None:
    loaded = read(tmp_path, [{"prompt": "q", "completion": "a"}])
    assert "data/template-tells-date" in problems(
        loaded, load_tokenizer(folder_with(tmp_path, DATED))
    )
    assert "data/template-tells-date" not in problems(loaded, load_tokenizer(folder_with(tmp_path)))


def test_tokens_of_another_day_are_not_recalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tunesmith.data.cache.MIN_EXAMPLES", 0)
    examples = read(tmp_path, [{"prompt": "q", "completion": "a"}]).examples
    for template, kept in ((DATED, 2), (CHATML, 1)):
        tokenizer = load_tokenizer(folder_with(tmp_path, template))
        for day in ("2026-11-29", "2026-11-30"):
            monkeypatch.setattr("tunesmith.data.cache.date", _Day(day))
            prepare_with_cache("train", examples, tokenizer, 100, "answers", "sft")
        made = list((tmp_path / "home" / "prepared").iterdir())
        assert len(made) == kept
        for path in made:
            path.unlink()


class _Day:
    def __init__(self, text: str) -> None:
        self._text = text

    def today(self) -> "_Day":
        return self

    def isoformat(self) -> str:
        return self._text


TRIMMED = CHATML.replace("message['content']", "message['content'] | trim")


def test_an_indentation_that_the_template_takes_off_is_named(tmp_path: Path) -> None:
    rows = [
        {"prompt": "def f(x):", "completion": answer}
        for answer in ("return x", "    return x", "\n\treturn x\n", " ")
    ]
    trims, keeps = (
        load_tokenizer(folder_with(tmp_path / name, template))
        for name, template in (("trims", TRIMMED), ("keeps", CHATML))
    )
    loaded = read(tmp_path, rows)
    assert problems(loaded, trims)["data/indent-trimmed"].lines == (2, 3)
    assert "data/indent-trimmed" not in problems(loaded, keeps)


def test_data_rendered_before_is_refused_and_a_word_about_templates_is_not(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder_with(tmp_path))
    plain = [{"prompt": f"question {i}", "completion": "answer"} for i in range(10)]
    about = {"prompt": "What does <|im_end|> mean?", "completion": "The end of a turn."}
    told = problems(read(tmp_path, [*plain, about]), tokenizer)
    assert told["data/control-token"].severity == "warning"
    rendered = [
        {"prompt": f"[INST] question {i} [/INST]", "completion": "answer"} for i in range(10)
    ]
    assert (
        problems(read(tmp_path, rendered), tokenizer)["data/rendered-already"].severity == "error"
    )


@pytest.mark.parametrize(
    ("end", "is_mark"),
    [
        ("\n### Response:", True),
        ("\n### Assistant: ", True),
        ("\nASSISTANT:\n", True),
        ("\nAnswer:", False),
        (" with the model: x", False),
        ("\nprice:", False),
    ],
)
def test_prompts_that_open_the_answer_themselves_are_named(
    tmp_path: Path, end: str, is_mark: bool
) -> None:
    loaded = read(
        tmp_path, [{"prompt": f"question {i}{end}", "completion": "a"} for i in range(10)]
    )
    assert ("data/answer-mark" in {p.code for p in check_examples(loaded).problems}) is is_mark
