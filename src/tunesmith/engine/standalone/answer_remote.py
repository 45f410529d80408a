"""Answers questions as the contender that was exported: python answer.py < questions.txt, one
question a line.

A line may also be a JSON object: {"messages": [{"role": "user", "content": "..."}]}. With --json
each answer is a JSON line. The key of the service is read from the environment variable that
prompt.json names. Needs no package.
"""

import argparse
import http.client
import json
import os
import queue
import threading
import urllib.error
import urllib.request

from messages import PROMPT, Messages, answer_lines, build_messages  # type: ignore[import-not-found]

SERVICE = PROMPT["service"]


def answer(conversation: Messages) -> str:
    """The answer to a conversation that ends with a question.

    Errors: ValueError when the service gives none.
    """
    body = {
        "model": SERVICE["model"],
        "messages": build_messages(conversation),
        **SERVICE["settings"],
    }
    headers = {"Content-Type": "application/json", "User-Agent": "answer.py"}
    if key := os.environ.get(SERVICE["api_key_env"], "").strip():
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(SERVICE["endpoint"], json.dumps(body).encode(), headers)
    found: queue.SimpleQueue[str | ValueError] = queue.SimpleQueue()
    threading.Thread(target=lambda: found.put(request_completion(request)), daemon=True).start()
    try:
        # A deadline for the whole request: urlopen's timeout only limits the time between two
        # bytes.
        text = found.get(timeout=SERVICE["seconds"])
    except queue.Empty:
        raise ValueError(f"no response from the service within {SERVICE['seconds']:g} s") from None
    if isinstance(text, ValueError):
        raise text
    return extract_label(text)


def request_completion(request: urllib.request.Request) -> str | ValueError:
    """The text that the service answered, or an error that says why there is none."""
    try:
        with urllib.request.urlopen(request, timeout=SERVICE["seconds"]) as response:
            told = json.load(response)
        return str(told["choices"][0]["message"]["content"].strip())
    except urllib.error.HTTPError as error:
        return ValueError(f"service error: status {error.code}, {error.read(300)!r}")
    except (
        OSError,
        http.client.HTTPException,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        return ValueError(f"no response from the service: {error!r}")


def extract_label(text: str) -> str:
    """The label from the JSON object that was requested; any other text unchanged."""
    try:
        value = json.loads(text)[SERVICE["wrapped_in"]] if SERVICE["wrapped_in"] else text
    except (ValueError, LookupError, TypeError):
        return text
    return value if isinstance(value, str) else text


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    answer_lines(answer, arguments.parse_args().json)
