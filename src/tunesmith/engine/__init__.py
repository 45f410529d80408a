"""The engine: PyTorch and transformers, and nowhere else. Tokens in, an adapter or tokens out.

Importing this package loads no torch; its modules do. Doors: `load.load_model`, `train.train_adapter`,
`generate.Generator`, `convert.convert_gguf`, and `adapters/` (LoRA in the PEFT format).
"""
