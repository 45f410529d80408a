"""The files of a stranger's model folder: what they may hold, and what stands where a file is
expected."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.atomic_io import open_regular_file, read_regular_file
from tunesmith.errors import ModelError
from tunesmith.model_folder.config_checks import check_config_keys
from tunesmith.model_folder.settings_json import MAX_SETTINGS_BYTES, read_settings
from tunesmith.models.resolve import resolve_model
from tunesmith.models.tokenizer import load_tokenizer

Make = Callable[..., Path]


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have 107 bytes
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)
        server.close()


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (make_pipe, "a pipe"),
    "a socket": (make_socket, "a socket"),
    "a folder": (Path.mkdir, "a folder"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"]
)
def test_what_is_no_file_is_refused_at_once(make_folder: Make, kind: str, name: str) -> None:
    make, found = SPECIAL[kind]
    folder = make_folder()
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == "model/unreadable" and caught.value.got == f"{found}, not a file"
    assert caught.value.at == str(folder / name)


@pytest.mark.parametrize("kind", SPECIAL)
def test_opening_what_is_no_file_never_waits(tmp_path: Path, kind: str) -> None:
    make, found = SPECIAL[kind]
    make(tmp_path / "x")
    with pytest.raises(OSError, match=f"{found}, not a file"):
        open_regular_file(tmp_path / "x")


def test_a_link_to_a_file_is_followed_as_hub_caches_need_it(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"content")
    (tmp_path / "link").symlink_to("blob")
    assert read_regular_file(tmp_path / "link") == b"content"


BROKEN = {
    "a key twice": ('{"vocab_size": 1, "vocab_size": 2}', "duplicate key 'vocab_size'"),
    "a key twice inside": ('{"a": {"b": 1, "b": 1}}', "duplicate key 'b'"),
    "NaN": ('{"a": NaN}', "NaN"),
    "a number of many digits": ('{"a": ' + "1" * 401 + "}", "401 digits"),
    "a number of very many digits": ('{"a": ' + "1" * 10_000 + "}", "10,000 digits"),
    "a list": ("[]", "list"),
    "a text": ('"x"', "str"),
    "nothing": ("", "Expecting value"),
    "half of it": ('{"a": ', "Expecting value"),
    "deep brackets": ("[" * 100_000, "nested"),
    "a lone surrogate": ('{"a": "\\ud800"}', "surrogate"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_settings_that_readers_understand_differently_are_refused(
    tmp_path: Path, kind: str
) -> None:
    text, found = BROKEN[kind]
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        read_settings(tmp_path / "config.json")
    assert caught.value.code == "model/broken-settings" and found in caught.value.got


def test_settings_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ModelError, match="byte 7 is not UTF-8"):
        read_settings(tmp_path / "config.json")


def test_a_byte_order_mark_is_taken_off_and_infinity_is_a_number(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"time_step_limit": [0.0, Infinity]}')
    assert read_settings(tmp_path / "config.json") == {"time_step_limit": [0.0, float("inf")]}


def test_very_large_settings_are_refused_unread(make_folder: Make) -> None:
    folder = make_folder()
    with (folder / "config.json").open("r+b") as file:
        file.truncate(MAX_SETTINGS_BYTES + 1)
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == "model/unreadable" and "more than" in caught.value.got


STEERING = {
    "auto_map": ({"AutoModel": "x.Y"}, "model/needs-own-code"),
    "trust_remote_code": (True, "model/needs-own-code"),
    "custom_pipelines": ({"x": {}}, "model/needs-own-code"),
    "quantization_config": ({"quant_method": "awq", "bits": 4}, "model/quantized"),
    "compression_config": ({"quant_method": "compressed-tensors"}, "model/quantized"),
    "transformers_weights": ("other.safetensors", "model/steers-loading"),
    "use_kernels": (True, "model/steers-loading"),
    "device_map": ("auto", "model/steers-loading"),
    "per_layer_config": ({"0": {"hidden_size": 8}}, "model/steers-loading"),
    "attribute_map": ({"a": "b"}, "model/steers-loading"),
    "attn_implementation": ("somebody/kernels", "model/steers-loading"),
    "_attn_implementation": ("paged|flash", "model/steers-loading"),
    "_attn_implementation_internal": ({"text_config": "somebody/kernels"}, "model/steers-loading"),
    "experts_implementation": ("somebody/kernels", "model/steers-loading"),
}


@pytest.mark.parametrize("key", STEERING)
@pytest.mark.parametrize("is_inside", [False, True])
def test_settings_that_select_code_or_weights_are_refused(
    make_folder: Make, key: str, is_inside: bool
) -> None:
    value, code = STEERING[key]
    folder = make_folder(**({"text_config": {key: value}} if is_inside else {key: value}))
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == code and key in caught.value.got


@pytest.mark.parametrize(
    "config",
    [
        {"_attn_implementation_autoset": True},
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "sdpa"},
        {"_attn_implementation": None, "auto_map": None, "quantization_config": None},
        {
            "_name_or_path": "../../somewhere",
            "torch_dtype": "bfloat16",
            "unsloth_version": "2024.9",
        },
    ],
)
def test_usual_leftovers_in_settings_are_passed_over(
    config: dict[str, object], tmp_path: Path
) -> None:
    check_config_keys(config, tmp_path)


@pytest.mark.parametrize(
    ("method", "found"),
    [
        ({"quant_method": "awq", "bits": 4}, "awq, 4 bits"),
        ({"quant_method": "gptq", "bits": 8}, "gptq, 8 bits"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes, 8 bits"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "torchao"),
        ({"quant_method": "fp8"}, "fp8"),
        ("of another kind", "of another kind"),
    ],
)
def test_quantized_weights_are_named_with_their_method(
    make_folder: Make, method: object, found: str
) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(str(make_folder(quantization_config=method)))
    assert caught.value.code == "model/quantized" and found in caught.value.got
    assert "adapter.load_in_4bit=true" in caught.value.hint


@pytest.mark.parametrize("layers", [2, 500, 10**9])
@pytest.mark.parametrize("key", ["num_hidden_layers", "n_layer", "num_layers"])
def test_layers_that_no_weight_is_there_for_are_refused(
    make_folder: Make, key: str, layers: int
) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(str(make_folder(**{key: layers})))
    assert caught.value.code == "model/wrong-size" and "1 layers" in caught.value.got


NONSENSE = {
    "eos_token_id": [[{}], {}, "x", [None], 1.5, [-2], 2**70, True],
    "bos_token_id": ["<s>", False],
    "pad_token_id": [{}, [[0]]],
    "temperature": ["0.7", -1, float("inf"), True, [1.0]],
    "top_p": [1.5, "1"],
    "top_k": [50.5],
    "repetition_penalty": [0, -1.1, {}],
    "max_length": [-1, "4096", 10.5],
    "max_new_tokens": [[]],
    "do_sample": ["false", 1],
    "num_beams": [0],
    "stop_strings": [[1], {}],
    "bad_words_ids": [[1, 2]],
    "suppress_tokens": ["1,2"],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in NONSENSE.items() for value in values]
)
def test_settings_of_generation_that_cannot_be_are_refused_with_file_and_key(
    make_folder: Make, key: str, value: object
) -> None:
    folder = make_folder()
    (folder / "generation_config.json").write_text(json.dumps({key: value}))
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == "model/bad-generation-setting"
    assert caught.value.at == str(folder / "generation_config.json")
    assert caught.value.got.startswith(f"{key}: ")


@pytest.mark.parametrize("is_inside", [False, True])
def test_end_tokens_of_another_type_in_config_json_are_refused(
    make_folder: Make, is_inside: bool
) -> None:
    wrong = {"eos_token_id": [{}]}
    folder = make_folder(**({"text_config": wrong} if is_inside else wrong))
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == "model/bad-generation-setting"
    assert caught.value.at == str(folder / "config.json")


def test_settings_of_generation_as_makers_write_them_are_taken(make_folder: Make) -> None:
    folder = make_folder(eos_token_id=2, pad_token_id=-1, bos_token_id=None)
    usual = {
        "eos_token_id": [2, 3],
        "bos_token_id": 1,
        "pad_token_id": None,
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 1,
        "top_k": 0,
        "repetition_penalty": 1.05,
        "max_length": 4096,
        "num_beams": 1,
        "stop_strings": ["###"],
        "cache_implementation": "hybrid",
        "transformers_version": "5.0.0",
    }
    (folder / "generation_config.json").write_text(json.dumps(usual))
    assert "generation_config.json" in resolve_model(str(folder)).files


def test_code_that_generation_settings_name_is_refused(make_folder: Make) -> None:
    folder = make_folder()
    (folder / "generation_config.json").write_text(
        json.dumps({"custom_generate": "somebody/decoding"})
    )
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    assert caught.value.code == "model/needs-own-code" and caught.value.got == "custom_generate"


def test_an_adapters_own_settings_of_generation_are_held_to_the_same(
    make_folder: Make, make_adapter: Callable[..., Path]
) -> None:
    adapter = make_adapter(str(make_folder()))
    (adapter / "generation_config.json").write_text(json.dumps({"eos_token_id": [{}]}))
    with pytest.raises(ModelError) as caught:
        resolve_model(str(adapter))
    assert caught.value.at == str(adapter / "generation_config.json")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("token", [5, [], ["<|im_end|>"], {"content": 5}, {}, False])
def test_control_tokens_that_are_no_text_are_refused_with_their_file(
    make_folder: Make, name: str, token: object
) -> None:
    folder = make_folder()
    path = folder / name
    settings = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(settings | {"pad_token": token}))
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    assert caught.value.code == "model/bad-token-setting" and caught.value.at == str(path)
    assert caught.value.got.startswith("pad_token: ")
