"""Frozen conditions that read the clips themselves: cached per clip, and dropped as in training."""

import json
from functools import partial
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from test_encoding import SHAPES, TWO_SIZES, cache, data_of, make_task, run
from test_tasks import trainer

from vidiff.autoencoders import Identity
from vidiff.conditions import Condition, Words
from vidiff.data import LatentCache
from vidiff.data.cache_index import read_index
from vidiff.types import Signal, SignalDims

READ = {"colour": 0, "words": 0}


class MeanColour(Condition):
    """The mean colour of each clip; grey is none."""

    reads: ClassVar = ("video",)
    frozen = True
    dims = SignalDims(vector=3)

    def signal(self, inputs):
        READ["colour"] += 1
        return Signal(vector=inputs["video"].mean(dim=(2, 3, 4)))

    def empty(self, inputs):
        return Signal(vector=torch.full((len(inputs["video"]), 3), 0.5))


class CountedWords(Words):
    def read(self, prompts):
        READ["words"] += 1
        return super().read(prompts)


WORDS = partial(CountedWords, text_dim=8, depth=1, num_heads=2, num_rows=64)


def colour_task(colour=MeanColour):
    """Latents are pixels, so that they are the same however many are encoded at once."""
    conditions = {"colour": colour, "text": WORDS}
    dropout = {"colour": 0.5, "all": 0.1}
    return make_task(autoencoder=Identity, conditions=conditions, condition_dropout=dropout)


@pytest.fixture
def encoded(tmp_path):
    return cache(tmp_path, SHAPES, colour_task(), num_epochs=4)


def test_each_clip_has_its_signal_and_the_first_row_is_the_empty_one(encoded):
    assert set(read_index(encoded).conditions) == {"colour"}, "words are trained along"
    tensors = load_file(encoded / "train-000000.safetensors")
    assert tensors["signals.colour.row"].tolist() == [1, 2, 3, 4]
    assert tensors["signals.colour.vector"].shape == (1 + 4, 3)
    assert not any(name.startswith("signals.text") for name in tensors)
    source, held = SHAPES(split="train"), LatentCache(split="train", root=str(encoded))
    for index in range(len(source)):
        sample = held[index]
        expected = source[index].pixels.mean(dim=(1, 2, 3))
        torch.testing.assert_close(sample.signals["colour"].vector, expected[None])
        assert torch.equal(sample.empty["colour"].vector, torch.full((1, 3), 0.5))


def test_training_from_the_cache_is_that_from_the_source_bit_for_bit(tmp_path, encoded):
    found = []
    for name, dataset in (("source", SHAPES), ("cache", partial(LatentCache, root=str(encoded)))):
        READ["colour"] = READ["words"] = 0
        task = colour_task()
        steps, held_out = run(tmp_path / name, dataset, task)
        found.append((steps, held_out, task.state_dict()))
        assert (READ["colour"] > 0) == (name == "source"), "what is kept is not computed again"
        assert READ["words"] >= len(steps), "what is trained along is"
    direct, cached = found
    assert len(direct[0]) == 5
    assert direct[:2] == cached[:2]
    assert direct[2].keys() == cached[2].keys()
    for name, value in direct[2].items():
        assert torch.equal(value, cached[2][name]), name


def test_the_empty_signal_stands_where_one_is_dropped(encoded):
    batch = next(iter(data_of(partial(LatentCache, root=str(encoded))).val_dataloader()))
    task = colour_task()
    task.configure_model()
    drop = {"colour": torch.tensor([True, False, True])}
    vectors = task.model.signals_of(batch, batch.latents, drop)["colour"].vector
    assert torch.equal(vectors[0], torch.full((3,), 0.5))
    assert torch.equal(vectors[1], batch.signals["colour"].vector[1])
    assert torch.equal(vectors[2], vectors[0])


class OtherColour(MeanColour):
    pass


def test_the_signals_of_another_condition_are_refused(tmp_path, encoded):
    cached = data_of(partial(LatentCache, root=str(encoded)))
    with pytest.raises(ValueError, match=r"another condition 'colour' .* model.conditions.colour"):
        trainer(tmp_path / "run").fit(colour_task(OtherColour), cached)


class Grown(MeanColour):
    """Reads clips, and nobody has kept what it says."""

    frozen = False


def test_one_that_is_trained_along_cannot_read_what_a_cache_lacks(tmp_path, encoded):
    cached = data_of(partial(LatentCache, root=str(encoded)))
    with pytest.raises(ValueError, match=r"condition 'colour' \(Grown\) reads video, and the"):
        trainer(tmp_path / "run").fit(colour_task(Grown), cached)


class Picture(MeanColour):
    """Channels next to the latents, of the clip's size."""

    dims = SignalDims(channels=1)

    def signal(self, inputs):
        return Signal(channels=inputs["video"].mean(1, keepdim=True))

    def empty(self, inputs):
        return Signal(channels=torch.zeros_like(inputs["video"][:, :1]))


def test_channels_are_kept_for_clips_of_one_size(tmp_path):
    root = cache(tmp_path / "one", SHAPES, colour_task(Picture))
    sample = LatentCache(split="val", root=str(root))[0]
    assert sample.signals["colour"].channels.shape == (1, 1, *sample.latents.shape[1:])
    run(tmp_path / "run", partial(LatentCache, root=str(root)), colour_task(Picture), max_steps=1)
    with pytest.raises(ValueError, match="channels of clips of several sizes differ in shape"):
        cache(tmp_path / "two", TWO_SIZES, colour_task(Picture))


class Bright(MeanColour):
    def signal(self, inputs):
        factors = torch.tensor([1e9 if name == "train/5" else 1.0 for name in inputs["id"]])
        return Signal(vector=super().signal(inputs).vector * factors[:, None])


def test_signals_that_overflow_are_refused_with_their_clips(tmp_path):
    message = r"signals\.colour of 'train/5' are not finite in torch.float16: look at that"
    with pytest.raises(ValueError, match=message):
        cache(tmp_path, SHAPES, colour_task(Bright), dtype="float16")


def test_the_index_names_conditions_by_their_hash(encoded):
    stored = json.loads((encoded / "index.json").read_text())
    assert stored["version"] == 2
    task = colour_task()
    task.configure_model()
    assert stored["conditions"] == task.encoders.hashes()[1]
