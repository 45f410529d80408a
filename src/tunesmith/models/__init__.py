"""What a model name means: the embedded model, a folder, a hub name, or an adapter on top of one of them.

Doors: `models.resolve.resolve_model`, `models.resolve.list_known_models`, `models.tokenizer.load_tokenizer`.
"""
