"""Evaluation: completers and test examples in, an `Evaluation` and every scored answer out.

Entry points: `harness.evaluate_contenders`, `harness.evaluate_answers`, `scorers.choose_scorer`.
"""
