"""What is trained: low-rank adapters (`adapter_finetune.py`) or all weights (`full_finetune.py`).

`trainable_model.py` is the interface, `adapter_registry.py` selects the kind, `peft_format.py` and
`full_model_io.py` are the file formats.
"""
