"""What every data check promises, as tests. Subclass it, implement three methods, let pytest
collect the class:

class TestMyCheck(CheckConformance):
    def get_check(self): return check_mine
    def make_clean_examples(self): return [...]
    def make_bad_examples(self): return [...]
"""

import copy
import re

from tunesmith.data.check.context import Check, CheckContext
from tunesmith.data.read import LoadedDataset, SourceSpan
from tunesmith.records import DatasetInfo, Example, Problem

FILE = "d.jsonl"


class CheckConformance:
    """The contract: no problem on clean data, every problem has its place and an advice, the data
    is unchanged.
    """

    def get_check(self) -> Check:
        raise NotImplementedError

    def make_clean_examples(self) -> list[Example]:
        """Examples without this problem."""
        raise NotImplementedError

    def make_bad_examples(self) -> list[Example]:
        """Examples that all have this problem."""
        raise NotImplementedError

    def run(self, examples: list[Example]) -> list[Problem]:
        """The problems that the check finds in these examples, one on each line of a file."""
        dataset = DatasetInfo(
            name="d",
            format="messages",
            files=(),
            columns={},
            examples=len(examples),
            content="0" * 64,
        )
        spans = (SourceSpan(FILE, None, 0, len(examples)),)
        return list(self.get_check()(CheckContext(LoadedDataset(dataset, examples, [], spans))))

    def test_clean_data_has_no_problem(self) -> None:
        assert self.run(self.make_clean_examples()) == []

    def test_a_problem_says_where_it_is_and_what_to_do(self) -> None:
        bad = self.make_bad_examples()
        problems = self.run([*self.make_clean_examples(), *bad])
        assert problems
        for problem in problems:
            assert isinstance(problem, Problem)
            assert re.fullmatch(r"data/[a-z0-9-]+", problem.code), problem.code
            assert problem.file == FILE and problem.count > 0 and problem.message and problem.hint
            assert set(problem.lines) <= {example.line for example in bad}

    def test_it_changes_nothing_and_finds_the_same_again(self) -> None:
        examples = [*self.make_clean_examples(), *self.make_bad_examples()]
        before = copy.deepcopy(examples)
        assert self.run(examples) == self.run(examples)
        assert examples == before
