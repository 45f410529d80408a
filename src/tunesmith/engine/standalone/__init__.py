"""Programs that `tunesmith export` copies into a bundle: they run without tunesmith and import nothing of it.

answer_local.py   -> answer.py    a model on this machine answers (transformers, torch)
answer_remote.py  -> answer.py    a service behind an OpenAI-compatible URL answers (standard library)
messages.py       -> messages.py  what is sent for a question
retrieve.py       -> retrieve.py  what is nearest to a question, where the contender retrieves (numpy)
"""
