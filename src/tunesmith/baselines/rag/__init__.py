"""Retrieval: `index` finds texts, `documents` cuts a folder into passages, `answer` puts finds into the prompt."""
