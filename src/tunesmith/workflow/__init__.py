"""The stages in order; nothing else knows it. One file for each thing a person can ask for.

    check      examples -> every problem
    material   examples -> dataset -> prepared data, recipe completed, mask proven
    estimate   recipe -> time, memory and money
    tuning     material -> run
    decide     recipe -> baselines, run, evaluation, verdict, costs, errors, report: `ready` gathers what it needs,
               `lineup` makes the contenders, `choices` chooses for them, `contest` asks them, `findings` concludes
    again      a run's stored answers -> its verdict, made again
    resume     a run that was cut short -> its end
    compare    two runs -> what changed; more of them -> how far their seeds lie apart
    evaluate   models + examples -> evaluation
    export     a run -> a model folder
    talk       model -> answers
    init       questions -> the recipe's circumstances
    inventory  what is on this machine: models, sample, runs

No logic of a stage stands here and nobody is talked to: what happens is told to a `ProgressListener`, which the command
line
draws and a script may leave out.
"""
