"""Adapters: small trained weights beside frozen ones. `lora.py` is the layer, `peft_format.py` its files."""
