"""Evaluate: completers and test examples in, an `Evaluation` and every answer out.

Doors: `evaluate.evaluate_contenders`, `evaluate.evaluate_answers` and `scorers.choose_scorer`.
"""
