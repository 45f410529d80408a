"""The contents of a model's folder: relevant files, strict reading of its JSON, refused settings.

No weights are opened here and no library that opens them is imported; both `models` (names,
tokenizers) and `engine` (weights) depend on this package.
"""
