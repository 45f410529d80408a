"""The stages in order; nothing else knows it. One file for each thing a person can ask for.

    check     examples -> every problem
    material  examples -> dataset -> prepared data, recipe completed, mask proven
    tuning    material -> run
    decide    material -> baselines, run, evaluation, decision, report
    evaluate  models + examples -> evaluation
    talk      model -> answers
    inventory what is on this machine: models, sample, runs

No logic of a stage stands here and nobody is talked to: what happens is told to a `Listener`, which the command line
draws and a script may leave out.
"""
