"""Answers held to a form by the engine: masks, JSON schemas; and how likely given answers are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.engine.generation import best_label_search, decoding_batch, sequence_logprobs
from tunesmith.engine.generation.json_constraint import JsonGrammar
from tunesmith.engine.generation.sampling import Sampling
from tunesmith.engine.generator import Generator
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.errors import UsageError
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding
from tunesmith.testing.tiny_model import write_tiny_tokenizer

PROMPTS = [[1, 20, 21, 22], [1, 20, 21, 30, 31], [1, 9]]
ROWS = 420  # of the output head, which is larger than the tokenizer's vocabulary, as many are


def test_a_mask_is_worth_the_ids_that_it_allows(tiny: LoadedModel) -> None:
    allowed = [5, 9, 40, 41]
    mask = torch.zeros(64, dtype=torch.bool)
    mask[allowed] = True
    for sampling in (Sampling(), Sampling(1.5, 0.9, 7)):
        by_ids = Generator(tiny).generate(
            PROMPTS, 8, set(), sampling=sampling, constraints=[lambda so_far: allowed] * 3
        )
        by_mask = Generator(tiny).generate(
            PROMPTS, 8, set(), sampling=sampling, constraints=[lambda so_far: mask] * 3
        )
        assert [answer.tokens for answer in by_mask] == [answer.tokens for answer in by_ids]
        assert {token for answer in by_mask for token in answer.tokens} <= set(allowed)


@pytest.mark.parametrize("length", [10, 64, 100])
def test_what_a_mask_does_not_reach_may_not_come(tiny: LoadedModel, length: int) -> None:
    answers = Generator(tiny).generate(
        PROMPTS, 8, set(), constraints=[lambda so_far: torch.ones(length) > 0] * 3
    )
    assert max(token for answer in answers for token in answer.tokens) < length


def test_a_mask_that_allows_nothing_is_an_error(tiny: LoadedModel) -> None:
    with pytest.raises(UsageError, match="nothing-allowed"):
        Generator(tiny).generate(
            PROMPTS, 8, set(), constraints=[lambda so_far: torch.zeros(64) > 0] * 3
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a tokenizer that can spell anything."""
    folder = write_tiny_tokenizer(tmp_path_factory.mktemp("speller"), eos_token="<|im_end|>")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=ROWS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def speller(folder: Path) -> LoadedModel:
    return load_model(folder, "float32")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> FolderTokenizer:
    return load_tokenizer(folder)


