"""The proof that an exported folder gives the answers that were measured."""

from tunesmith.records import Record


class AnswerMismatch(Record):
    """A test example to which the bundle gives another answer than the run did."""

    example: str
    stored: str
    reproduced: str


class AnswersProof(Record):
    """How many of the stored answers a bundle's answer.py reproduces; `compared` is 0 where a
    service would charge for them.
    """

    contender: str
    compared: int
    matching: int
    mismatches: tuple[AnswerMismatch, ...] = ()

    @property
    def sentence(self) -> str:
        """For example `answer.py gives 60 of 60 stored answers of rag`."""
        if not self.compared:
            return f"no stored answers of {self.contender} were compared"
        return (
            f"answer.py reproduces {self.matching:,} of {self.compared:,} stored answers of "
            f"{self.contender}"
        )
