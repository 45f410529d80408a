"""Whatever a person gives: one message in the house's form, the right exit code, no traceback,
nothing half-written."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith.testing.tiny_model import write_tiny_tokenizer, write_tiny_weights

GOOD = "".join(
    json.dumps({"prompt": f"number {i}", "completion": f"word {i}"}) + "\n" for i in range(20)
)


def write(name: str, content: str | bytes = GOOD) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def folder(name: str) -> str:
    Path(name).mkdir()
    return name


def through_a_file() -> str:
    return write("plain.txt") + "/data.jsonl"


def sparse_line() -> str:
    """1 GB of one line that takes no disk: an object that begins and never ends."""
    path = Path(write("huge.jsonl", '{"prompt": "'))
    os.truncate(path, 10**9)
    return str(path)


def queue() -> str:
    os.mkfifo("queue.jsonl")
    return "queue.jsonl"


def model(name: str = "model", **config: Any) -> Path:
    """A model folder that passes every check until it is loaded."""
    made = write_tiny_tokenizer(Path(name), eos_token="<|im_end|>")
    write_tiny_weights(made / "model.safetensors")
    settings = {
        "model_type": "llama",
        "vocab_size": 400,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        **config,
    }
    (made / "config.json").write_text(json.dumps(settings))
    return made


def pickled() -> str:
    made = model()
    (made / "model.safetensors").rename(made / "pytorch_model.bin")
    return f"./{made}"


def with_own_code() -> str:
    made = model(auto_map={"AutoModelForCausalLM": "modeling_x.X"})
    (made / "modeling_x.py").write_text("import pathlib; pathlib.Path('ran').touch()")
    return f"./{made}"


def broken_weights() -> str:
    made = model()
    (made / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0garbage!")
    return f"./{made}"


def recipe(text: str) -> str:
    write("data.jsonl")
    return write("recipe.yaml", text)


def check(*flags: str) -> list[str]:
    return ["check", write("data.jsonl"), *flags]


def decide(*flags: str) -> list[str]:
    return ["decide", write("data.jsonl"), *flags]


def train(text: str) -> list[str]:
    return ["train", recipe(text)]


def unreadable() -> str:
    """A file of which not even root can read the first byte."""
    return "/proc/self/mem"


DATA: dict[str, tuple[str, Callable[[], str]]] = {
    "missing file": ("data/missing", lambda: "nowhere.jsonl"),
    "empty file": ("data/empty-file", lambda: write("empty.jsonl", "")),
    "only blank lines": ("data/no-rows", lambda: write("blank.jsonl", "\n \n\n")),
    "empty directory": ("data/no-data-files", lambda: folder("empty")),
    "a path through a file": ("data/missing", through_a_file),
    "one line of 1 GB": ("data/line-too-long", sparse_line),
    "/dev/null": ("data/not-a-file", lambda: "/dev/null"),
    "/dev/zero": ("data/not-a-file", lambda: "/dev/zero"),
    "a named pipe": ("data/not-a-file", queue),
    "bytes called jsonl": (
        "data/broken-utf8",
        lambda: write("noise.jsonl", bytes(range(256)) * 40),
    ),
    "an Excel sheet": (
        "data/wrong-format",
        lambda: write("sheet.xlsx", b"PK\x03\x04" + bytes(200)),
    ),
    "a picture": (
        "data/unknown-format",
        lambda: write("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(200)),
    ),
    "broken Parquet": (
        "data/damaged-table",
        lambda: write("table.parquet", b"PAR1" + bytes(100) + b"PAR1"),
    ),
    "a name too long": ("data/unreadable", lambda: "x" * 5000 + ".jsonl"),
    "no permission": ("data/unreadable", unreadable),
    "a loop of links": (
        "data/missing",
        lambda: os.symlink("loop.jsonl", "loop.jsonl") or "loop.jsonl",
    ),
    "columns that fit no shape": (
        "data/unknown-shape",
        lambda: write("other.jsonl", '{"foo": 1, "bar": 2}\n' * 20),
    ),
}

MODELS: dict[str, tuple[str, Callable[[], str]]] = {
    "a name that does not exist": ("model/unknown", lambda: "smolm2-135m-instruct"),
    "a folder that does not exist": ("model/no-folder", lambda: "./nowhere"),
    "a hub name without a network": ("model/offline", lambda: "some-people/some-model"),
    "a folder without weights": ("model/not-a-model", lambda: "./" + folder("bare")),
    "only pickled weights": ("model/pickled-weights", pickled),
    "a model with its own code": ("model/needs-own-code", with_own_code),
    "broken weights": ("model/broken-weights", broken_weights),
    "settings that contradict each other": ("model/unloadable", lambda: f"./{model()}"),
    "weights of another model": (
        "model/missing-weights",
        lambda: f"./{model(num_attention_heads=2)}",
    ),
    "an empty name": ("recipe/wrong-value", lambda: ""),
}

USAGE: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "unknown command": ("usage/arguments", lambda: ["dekide", write("data.jsonl")]),
    "unknown flag": ("usage/arguments", lambda: check("--colums", "a=b")),
    "missing argument": ("usage/arguments", lambda: ["decide"]),
    "a word for a number": ("usage/arguments", lambda: decide("--minutes", "soon")),
    "a bad column mapping": ("usage/columns", lambda: check("--columns", "prompt")),
    "a column of no file": ("data/unknown-column", lambda: check("--columns", "prompt=quesion")),
    "a column of no shape": (
        "data/unknown-column-name",
        lambda: check("--columns", "promt=prompt"),
    ),
    "a group of no file": ("data/unknown-column", lambda: check("--group", "customer")),
    "--set without =": ("recipe/not-an-override", lambda: decide("--set", "seed")),
    "--set of no key": ("recipe/unknown-key", lambda: decide("--set", "training.epoch=1")),
    "--set of a wrong type": ("recipe/wrong-value", lambda: decide("--set", "seed=many")),
    "--minutes that are negative": ("recipe/wrong-value", lambda: decide("--minutes", "-1")),
    "--minutes that are infinite": ("recipe/wrong-value", lambda: decide("--minutes", "inf")),
    "a test file that is missing": (
        "data/missing",
        lambda: decide("--set", "data.test_path=nowhere.jsonl"),
    ),
    "--documents that are missing": ("data/no-documents", lambda: decide("--documents", "nowhere")),
    "a recipe that is missing": ("recipe/unreadable", lambda: ["train", "nowhere.yaml"]),
    "a preset that is not": ("recipe/no-such-preset", lambda: ["train", "names-dem"]),
    "an unknown key in a recipe": (
        "recipe/unknown-key",
        lambda: train("data: {path: data.jsonl}\nlora: 8\n"),
    ),
    "a wrong type in a recipe": ("recipe/wrong-value", lambda: train("data: {path: [1]}\n")),
    "a recipe that is no YAML": ("recipe/not-yaml", lambda: train("data: {path: [\n")),
    "a recipe without data": ("recipe/no-data", lambda: train("seed: 1\n")),
    "a recipe that is a directory": (
        "recipe/unreadable",
        lambda: ["train", "./" + folder("recipe.yaml")],
    ),
    "a run that is not": ("store/no-such-run", lambda: ["show", "20200101-000000-x-000000"]),
    "a folder that is no run": ("run/damaged", lambda: ["show", "./" + folder("bare")]),
    "a model to talk to that is not": (
        "model/unknown",
        lambda: ["chat", "nobody", "--message", "hi"],
    ),
    "a model to score that is not": (
        "model/unknown",
        lambda: ["evaluate", "nobody", "--data", write("data.jsonl")],
    ),
}


def written_below(place: Path) -> set[str]:
    """Everything but the store and the measured rates of models, which are whole from the moment
    they are there."""
    paths = [
        path.relative_to(place)
        for path in place.rglob("*")
        if path.name not in ("home", "store.db")
    ]
    return {str(path) for path in paths if "rates" not in path.parts}


@pytest.mark.parametrize("command", ["check", "decide"])
@pytest.mark.parametrize("case", DATA)
def test_data_that_cannot_be_used(tunesmith: Any, world: Path, case: str, command: str) -> None:
    code, make = DATA[case]
    path = make()
    before = written_below(world)
    printed = tunesmith(command, path)
    assert (printed.code, printed.message.partition(":")[0]) == (2, f"error[{code}]"), printed.err
    assert written_below(world) == before


def test_a_line_of_1_gb_takes_little_memory(tunesmith: Any) -> None:
    path = sparse_line()
    tracemalloc.start()
    try:
        assert tunesmith("check", path).code == 2
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100 * 2**20


@pytest.mark.parametrize("case", MODELS)
def test_models_that_cannot_be_used(
    tunesmith: Any, world: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, make = MODELS[case]
    name = make()
    data = write("data.jsonl")
    before = written_below(world)
    printed = tunesmith("decide", data, "--model", name, "--out", "out")
    assert (printed.code, printed.message.partition(":")[0]) == (2, f"error[{code}]"), printed.err
    assert written_below(world) == before


@pytest.mark.parametrize("case", USAGE)
def test_wrong_use(tunesmith: Any, world: Path, case: str) -> None:
    code, make = USAGE[case]
    words = make()
    before = written_below(world)
    printed = tunesmith(*words)
    assert (printed.code, printed.message.partition(":")[0]) == (2, f"error[{code}]"), printed.err
    assert "\n  hint: " in printed.message
    assert written_below(world) == before


STORES = [
    "postgresql://nobody:secret@127.0.0.1:1/none",
    "mysql://x",
    "sqlite:////dev/null/store.db",
]
RUN = "20200101-000000-x-000000"


@pytest.mark.parametrize(
    "words", [["runs"], ["models"], ["show", RUN], ["chat", RUN]], ids=lambda words: words[0]
)
@pytest.mark.parametrize("place", STORES)
def test_a_store_that_cannot_be_read(
    tunesmith: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], place: str
) -> None:
    monkeypatch.setenv("TUNESMITH_STORE", place)
    printed = tunesmith(*words)
    assert printed.code == 2 and printed.message.startswith("error[store/"), printed.err
    assert "secret" not in printed.err


@pytest.mark.parametrize("command", ["train", "decide"])
def test_a_store_whose_url_is_wrong_is_said_before_the_work(
    tunesmith: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Where the store only fails, the work goes on: tests/e2e/test_store_lost.py."""
    words = {
        "train": [recipe(f"{{model: ./{model()}, data: {{path: data.jsonl}}}}"), "--out", "out"],
        "decide": ["data.jsonl", "--model", "./model", "--out", "out"],
    }
    monkeypatch.setenv("TUNESMITH_STORE", "mysql://x:secret@y/z")
    printed = tunesmith(command, *words[command])
    assert printed.code == 2 and printed.message.startswith("error[store/bad-url]"), printed.err
    assert "secret" not in printed.err
    assert not Path("out").exists()


