"""A description of a data set, as opposed to its problems: what a decision will make of it."""

from tunesmith.records.record import Record


class LengthStats(Record):
    """Lengths in tokens, or in characters without a tokenizer: median, 95th percentile and
    maximum.
    """

    median: int
    p95: int
    max: int


class DataDescription(Record):
    """What `decide` will make of the data.

    Labels with the number of their uses, most used first (empty if answers are not labels); lengths
    of questions and answers in units of `length_unit`, over the first `n_measured` examples; the
    scorer and the output constraint that `decide` will choose, with reasons, from `n_described`
    examples ("" where no scorer can judge the answers: the reason says why); the number of examples
    in each split, and what so many test examples can show; the columns that were read, as a
    `--columns` mapping ready to copy ("" for a task of another tool).
    """

    labels: dict[str, int]
    length_unit: str
    n_measured: int
    question_lengths: LengthStats
    answer_lengths: LengthStats
    scorer: str
    scorer_reason: str
    output_format: str
    n_described: int
    train: int
    validation: int
    test: int
    power_statement: str
    columns: str
