"""Retrieval: `search_index` finds texts, `document_passages` splits a folder into passages,
`prompt_augmentation` puts the retrieved texts into the prompt."""
