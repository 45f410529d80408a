"""Baselines: things to beat. Each is a Completer around another Completer; the bare completer is the zero-shot one.

Doors: `prompt.FewShot`, `prompt.choose_shots`, `rag.answer.RetrievedShots`, `rag.answer.RetrievedPassages`.
"""
