"""Answers questions as the contender that was exported: python answer.py < questions.txt, one
question a line.

A line may also be a JSON object: {"messages": [{"role": "user", "content": "..."}]}. With --json
each answer is a JSON line. --model FOLDER names the model's folder where it is not where
prompt.json says. Needs transformers and torch, and llguidance where answers are constrained to a
JSON schema.
"""

import argparse
import copy
import functools
import json
from pathlib import Path
from typing import Any

import torch
from messages import BUNDLE_FOLDER, PROMPT, Messages, answer_lines, build_messages  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--json", action="store_true")
parser.add_argument("--model", type=Path, default=BUNDLE_FOLDER / PROMPT["model"]["folder"])
options = parser.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"
tokenizer: Any = AutoTokenizer.from_pretrained(options.model)
dtype = getattr(torch, PROMPT["model"]["dtype"])
model = (
    AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype, use_safetensors=True)
    .eval()
    .to(device)
)
LABELS, SCHEMA, STOP = PROMPT["labels"], PROMPT["json_schema"], set(PROMPT["stop_ids"])


def render_messages(messages: Messages) -> str:
    """The conversation as the prompt text of the model, up to where the answer starts."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def encode_text(text: str) -> list[int]:
    """The token ids of a text, without added special tokens."""
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def answer(conversation: Messages) -> str:
    """The answer to a conversation that ends with a question.

    Errors: ValueError when the prompt is not acceptable.
    """
    most = PROMPT["model"]["context_tokens"] - PROMPT["max_new_tokens"]
    messages = build_messages(
        conversation, lambda some: len(encode_text(render_messages(some))) <= most
    )
    # A control token in the text would let its author forge turns of the conversation.
    if any(
        mark in str(message["content"])
        for message in messages
        for mark in tokenizer.all_special_tokens
    ):
        raise ValueError("a message contains a control token of the model")
    if LABELS:
        return find_best_label(messages)
    ids = encode_text(render_messages(messages))
    if len(ids) > most:
        raise ValueError(
            f"the prompt has {len(ids):,} tokens; at most {most:,} leave room for an answer"
        )
    return str(
        tokenizer.decode(
            generate_tokens(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    ).strip()


@torch.inference_mode()
def generate_tokens(ids: list[int]) -> list[int]:
    """Greedy decoding: the token ids of the answer, without the stop token."""
    tokens: list[int] = []
    feed, past, matcher = ids, None, build_grammar().deep_copy() if SCHEMA else None
    while len(tokens) < PROMPT["max_new_tokens"]:
        step = model(
            torch.tensor([feed], device=device),
            past_key_values=past,
            use_cache=True,
            logits_to_keep=1,
        )
        # The mask has one bit per token id, lowest bit first; ids past its end are not allowed.
        logits, past = step.logits[0, -1].float(), step.past_key_values
        if matcher is not None:
            bits = torch.frombuffer(bytearray(matcher.compute_bitmask()), dtype=torch.uint8)
            allowed = (bits[:, None] >> torch.arange(8)).bitwise_and(1).flatten().bool().to(device)
            logits[: len(allowed)][~allowed[: len(logits)]] = -torch.inf
            logits[len(allowed) :] = -torch.inf
        token = int(logits.argmax())
        if token in STOP:
            break
        tokens.append(token)
        feed = [token]
        if matcher is not None:
            matcher.consume_tokens(feed)
    return tokens


@functools.cache
def build_grammar() -> Any:
    """The compiled JSON schema that answers must fit."""
    from llguidance import LLMatcher, LLTokenizer

    known = LLTokenizer(
        (options.model / "tokenizer.json").read_text("utf-8"), eos_token=sorted(STOP)
    )
    text = LLMatcher.grammar_from_json_schema(json.dumps(SCHEMA), overrides=PROMPT["json_options"])
    return LLMatcher(known, text, log_level=0)


def find_best_label(messages: Messages) -> str:
    """The label with the highest log-probability, if calibrated minus that without a question."""
    scores = score_labels(render_messages(messages))
    if PROMPT["is_calibrated"]:
        last = max(i for i, message in enumerate(messages) if message["role"] == "user")
        blank = [
            {**message, "content": "N/A"} if i == last else message
            for i, message in enumerate(messages)
        ]
        scores = scores - score_labels(render_messages(blank))
    return str(LABELS[int(scores.argmax())])


@functools.lru_cache(1024)
@torch.inference_mode()
def score_labels(text: str) -> torch.Tensor:
    """Log-probability in nats of each label after the prompt, including its end of turn."""
    ids = encode_text(text)
    begun = model(torch.tensor([ids], device=device), use_cache=True, logits_to_keep=1)
    first, scores = begun.logits[0, -1].float().log_softmax(-1), []
    for label in LABELS:
        # Tokenized together with the prompt, because tokens may merge at the boundary; if they do,
        # apart.
        whole = encode_text(text + label + PROMPT["end_of_turn"])
        is_apart = whole[: len(ids)] == ids
        tokens = whole[len(ids) :] if is_apart else encode_text(label + PROMPT["end_of_turn"])
        # A copy, because the cache is extended in place and the next label needs the prompt alone.
        past = copy.deepcopy(begun.past_key_values)
        logits = (
            model(torch.tensor([tokens[:-1]], device=device), past_key_values=past)
            .logits[0]
            .float()
        )
        rest = (
            logits.log_softmax(-1).gather(1, torch.tensor(tokens[1:], device=device)[:, None]).sum()
        )
        scores.append(first[tokens[0]] + rest)
    return torch.stack(scores).cpu()


if __name__ == "__main__":
    answer_lines(answer, options.json)
