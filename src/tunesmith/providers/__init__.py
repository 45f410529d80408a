"""Everything that completes prompts, behind one protocol (`records.Completer`): a model on this
machine, a model behind a URL, and a fake for tests."""