def record(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


FEW = record(
    kind={"type": "string", "enum": ["café", 'a "quoted" one', "ab", "a"]},
    right={"type": "boolean"},
    many={
        "type": "array",
        "items": {"type": "string", "enum": ["x", "yy"]},
        "minItems": 1,
        "maxItems": 2,
    },
    part={"anyOf": [record(a={"type": "null"}), {"type": "null"}]},
)


def fits(value: Any) -> bool:
    return (
        list(value) == ["kind", "right", "many", "part"]
        and value["kind"] in ("café", 'a "quoted" one', "ab", "a")
        and isinstance(value["right"], bool)
        and 1 <= len(value["many"]) <= 2
        and set(value["many"]) <= {"x", "yy"}
        and value["part"] in (None, {"a": None})
    )


def test_answers_of_a_model_that_knows_nothing_parse_and_fit(
    speller: LoadedModel, folder: Path, tokenizer: FolderTokenizer
) -> None:
    grammar = JsonGrammar(folder / "tokenizer.json", FEW, [1])
    count = 60
    answers = Generator(speller).generate(
        [[0, 30, 31]] * count,
        150,
        {1},
        sampling=[Sampling(3.0, 1.0, seed) for seed in range(count)],
        constraints=[grammar.build_constraint() for _ in range(count)],
    )
    texts = [tokenizer.decode(answer.tokens) for answer in answers if answer.is_complete]
    assert len(texts) > count / 2 and len(set(texts)) > 10
    assert all(fits(json.loads(text)) for text in texts)


@pytest.mark.parametrize(
    "schema",
    [FEW, record(free={"type": "string"}), {"type": "array", "items": {"type": "integer"}}],
)
def test_a_held_answer_is_greedy_among_what_is_allowed(
    speller: LoadedModel, folder: Path, schema: dict[str, Any]
) -> None:
    """Against whole forward passes, one token at a time; the answers stay valid beginnings where
    they are cut."""
    grammar = JsonGrammar(folder / "tokenizer.json", schema, [1])
    answers = Generator(speller).generate(
        PROMPTS, 40, {1}, constraints=[grammar.build_constraint() for _ in PROMPTS]
    )
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        constraint, so_far = grammar.build_constraint(), list[int]()
        while len(so_far) < 40:
            with torch.no_grad():
                logits = speller.model(input_ids=torch.tensor([prompt + so_far])).logits[0, -1]
            mask = constraint(so_far)
            logits[: len(mask)][~mask] = float("-inf")
            logits[len(mask) :] = float("-inf")
            token = int(logits.argmax())
            if token == 1:
                break
            so_far.append(token)
        assert (answer.tokens, answer.is_complete) == (so_far, len(so_far) < 40)


def allowed_after(grammar: JsonGrammar, tokenizer: FolderTokenizer, text: str) -> bool:
    """Whether an answer may be this text and then end."""
    ids = tokenizer.encode([text])[0].ids
    constraint = grammar.build_constraint()
    return all(constraint(ids[:t])[token] for t, token in enumerate([*ids, 1]))


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ('{"a":"x","n":1}', True),
        ('{"a": "x", "n": -10}', True),
        (json.dumps({"a": "é\n", "n": 0}, indent=2, ensure_ascii=False), True),
        (json.dumps({"a": "é", "n": 0}), False),  # é is written as itself
        (json.dumps({"a": "é\n😀", "n": 0}, ensure_ascii=False), True),
        ('{"n": 1, "a": "x"}', False),
        ('{"a": "x", "n": 1.5}', False),
        ('{"a": "x"}', False),
        ('{"a": "x", "n": 1, "b": 2}', False),
        ('{"a": "x",  "n": 1}', False),
        (' {"a": "x", "n": 1}', False),
        ('{"a": "x", "n": 1} ', False),
        ('{"a": "tab\there", "n": 1}', False),
    ],
)
def test_what_a_schema_allows(
    folder: Path, tokenizer: FolderTokenizer, text: str, is_allowed: bool
) -> None:
    grammar = JsonGrammar(
        folder / "tokenizer.json", record(a={"type": "string"}, n={"type": "integer"}), [1]
    )
    assert allowed_after(grammar, tokenizer, text) == is_allowed


def test_control_tokens_are_no_part_of_a_text_and_every_stop_token_ends_it(folder: Path) -> None:
    grammar = JsonGrammar(folder / "tokenizer.json", {"type": "string"}, [0, 1])
    constraint = grammar.build_constraint()
    quote = load_tokenizer(folder).encode(['"'])[0].ids
    assert not constraint(quote)[[0, 1]].any()
    assert constraint([*quote, *quote]).nonzero()[:, 0].tolist() == [0, 1]


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


BOMBS = {
    "at most 262,144 are supported": {"enum": ["x" * 300_000]},
    "levels; at most 100": deep(200),
    "more than 100 levels": deep(100_000),
    "Invalid type": {"type": "nope"},
    "Unsatisfiable schema": {"allOf": [{"type": "string"}, {"type": "integer"}]},
    "NoExtensionBias": {"$ref": "#"},
    "Unimplemented keys": {"not": {}},
}


@pytest.mark.parametrize("found", BOMBS)
def test_schemas_that_cannot_be_kept_are_refused(folder: Path, found: str) -> None:
    with pytest.raises(UsageError, match=found) as raised:
        JsonGrammar(folder / "tokenizer.json", BOMBS[found], [1])
    assert raised.value.code == "usage/form-not-enforced" and len(str(raised.value)) < 500


def test_the_words_of_a_refused_schema(folder: Path) -> None:
    with pytest.raises(UsageError) as raised:
        JsonGrammar(folder / "tokenizer.json", {"type": "nope"}, [1])
    assert str(raised.value) == (
        "error[usage/form-not-enforced]: outputs cannot be constrained to this JSON schema\n "
        " got: Invalid type: nope\n  hint: use a smaller schema; or set "
        "evaluation.constrained to false"
    )


TEXTS = [
    [1, 20, 21, 22, 23],
    [1, 20, 21, 30],
    [1, 20, 21, 30, 2],
    [9, 8, 7],
    [5, 6],
    [1, 20, 21, 22, 23],
]
BEGINS = [3, 2, 4, 1, 0, 1]


def expected_of(model: Any, text: list[int], begin: int) -> float:
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([text])).logits[0].log_softmax(-1)
    return sum(float(logp[t - 1, text[t]]) for t in range(max(begin, 1), len(text)))


