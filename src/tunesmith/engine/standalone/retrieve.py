"""The entries nearest to a question: by words (BM25 as in Lucene), by meaning, or by both ranks.

BM25 in Lucene's variant has k1 1.5 and b 0.75. index.jsonl holds the texts, index.safetensors their
sentence embeddings, embedding/ the model that embeds the question.
"""

import json
import math
import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from messages import BUNDLE_FOLDER, PROMPT  # type: ignore[import-not-found]  # next to this file in a bundle

SETTINGS = PROMPT["retrieval"]
ENTRIES = [json.loads(line) for line in (BUNDLE_FOLDER / "index.jsonl").read_bytes().splitlines()]


def get_question(messages: list[dict[str, Any]]) -> str:
    """The text of the last user turn."""
    return next(
        (message["content"] for message in reversed(messages) if message["role"] == "user"), ""
    )


def list_turns(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(role, content) of the conversation's turns, without its system message."""
    return [
        (message["role"], message["content"]) for message in messages if message["role"] != "system"
    ]


# Lao, Thai, Myanmar, Khmer, kana, CJK ideographs: scripts that put no spaces between words.
UNSPACED_PATTERN = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)


def tokenize_words(text: str) -> list[str]:
    """Lower-case words, the trigrams of each word with its ends marked, and character pairs of
    scripts that put no spaces between words."""
    words, runs = re.findall(r"\w+", text.lower()), re.findall(UNSPACED_PATTERN, text.lower())
    trigrams = [f"^{word}$"[i : i + 3] for word in words for i in range(len(word))]
    return words + trigrams + [run[i : i + 2] for run in runs for i in range(max(1, len(run) - 1))]


TEXTS = [
    entry["text"] if "text" in entry else get_question(entry["messages"][:-1]) for entry in ENTRIES
]
TURNS = [list_turns(entry.get("messages", [])[:-1]) for entry in ENTRIES]
COUNTS = [Counter(tokenize_words(text)) for text in TEXTS]
LENGTHS = np.array([count.total() for count in COUNTS] or [0])
POSTINGS: dict[str, list[tuple[int, float]]] = defaultdict(list)
DOCUMENT_FREQUENCIES = Counter(word for count in COUNTS for word in count)
IDF = {
    w: np.float32(math.log(1 + (len(TEXTS) - df + 0.5) / (df + 0.5)))
    for w, df in DOCUMENT_FREQUENCIES.items()
}
for place, count in enumerate(COUNTS):
    norm = 1.5 * ((1 - 0.75) + 0.75 * LENGTHS[place] / LENGTHS.mean())
    for word, n in count.items():
        POSTINGS[word].append((place, float(IDF[word]) * (n / (norm + n))))


def search_by_words(question: str, left_out: list[int], k: int) -> list[int]:
    """Indices of the best k texts that share a word with the question, best first."""
    scores = np.zeros(len(TEXTS), np.float32)
    for word in tokenize_words(question):
        for place, score in POSTINGS.get(word, ()):
            scores[place] += np.float32(score)
    scores[left_out] = 0
    return [int(place) for place in np.argsort(-scores, kind="stable")[:k] if scores[place] > 0]


def search_by_meaning(question: str, left_out: list[int], k: int) -> list[int]:
    """Indices of the k texts with the nearest embeddings, nearest first."""
    if not question.strip() or not TEXTS:
        return []
    # Rounded, so that ties are broken by index and not by the order of float sums.
    cosines = np.round(embed(question) @ VECTORS.T, 6)
    cosines[left_out] = -np.inf
    return [
        int(place)
        for place in np.argsort(-cosines, kind="stable")[:k]
        if np.isfinite(cosines[place])
    ]


def find_nearest(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Up to k entries, nearest first; never the conversation that is being answered."""
    question, k = get_question(messages), SETTINGS["k"]
    left_out = [i for i, turns in enumerate(TURNS) if turns and turns == list_turns(messages)]
    if SETTINGS["search"] != "hybrid":
        places = (search_by_words if SETTINGS["search"] == "bm25" else search_by_meaning)(
            question, left_out, k
        )
        return [ENTRIES[place] for place in places]
    # Reciprocal rank fusion with the usual constant 60.
    joined: dict[int, float] = defaultdict(float)
    for search in (search_by_words, search_by_meaning):
        for rank, place in enumerate(search(question, left_out, max(100, k)), start=1):
            joined[place] += 1 / (60 + rank)
    return [
        ENTRIES[place] for place in sorted(joined, key=lambda place: (-joined[place], place))[:k]
    ]


if SETTINGS["search"] != "bm25":
    import torch
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from transformers import AutoModel

    VECTORS = load_file(BUNDLE_FOLDER / "index.safetensors")["vectors"].astype(np.float64)
    TOKENIZER = Tokenizer.from_file(str(BUNDLE_FOLDER / "embedding" / "tokenizer.json"))
    TOKENIZER.enable_truncation(SETTINGS["embedding_tokens"])
    TOKENIZER.no_padding()
    MODEL = AutoModel.from_pretrained(
        str(BUNDLE_FOLDER / "embedding"), dtype=torch.float32, use_safetensors=True
    ).eval()

    @torch.inference_mode()
    def embed(text: str) -> Any:
        """The mean of the last hidden states, normalized to length 1."""
        hidden = MODEL(input_ids=torch.tensor([TOKENIZER.encode(text).ids])).last_hidden_state[0]
        return torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()
