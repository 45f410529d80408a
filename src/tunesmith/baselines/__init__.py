"""Baselines: what fine-tuning has to beat. Each is a `Completer` that wraps another `Completer`;
the unwrapped one is the zero-shot baseline.

A `successive_halving.Candidate` is one way to prompt; `successive_halving.select_candidate` selects
the best one on the validation examples. Candidates come from
`few_shot_candidates.build_shot_candidates` (fixed examples),
`prompt_candidates.build_prompt_candidates` (instructions and examples) and
`rag.retrieval_candidates.build_retrieval_candidates` (how many nearest examples or passages).
"""
