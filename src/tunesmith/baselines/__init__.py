"""Baselines: things to beat. Each is a Completer around another Completer; the bare completer is the zero-shot one.

A `choosing.Candidate` is one way to ask; `choosing.choose` finds the best of several on the validation examples. They
come from `shots.shot_candidates` (fixed examples), `searched.search_prompts` (instructions and examples) and
`rag.answer.retrieval_candidates` (how many nearest examples or passages).
"""
