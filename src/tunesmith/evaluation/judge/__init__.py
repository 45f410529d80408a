"""The judge: a model that marks answers, or says which of two is better; it decides only after it has qualified.

    labels      answers that people judged: what the judge is held against, and what kind of judge is wanted
    shown       how a text is laid before a judge so that it cannot speak to it
    verdict     what a judge may reply: JSON of one shape, nothing else
    rubric      a mark for one answer          pairwise    the better of two, asked in both orders
    qualify     is it as good as it must be to decide?     kappa    agreement beyond chance
    scorer      judges as scorers, beside a scorer that needs no model

Doors: `labels.read_human_labels`, `qualify.qualify`, `scorer.add_judge`.
"""
