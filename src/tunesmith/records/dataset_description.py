"""What a data set is, not what is wrong with it: what a decision will make of it."""

from tunesmith.records.record import Record


class LengthStats(Record):
    """Tokens, or characters where no tokenizer was there: the median, the 95th percentile and the longest."""

    median: int
    high: int
    most: int


class DataDescription(Record):
    """Labels with how often each is used, the most used first (empty where answers are no labels); lengths of questions
    and answers `position_unit` tokens or characters, over the first `measured` examples; the scorer and the form of
    answers that `decide` will take, with why, as `described` examples show them; how many examples fall on each side,
    and what so many test examples can show; the `--columns` mapping as it was found, ready to copy ("" where nothing is
    mapped)."""

    labels: dict[str, int]
    counted_in: str
    measured: int
    question_lengths: LengthStats
    answer_lengths: LengthStats
    scorer: str
    scorer_reason: str
    form: str
    described: int
    train: int
    validation: int
    test: int
    shows: str
    columns: str