@pytest.mark.parametrize("at_once", [2, 128])
def test_log_probabilities_are_those_of_the_model(
    tiny: LoadedModel, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence_logprobs, "MAX_CHUNK_TEXTS", at_once)
    told: list[tuple[int, int]] = []
    found = Generator(tiny).compute_log_probabilities(
        TEXTS, BEGINS, lambda ready, wanted: told.append((ready, wanted))
    )
    assert_close_within_rounding(
        found, [expected_of(tiny.model, *text) for text in zip(TEXTS, BEGINS, strict=True)]
    )
    assert told[-1] == (6, 6)


def test_log_probabilities_agree_with_label_scores(tiny: LoadedModel) -> None:
    labels = [[20, 21, 2], [20, 2], [40, 41, 42, 2]]
    scores = Generator(tiny).score_labels(PROMPTS, labels)
    texts = [prompt + label for prompt in PROMPTS for label in labels]
    begins = [len(prompt) for prompt in PROMPTS for _ in labels]
    found = Generator(tiny).compute_log_probabilities(texts, begins)
    assert_close_within_rounding(np.reshape(found, (3, 3)), scores)


def test_nothing_asked_nothing_found_and_the_model_stays_in_training(tiny: LoadedModel) -> None:
    tiny.model.train()
    assert Generator(tiny).compute_log_probabilities([], []) == []
    Generator(tiny).compute_log_probabilities(TEXTS, BEGINS)
    assert tiny.model.training


LABEL = st.lists(st.integers(3, 9), min_size=1, max_size=4).map(lambda label: [*label, 2])


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    labels=st.lists(LABEL, min_size=1, max_size=30, unique_by=tuple),
    with_less=st.booleans(),
    most=st.sampled_from([1, 3, 128]),
    steps=st.sampled_from([1, 2, 4, 1000]),
)
def test_the_likeliest_label_is_that_of_all_scores(
    tiny: LoadedModel, labels: list[list[int]], with_less: bool, most: int, steps: int
) -> None:
    prompts = [*PROMPTS, *([1, *range(10, 60), tail] for tail in range(5)), [4]]
    less = (
        torch.rand(len(prompts), len(labels), generator=torch.Generator().manual_seed(0)) * 8
        if with_less
        else None
    )
    told: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(best_label_search, "MAX_SEQUENCES", most)
        patch.setattr(best_label_search, "MAX_STEPS", steps)
        found = Generator(tiny).find_best_labels(
            prompts, labels, lambda *ready: told.append(ready), less=less
        )
    scores = Generator(tiny).score_labels(prompts, labels) - (0 if less is None else less)
    best = scores.max(-1).values
    assert_close_within_rounding([float(scores[p, a]) for p, a in enumerate(found)], best)
    assert told[-1] == (len(prompts), len(prompts))


def test_labels_that_cannot_be_the_likeliest_are_not_computed(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is sure of the first label, which `less` says: no other one is fed."""
    labels = [[first, second, 2] for first in range(10, 30) for second in range(30, 50)]
    less = torch.full((3, 400), 30.0)
    less[:, 0] = 0.0
    fed: list[int] = []
    original = decoding_batch.run_pass

    def counting(model, parts, windows):  # type: ignore[no-untyped-def]
        fed.append(sum(len(part.tokens_N) for part in parts))
        return original(model, parts, windows)

    Generator(tiny).find_best_labels(PROMPTS, labels)  # the probe of the model has been
    monkeypatch.setattr(decoding_batch, "run_pass", counting)
    assert Generator(tiny).find_best_labels(PROMPTS, labels, less=less) == [0, 0, 0]
    assert fed == [sum(map(len, PROMPTS)), 3, 3]


def test_of_equally_likely_labels_the_first_is_taken(tiny: LoadedModel) -> None:
    assert Generator(tiny).find_best_labels(PROMPTS, [[9, 2], [9, 2], [9, 2]]) == [0, 0, 0]


def test_an_empty_label_has_no_likelihood(tiny: LoadedModel) -> None:
    with pytest.raises(UsageError, match="empty-label"):
        Generator(tiny).find_best_labels(PROMPTS, [[1], []])
    assert Generator(tiny).find_best_labels([], [[1]]) == []


def test_label_scores_tell_how_far_they_are(tiny: LoadedModel) -> None:
    told: list[tuple[int, int]] = []
    Generator(tiny).score_labels(
        PROMPTS, [[20], [21, 22]], lambda ready, wanted: told.append((ready, wanted))
    )
    assert told[-1] == (3, 3) and [ready for ready, _ in told] == sorted(ready for ready, _ in told)
