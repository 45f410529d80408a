"""What every kind of adapter promises, as tests on a tiny Llama with random weights. Subclass it,
implement `make_trainable`, let pytest collect the class:

class TestMyAdapter(AdapterConformance):
    def make_trainable(self, loaded, recipe): return build_mine(loaded, recipe)
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.records import AdapterRecipe

CONFIG = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    tie_word_embeddings=True,
    initializer_range=0.2,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=2,
)


class AdapterConformance:
    """The contract: an adapter starts as the base model, every weight is trained, and what is
    written is what was trained.
    """

    recipe = AdapterRecipe(rank=4, alpha=8.0)

    def make_trainable(self, loaded: LoadedModel, recipe: AdapterRecipe) -> TrainableModel:
        raise NotImplementedError

    @pytest.fixture
    def loaded(self, tmp_path: Path) -> LoadedModel:
        """The model to adapt."""
        return self.load(tmp_path)

    def load(self, tmp_path: Path) -> LoadedModel:
        """The same model each time, in float32."""
        # Leaves the global random state of the surrounding test session untouched.
        with torch.random.fork_rng():
            torch.manual_seed(0)
            LlamaForCausalLM(CONFIG).save_pretrained(tmp_path / "tiny")
            return load_model(tmp_path / "tiny", "float32")

    def compute_logits(self, loaded: LoadedModel) -> Tensor:
        """Logits of one short text. Shape: (1, tokens, vocabulary)."""
        with torch.inference_mode():
            logits: Tensor = loaded.model(input_ids=torch.arange(3, 13)[None]).logits
        return logits.clone()

    def take_steps(self, loaded: LoadedModel, trainable: TrainableModel, steps: int = 3) -> None:
        """Move the weights as the trainer does. More than one step, because LoRA's A has no
        gradient while B is 0.
        """
        for _ in range(steps):
            loaded.model(input_ids=torch.arange(3, 13)[None]).logits[..., 5].sum().backward()
            trainable.collect_gradients()
            with torch.no_grad():
                for weight in trainable.get_weights().values():
                    assert weight.grad is not None
                    # Normalized, so that weights of any scale move visibly.
                    weight.sub_(0.01 * weight.grad / weight.grad.norm().clamp(min=1e-9))
                    weight.grad = None
            trainable.sync_to_model()

    def test_it_begins_as_the_base_model(self, loaded: LoadedModel) -> None:
        before = self.compute_logits(loaded)
        self.make_trainable(loaded, self.recipe)
        torch.testing.assert_close(self.compute_logits(loaded), before)

    def test_its_weights_are_float32_and_keep_their_order(self, loaded: LoadedModel) -> None:
        trainable = self.make_trainable(loaded, self.recipe)
        weights = trainable.get_weights()
        assert weights and all(
            weight.dtype == torch.float32 and weight.requires_grad for weight in weights.values()
        )
        assert [*trainable.get_weights()] == [*weights]
        assert all(trainable.get_weights()[name] is weight for name, weight in weights.items())

    def test_every_weight_learns_and_nothing_else_does(self, loaded: LoadedModel) -> None:
        trainable = self.make_trainable(loaded, self.recipe)
        trained = {id(weight) for weight in trainable.get_weights().values()}
        before = {name: weight.detach().clone() for name, weight in trainable.get_weights().items()}
        others = {
            name: (weight, weight.detach().clone())
            for name, weight in loaded.model.named_parameters()
            if id(weight) not in trained
        }
        self.take_steps(loaded, trainable)
        assert [
            name
            for name, weight in trainable.get_weights().items()
            if torch.equal(weight, before[name])
        ] == []
        assert [
            name for name, (weight, old) in others.items() if not torch.equal(weight, old)
        ] == []

    def test_what_is_written_is_read_again(self, loaded: LoadedModel, tmp_path: Path) -> None:
        trainable = self.make_trainable(loaded, self.recipe)
        self.take_steps(loaded, trainable)
        trained = self.compute_logits(loaded)
        trainable.write(tmp_path / "written", "tiny", None)
        self.take_steps(loaded, trainable)
        assert not torch.equal(self.compute_logits(loaded), trained)
        trainable.read(tmp_path / "written")
        torch.testing.assert_close(self.compute_logits(loaded), trained, rtol=0, atol=0)

    def test_a_written_adapter_works_on_a_fresh_model(
        self, loaded: LoadedModel, tmp_path: Path
    ) -> None:
        trainable = self.make_trainable(loaded, self.recipe)
        self.take_steps(loaded, trainable)
        trained = self.compute_logits(loaded)
        trainable.write(tmp_path / "written", "tiny", None)
        fresh = self.load(tmp_path)
        self.make_trainable(fresh, self.recipe).read(tmp_path / "written")
        torch.testing.assert_close(self.compute_logits(fresh), trained)

    def test_the_base_model_is_there_before_the_first_step(self, loaded: LoadedModel) -> None:
        """Preference methods use it as their reference; after the first step an adapter need not
        provide it.
        """
        before = self.compute_logits(loaded)
        with self.make_trainable(loaded, self.recipe).use_base_model():
            torch.testing.assert_close(self.compute_logits(loaded), before)
