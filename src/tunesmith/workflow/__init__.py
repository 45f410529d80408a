"""The stages in their order; no other package knows it. One file for each thing a user can request:

    check              examples -> all problems
    data_preparation   examples -> dataset -> prepared data, completed recipe, mask proof
    estimate           recipe -> time, memory and cost
    training_job       prepared data -> run
    decide             recipe -> baselines, run, evaluation, verdict, costs, errors, report:
                       `decision_inputs` gathers the inputs, `conclusion` concludes
    redecide           a run's stored answers -> its verdict, recomputed
    resume             an interrupted run -> the finished run
    compare            two runs -> what changed; three or more -> how much their seeds differ
    model_evaluation   models + examples -> evaluation: `evaluation_inputs` gathers the inputs
    export             a run -> a model folder
    chat               model -> answers

Stages hold no domain logic and do no user I/O: they report to a `ProgressListener`, which the
command line draws and a script may omit.
"""
