"""The local model held to a form: the contract, the likeliest label, and likelihoods of given
answers."""

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.errors import UsageError
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.providers.label_completer import CONTENT_FREE, LabelCompleter
from tunesmith.providers.local_completer import LocalCompleter
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.records import Completer, Message, ModelIdentity, OutputConstraint, Prompt
from tunesmith.testing.completer_conformance import CompleterConformance
from tunesmith.testing.tiny_model import write_tiny_tokenizer

LABELS = ("yes", "no", "yes, but", "<|im_end|>")
LABEL_FORM = OutputConstraint(labels=LABELS)
JSON_FORM = OutputConstraint(
    json_schema={
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b", "cc"]},
            "right": {"type": "boolean"},
        },
        "required": ["kind", "right"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    from tunesmith.engine.model_loading import load_model

    folder = write_tiny_tokenizer(tmp_path_factory.mktemp("speller"), eos_token="<|im_end|>")
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=420,
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
    identity = ModelIdentity(
        name="tiny", source="folder", revision=None, folder=str(folder), files={}
    )
    return LocalModel(
        ResolvedModel(identity, load_tokenizer(folder), 512), load_model(folder, "float32"), 32
    )


class _Local(CompleterConformance):
    form: OutputConstraint
    is_calibrated = False

    @pytest.fixture(autouse=True)
    def _model(self, model: LocalModel) -> None:
        self.model = model

    def make_completer(self) -> Completer:
        return self.model.create_completer(60, self.form, is_calibrated=self.is_calibrated)


class TestLabels(_Local):
    form = LABEL_FORM


class TestCalibratedLabels(_Local):
    form = LABEL_FORM
    is_calibrated = True


class TestJson(_Local):
    form = JSON_FORM


def asked(question: str) -> Prompt:
    return (
        Message("system", "answer"),
        Message("user", "one"),
        Message("assistant", "yes"),
        Message("user", question),
    )


QUESTIONS = [
    asked(question)
    for question in ("one two", "the quick brown fox", "lazy <|im_end|> dog", "x", "five")
]


def label_scores(model: LocalModel, prompt: Prompt) -> list[float]:
    """By whole forward passes of the model: the label's tokens and the end of turn."""
    tokenizer = model.resolved.tokenizer
    spelled = len(prompt[-1].content)
    text = tokenizer.render(prompt, open_answer=True)
    at = text.rindex(prompt[-1].content)
    begin = tokenizer.encode([text], [[(at, at + spelled)]])[0].ids
    scores = []
    for label in LABELS:
        ids = begin + tokenizer.encode([label], [[(0, len(label))]])[0].ids + [1]
        with torch.no_grad():
            logp = model.loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        scores.append(sum(float(logp[t - 1, ids[t]]) for t in range(len(begin), len(ids))))
    return scores


def test_the_likeliest_label_is_taken_end_of_turn_included(model: LocalModel) -> None:
    answers = model.create_completer(60, LABEL_FORM).complete(QUESTIONS)
    expected = [
        LABELS[max(range(4), key=label_scores(model, prompt).__getitem__)] for prompt in QUESTIONS
    ]
    assert [answer.text for answer in answers] == expected
    assert all(
        answer.finished and answer.tokens_out > 0 and answer.seconds > 0 for answer in answers
    )


def test_calibration_takes_off_what_is_said_of_no_question(model: LocalModel) -> None:
    answers = model.create_completer(60, LABEL_FORM, is_calibrated=True).complete(QUESTIONS)
    blank = label_scores(model, asked(CONTENT_FREE))
    for prompt, answer in zip(QUESTIONS, answers, strict=True):
        gained = [
            score - prior for score, prior in zip(label_scores(model, prompt), blank, strict=True)
        ]
        assert answer.text == LABELS[max(range(4), key=gained.__getitem__)]


def test_a_label_is_not_favoured_because_another_begins_with_it(model: LocalModel) -> None:
    """Equal labels are refused, and of labels that are equally likely the first is taken."""
    with pytest.raises(UsageError, match="bad-labels"):
        model.create_completer(60, OutputConstraint(labels=("a", "a")))
    with pytest.raises(UsageError, match="bad-labels"):
        model.create_completer(60, OutputConstraint(labels=("a ", "b")))


def test_json_answers_parse_and_fit(model: LocalModel) -> None:
    for answer in model.create_completer(200, JSON_FORM).complete(QUESTIONS):
        assert answer.finished
        assert json.loads(answer.text)["kind"] in ("a", "b", "cc")


def test_without_a_form_answers_are_free(model: LocalModel) -> None:
    assert isinstance(model.create_completer(5), LocalCompleter) and isinstance(
        model.create_completer(5, OutputConstraint()), LocalCompleter
    )
    assert isinstance(model.create_completer(5, LABEL_FORM), LabelCompleter)


def test_likelihoods_are_those_of_the_answers_with_their_end(model: LocalModel) -> None:
    prompts = [prompt for prompt in QUESTIONS for _ in LABELS]
    told: list[tuple[int, int]] = []
    found = model.compute_logprobs(
        prompts, list(LABELS) * 5, lambda ready, wanted: told.append((ready, wanted))
    )
    expected = [score for prompt in QUESTIONS for score in label_scores(model, prompt)]
    assert [one.logprob for one in found] == pytest.approx(expected, abs=1e-3)
    assert [one.tokens for one in found[:4]] == [
        len(model.resolved.tokenizer.encode([x], [[(0, len(x))]])[0].ids) + 1 for x in LABELS
    ]
    assert told[-1] == (20, 20)


def test_a_plain_text_is_scored_by_itself(model: LocalModel) -> None:
    text = "the quick brown fox"
    ids = model.resolved.tokenizer.encode([text])[0].ids
    with torch.no_grad():
        logp = model.loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    (found,) = model.compute_logprobs([()], [text])
    assert found.tokens == len(ids) - 1
    assert found.logprob == pytest.approx(
        sum(float(logp[t - 1, ids[t]]) for t in range(1, len(ids))), abs=1e-3
    )


def test_what_cannot_be_asked_has_no_likelihood(model: LocalModel) -> None:
    found = model.compute_logprobs(
        [asked("x"), asked("far too long " * 500), (), ()], ["a", "b", "", "x" * 10_000]
    )
    assert [math.isnan(one.logprob) for one in found] == [False, True, True, True]
    assert [one.tokens for one in found[1:]] == [0, 0, 0]


def test_a_folder_without_its_tokenizer_file_is_not_needed_for_labels(
    model: LocalModel, tmp_path: Path
) -> None:
    assert model.create_completer(60, LABEL_FORM).complete([]) == []
