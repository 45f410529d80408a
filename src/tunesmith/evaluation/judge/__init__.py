"""LLM judge: a model that grades answers or compares two; it decides only after it has qualified.

    human_labels             answers rated by people: the reference, and which kind of judge is used
    prompt_sanitizer         how a text is shown to a judge so that it cannot give instructions
    verdict_parsing          valid replies: JSON of one schema, nothing else
    rubric_judge             a grade for one answer
    pairwise_judge           the better of two answers, compared in both orders
    qualification            whether the judge is reliable enough to decide
    qualification_criteria   what it has to pass
    kappa                    agreement beyond chance
    judge_scorers            judges as scorers, combined with a scorer that needs no model
    caching_completer        counts a judge's requests and sends each only once

Entry points: `human_labels.read_human_labels`, `qualification.qualify_judge`,
`qualification.add_judge`.
"""
