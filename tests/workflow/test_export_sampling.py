"""What an exported folder's generation settings would change, unasked."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.export.merged_model import list_sampling_settings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (None, ()),
        ({"eos_token_id": 1}, ()),
        ({"do_sample": False, "temperature": 0.7}, ()),
        ({"do_sample": True}, ("do_sample true",)),
        ({"do_sample": True, "temperature": 0.7, "top_p": 0.8}, ("temperature 0.7", "top_p 0.8")),
        ({"repetition_penalty": 1.1}, ("repetition_penalty 1.1",)),
        ({"repetition_penalty": 1.0, "no_repeat_ngram_size": 3}, ("no_repeat_ngram_size 3",)),
    ],
)
def test_settings_by_which_servers_sample_are_told(
    tmp_path: Path, settings: Any, told: tuple[str, ...]
) -> None:
    if settings is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert list_sampling_settings(tmp_path) == told
