"""Convert a GGUF file into an ordinary model folder: float32 safetensors, config and tokenizer.

The embedded model is shipped as GGUF with 4-bit weights, which transformers dequantizes. The
dequantized model is exactly the one that is trained and evaluated.
"""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunesmith.engine.sanitized_folder import silence_transformers
from tunesmith.errors import ModelError


def import_gguf(gguf: Path, folder: Path) -> None:
    """Write `folder` (created if missing) from a GGUF file.

    Errors: `ModelError` when transformers cannot read the file.
    """
    where, name = str(gguf.parent), gguf.name
    try:
        # The progress bar over the tensors is tqdm's own, which transformers' settings do not
        # control: it writes to stderr.
        with silence_transformers(), redirect_stderr(StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                where, gguf_file=name, dtype=torch.float32, local_files_only=True
            )
            _clear_quantization(model)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise ModelError(
            "gguf-unreadable",
            "cannot read the GGUF file",
            at=str(gguf),
            got=next(iter(str(error).splitlines()), type(error).__name__),
            hint="download the file again; or use a model in safetensors format",
        ) from None


def _clear_quantization(model: Any) -> None:
    """Remove the quantization marks, with which transformers refuses to save plain floats."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized = False
    model.hf_quantizer = None
