"""Resolve a model name: the embedded model, a folder, a hub name, or an adapter on one of them.

Entry points: `models.resolve.resolve_model`, `models.resolve.list_known_models`,
`models.tokenizer.load_tokenizer`.
"""