def test_errors_of_the_data_close_the_gate_with_1(tunesmith: Any) -> None:
    data = write("data.jsonl", GOOD + '{"prompt": "no answer", "completion": ""}\n')
    printed = tunesmith("decide", data, "--model", f"./{model()}", "--out", "out", "--json")
    assert printed.code == 1 and printed.document["error"]["code"] == "gate/data"
    assert printed.message.startswith("error[gate/data]") and not Path("out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("check", "nowhere.jsonl"),
        ("decide", "nowhere.jsonl"),
        ("evaluate", "./model", "--data", "nowhere.jsonl"),
    ],
    ids=lambda words: words[0],
)
def test_with_json_the_error_is_a_document(tunesmith: Any, words: tuple[str, ...]) -> None:
    printed = tunesmith(*words, "--json")
    assert printed.code == 2
    error = printed.document["error"]
    assert set(error) == {"code", "what", "at", "got", "hint"} and error["code"] == "data/missing"
    assert printed.message.startswith(f"error[{error['code']}]: {error['what'].rstrip('.')}\n")


@pytest.mark.parametrize("words", [("check",), ("dekide",), ("check", "x", "--nope")], ids=" ".join)
def test_with_json_wrong_use_is_a_document_too(tunesmith: Any, words: tuple[str, ...]) -> None:
    printed = tunesmith(*words, "--json")
    assert printed.code == 2 and printed.document["error"]["code"] == "usage/arguments"


@pytest.mark.parametrize(
    "command", [["models", "--fetch"], ["demo"], ["chat", "smollm2-135m-instruct"], ["runs"]]
)
def test_a_home_that_cannot_be_written(
    tunesmith: Any, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", through_a_file())
    printed = tunesmith(*command)
    assert printed.code == 2 and "TUNESMITH_HOME" in printed.message
