"""The engine: tokens in, an adapter or tokens out. Only this package uses PyTorch and transformers.

Importing this package loads no torch; its modules do. Entry points: `model_loading.load_model`,
`adapter_training.train_adapter`, `generator.Generator`, `gguf_import.import_gguf`, and
`adapters/` (LoRA in the PEFT format).
"""
