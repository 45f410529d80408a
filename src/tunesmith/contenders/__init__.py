"""Contenders: every way to answer that a decision compares.

Each is a `Completer`. The bare model is the zero-shot contender; others wrap it (`prompting/`,
`retrieval/`), constrain its output (`output_constraint`), are the tuned model, a remote model or
answers from elsewhere (`external_contenders`).

    contender_factory    recipe, models, examples -> contenders in the order in which they run
    contender_models     the base, tuned and remote models behind them
    candidate_selection  variants of one contender -> the best on the validation examples
                         (`successive_halving`)
    contender_loading    a run folder -> its winner, ready to answer
"""
