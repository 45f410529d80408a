"""Sentence vectors: as transformers gives them one text at a time, whatever else is in the
batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BertConfig, BertModel

from tunesmith.engine.sentence_encoder import SentenceEncoder
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(60))]
TEXTS = [
    "w1 w2 w3",
    "w4",
    "w5 w6 unknown w7 w8 w9",
    "",
    *(f"w{i} w{i + 1} " * (i % 9) for i in range(50)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    tokenizer.post_processor = TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=40)  # as the packaged one does: not wanted here
    tokenizer.save(str(place / "tokenizer.json"))
    return place


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder(folder, max_tokens=12)


def reference(folder: Path, text: str) -> np.ndarray:
    model = AutoModel.from_pretrained(str(folder), dtype=torch.float32).eval()
    words = [WORDS.index(word) if word in WORDS else 1 for word in text.split()]
    ids = torch.tensor([[2, *words[:10], 3]])  # 12 tokens in all
    with torch.no_grad():
        mean = model(input_ids=ids).last_hidden_state[0].mean(0)
    return (mean / mean.norm()).numpy()


def test_vectors_are_the_mean_of_the_hidden_states_at_length_1(
    encoder: SentenceEncoder, folder: Path
) -> None:
    rows = encoder.encode(TEXTS)
    assert rows.shape == (len(TEXTS), 32) and rows.dtype == np.float32
    assert_close_within_rounding(np.linalg.norm(rows, axis=1), np.ones(len(rows)))
    for i in (0, 1, 2, 3, 12):
        assert_close_within_rounding(rows[i], reference(folder, TEXTS[i]))


def test_a_text_has_the_same_vector_in_any_company(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = encoder.encode(TEXTS)
    monkeypatch.setattr("tunesmith.engine.sentence_encoder.MAX_BATCH_TOKENS", 30)
    assert_close_within_rounding(encoder.encode(TEXTS[::-1]), rows[::-1].copy())


def test_no_texts_make_no_rows(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, 32)
