"""The retrieval of a bundle finds what ours finds, ties and all, by words, by meaning and by
both."""

import json
import random
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel

from tunesmith.contenders.retrieval.prompt_augmentation import ExampleIndex
from tunesmith.contenders.retrieval.search_index import get_search_factory
from tunesmith.engine.sentence_encoder import SentenceEncoder
from tunesmith.records import Example, Message
from tunesmith.runs.contender_files import write_index

WORDS = ["[UNK]", *(f"w{i}" for i in range(40))]
FIND = """
import json, sys
from retrieve import find_nearest
print(json.dumps([[one["messages"][-1]["content"] for one in find_nearest(asked)] for asked in json.load(sys.stdin)]))
"""  # noqa: E501


class Encoder:
    """An `Embedder` around a folder."""

    name = "tiny"

    def __init__(self, folder: Path) -> None:
        self._encoder = SentenceEncoder(folder, max_tokens=12)

    def embed(self, texts: list[str]) -> np.ndarray:
        """Rows of length 1."""
        return self._encoder.encode(texts)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("encoder")
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(place)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(place / "tokenizer.json"))
    return place


@pytest.mark.parametrize("search", ["bm25", "dense", "hybrid"])
def test_a_bundle_finds_what_was_found(search: str, encoder: Path, tmp_path: Path) -> None:
    dice = random.Random(1)
    questions = [" ".join(dice.choices(WORDS[1:], k=dice.randint(1, 9))) for _ in range(150)]
    train = [
        Example(line=i, messages=(Message("user", text), Message("assistant", f"a{i}")))
        for i, text in enumerate([*questions, *questions[:9], " "])
    ]
    index = ExampleIndex(train, get_search_factory(search, Encoder(encoder)))  # type: ignore[arg-type]
    write_index(tmp_path, "index", index.entries, index.vectors)
    settings = {"k": 7, "search": search, "embedding_tokens": 12}
    (tmp_path / "prompt.json").write_text(json.dumps({"retrieval": settings}))
    shutil.copytree(encoder, tmp_path / "embedding")
    for name in ("messages.py", "retrieve.py"):
        (tmp_path / name).write_text(
            files("tunesmith.engine.standalone").joinpath(name).read_text()
        )
    texts = [*questions[:60], "w1 w2 unknown", "unknown", "", "W3. w3"]
    asked = [[{"role": "user", "content": text}] for text in texts]
    done = subprocess.run(
        [sys.executable, "-c", FIND],
        input=json.dumps(asked),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ours = index.find_nearest([(Message("user", text),) for text in texts], 7)
    assert json.loads(done.stdout) == [[one.answer for one in found] for found in ours]
