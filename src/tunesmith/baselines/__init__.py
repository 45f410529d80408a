"""Baselines: things to beat. Each is a Completer around another Completer; the bare completer is the zero-shot one.

A `choosing.Candidate` is one way to ask; `choosing.choose` finds the best of several on the validation examples. They
come from `shots.build_shot_candidates` (fixed examples), `searched.build_prompt_candidates` (instructions and examples) and
`rag.answer.build_retrieval_candidates` (how many nearest examples or passages).
"""
