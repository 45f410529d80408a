"""Every reader of data: files by format, a folder of a Hugging Face dataset, files of other
evaluation tools."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.target import Target
from tunesmith.data.check import check_examples
from tunesmith.data.interop.dataset_loader import load_imported_task
from tunesmith.data.interop.tool_formats import detect_tool
from tunesmith.data.read import read_dataset

ROWS: list[dict[str, Any]] = [
    {"prompt": "Where is my card?", "completion": "card_arrival", "system": "Sort."},
    {"prompt": 'He said "no", twice', "completion": "refusal\nfully", "system": ""},
]
CHATS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "system", "content": "You are kind."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "w", "arguments": '{"city": "Ulm"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "rain"},
            {"role": "assistant", "content": "Rain.", "weight": 1},
        ],
        "tools": [
            {"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}}
        ],
    },
    {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
        "system": "Be kind.",
    },
    {"prompt": "a", "chosen": "b", "rejected": "c"},
    {
        "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "rejected": "c",
    },
    {
        "input": {"messages": [{"role": "user", "content": "a"}]},
        "preferred_output": [{"role": "assistant", "content": "b"}],
        "non_preferred_output": [{"role": "assistant", "content": "c"}],
    },
    {"prompt": "a", "completion": "b", "label": True},
    {"instruction": "a", "input": "", "output": "c"},
    {"text": "only text"},
]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@cache
def table(write: str) -> bytes:
    """The rows as polars writes them: `parquet`, `ipc` or `ipc_stream`."""
    import polars

    stream = io.BytesIO()
    getattr(polars.DataFrame(ROWS), f"write_{write}")(stream)
    return stream.getvalue()


def zst(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


def reads(name: str) -> Callable[[bytes, Path], object]:
    """A target that reads the bytes under this name, and checks what was read."""

    def run(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        loaded = (
            load_imported_task(path)[0] if detect_tool(path) is not None else read_dataset(path)
        )
        assert loaded.examples or loaded.problems
        return check_examples(loaded)

    return run


def read_folder(data: bytes, folder: Path) -> object:
    """A folder with a file for each part of the input; the first line of a part is the file's
    name."""
    for part in data.split(b"\n%%"):
        name, _, content = part.removeprefix(b"%%").partition(b"\n")
        steps = [
            step
            for step in name.decode("utf-8", "replace").replace("\0", "")[:80].split("/")
            if step.strip(". ")
        ]
        path = folder.joinpath(*steps[:3])
        if path != folder and not path.exists() and not any(p.is_file() for p in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return check_examples(read_dataset(folder))


def folders() -> list[bytes]:
    good = jsonl(ROWS)
    return [
        b"%%train.jsonl\n" + good + b"\n%%test.jsonl\n" + good + b"\n%%README.md\n# data\n",
        b"%%main/train-00000-of-00001.jsonl\n"
        + good
        + b"\n%%other/train-00000-of-00001.jsonl\n"
        + good,
        b'%%dataset_dict.json\n{"splits": ["train",'
        b' "test"]}\n%%train/state.json\n{}\n%%train/dataset_info.json\n{"features": {"prompt":'
        b' {"dtype": "string", "_type": "Value"}}}\n%%train/a.jsonl\n'
        + good
        + b"\n%%test/a.jsonl\n"
        + good,
        b"%%README.md\n---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n   "
        b" path: a.jsonl\n---\n\n%%a.jsonl\n" + good,
    ]


CSVS = [
    b'prompt,completion\na,b\n"c ""d"",\ne",f\n',
    b"instruction;output;\r\na;b;\r\n",
    b"text\na\n",
    b"sep=,\nprompt,completion\na,b\n",
]
PROMPTFOO = b"""prompts: ["Name the capital of {{land}}."]
providers: [openai:gpt]
tests:
  - vars: {land: France}
    assert: [{type: equals, value: Paris}]
  - vars: {land: [Italy, Spain]}
    assert: [{type: icontains-any, value: [Rome, Madrid]}]
"""
EVALS = jsonl(
    [
        {"input": [{"role": "user", "content": "2+2"}], "ideal": "4"},
        {"input": "3+3", "ideal": ["6", "six"]},
    ]
)
REGISTRY = (
    b"a:\n  id: a.v0\n  metrics: [accuracy]\na.v0:\n  class: basic.match:Match\n  args:"
    b" {samples_jsonl: a.jsonl}\n"
)
INSPECT = json.dumps(
    {
        "version": 2,
        "status": "success",
        "eval": {"task": "sums", "model": "openai/gpt", "dataset": {}},
        "samples": [
            {
                "id": 1,
                "epoch": 1,
                "input": "2+2",
                "target": "4",
                "output": {
                    "choices": [{"message": {"role": "assistant", "content": "4"}}],
                    "completion": "4",
                },
                "scores": {"match": {"value": "C", "answer": "4"}},
            }
        ],
    }
).encode()
LM_EVAL = jsonl(
    [
        {
            "doc_id": 0,
            "doc": {"question": "2+2"},
            "target": "4",
            "arguments": [["2+2=", {"until": ["\n"]}]],
            "resps": [["4"]],
            "filtered_resps": ["4"],
            "exact_match": 1.0,
        }
    ]
)


def _targets() -> Iterator[Target]:
    yield Target(
        "jsonl",
        reads("d.jsonl"),
        lambda: [jsonl(ROWS), *(jsonl([row]) for row in CHATS), jsonl(CHATS[:1] * 3)],
    )
    yield Target(
        "json",
        reads("d.json"),
        lambda: [json.dumps(ROWS).encode(), json.dumps(CHATS[:1], indent=1).encode()],
    )
    yield Target(
        "csv",
        reads("d.csv"),
        lambda: CSVS,
    )
    yield Target(
        "parquet", reads("d.parquet"), lambda: [table("parquet"), table("ipc"), table("ipc_stream")]
    )
    yield Target(
        "gzip", reads("d.jsonl.gz"), lambda: [gzip.compress(jsonl(ROWS), mtime=0), jsonl(ROWS)]
    )
    yield Target("zstd", reads("d.jsonl.zst"), lambda: [zst(jsonl(ROWS)), jsonl(ROWS)])
    yield Target(
        "any",
        reads("data"),
        lambda: [jsonl(ROWS), json.dumps(ROWS).encode(), table("parquet"), b"a,b\n1,2\n"],
    )
    yield Target("folder", read_folder, folders)
    yield Target("promptfoo", reads("p.yaml"), lambda: [PROMPTFOO])
    yield Target("openai-evals", reads("e.jsonl"), lambda: [EVALS])
    yield Target("openai-evals-registry", reads("r.yaml"), lambda: [REGISTRY])
    yield Target("inspect", reads("i.json"), lambda: [INSPECT])
    yield Target("lm-eval", reads("l.jsonl"), lambda: [LM_EVAL])


TARGETS = tuple(_targets())
