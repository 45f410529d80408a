"""What a model's folder holds: which files count, strict reading of its JSON, what its settings may not do.

No weights are opened here and no library that would open them is imported: the rooms `models` (names, tokenizers) and
`engine` (weights) both go by this.
"""
