"""Whatever answers prompts, behind one protocol (`records.Completer`): this machine, a fake for tests; later, remote
services."""
