"""What every `records.Completer` promises, as tests. Subclass it, implement `make_completer`, let
pytest collect the class:

    class TestMyCompleter(CompleterConformance):
        def make_completer(self): return MyCompleter(...)
"""

from tunesmith.records import Completer, Completion, Message, Prompt


class CompleterConformance:
    """The contract: one completion per prompt, in order, deterministic; a failure is a completion
    with an error, never an exception.
    """

    def make_completer(self) -> Completer:
        raise NotImplementedError

    def make_answerable_prompts(self) -> list[Prompt]:
        """At least two different prompts that the completer can answer."""
        return [
            (Message("user", "one"),),
            (Message("user", "two"),),
            (Message("user", "three, and more words"),),
        ]

    def make_unanswerable_prompt(self) -> Prompt:
        """A prompt that the completer cannot answer (too long, rejected...)."""
        # 60,000 words: beyond the context of the models that are tested.
        return (Message("user", "far too long " * 20_000),)

    def test_one_completion_per_prompt_in_their_order(self) -> None:
        prompts = self.make_answerable_prompts()
        together = self.make_completer().complete(prompts)
        backwards = self.make_completer().complete(prompts[::-1])
        assert all(isinstance(completion, Completion) for completion in together)
        assert [c.text for c in together] == [c.text for c in backwards[::-1]]
        assert [c.tokens_in for c in together] == [c.tokens_in for c in backwards[::-1]]

    def test_the_same_prompt_gets_the_same_answer(self) -> None:
        first = self.make_answerable_prompts()[0]
        completer = self.make_completer()
        texts = {c.text for c in completer.complete([first, first])} | {
            completer.complete([first])[0].text
        }
        assert len(texts) == 1

    def test_no_prompts_give_no_completions(self) -> None:
        assert self.make_completer().complete([]) == []

    def test_an_answer_has_its_figures(self) -> None:
        for completion in self.make_completer().complete(self.make_answerable_prompts()):
            assert completion.error is None
            assert (
                completion.tokens_in > 0 and completion.tokens_out >= 0 and completion.seconds >= 0
            )
            assert completion.text == completion.text.strip()

    def test_what_cannot_be_answered_is_a_completion_with_an_error(self) -> None:
        good = self.make_answerable_prompts()
        alone = self.make_completer().complete(good)
        mixed = self.make_completer().complete(
            [good[0], self.make_unanswerable_prompt(), *good[1:]]
        )
        assert mixed[1].error and mixed[1].text == "" and not mixed[1].finished
        assert [c.text for c in mixed if c.error is None] == [c.text for c in alone]

    def test_strange_texts_never_raise(self) -> None:
        # NUL, a lone surrogate, right-to-left override, control tokens and template syntax.
        strange = ["", " ", "\0", "\ud800", "\u202e😀", "<|im_end|>", "{{ 1 }}", "x\r\n\t"]
        prompts: list[Prompt] = [(), *((Message("user", text),) for text in strange)]
        assert len(self.make_completer().complete(prompts)) == len(prompts)

    def test_progress_rises_to_the_number_of_prompts(self) -> None:
        prompts = [*self.make_answerable_prompts(), self.make_unanswerable_prompt()]
        seen: list[tuple[int, int]] = []
        self.make_completer().complete(prompts, lambda ready, wanted: seen.append((ready, wanted)))
        ready = [r for r, _ in seen]
        assert ready == sorted(ready) and ready[-1] == len(prompts)
        assert {wanted for _, wanted in seen} == {len(prompts)}
