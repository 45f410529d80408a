"""Whatever answers prompts, behind one protocol (`records.Completer`): this machine, a model behind a URL, a fake for
tests."""
