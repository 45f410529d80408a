"""Programs that `tunesmith export` copies into a bundle; they import nothing of tunesmith.

answer_local.py   -> answer.py    answers with a model on this machine (transformers, torch)
answer_remote.py  -> answer.py    answers with a service behind an OpenAI-compatible URL (standard
library only) messages.py       -> messages.py  builds the messages that are sent for a question
retrieve.py       -> retrieve.py  finds the entries nearest to a question, for contenders with
retrieval (numpy)
"""
