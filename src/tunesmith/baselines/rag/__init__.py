"""Retrieval: `index` finds texts, `documents` cuts a folder into passages, `answer` puts what was found into the prompt."""
