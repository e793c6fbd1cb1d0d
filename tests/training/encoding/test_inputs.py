"""What a dataset says of its clips reaches the conditions that read it."""

from functools import partial
from typing import ClassVar

import pytest
import torch
from test_encoding import SHAPES, cache, data_of, make_task
from test_tasks import Each, trainer

from vidiff.conditions import Condition
from vidiff.data import LatentCache, MovingShapes, collate
from vidiff.training.sampling.prompts import for_each
from vidiff.types import Signal, SignalDims, VideoSample

SCENES = ("sea", "street", "wood")
SEEN = []


class Told(MovingShapes):
    """Each clip has a number, a tensor and a name."""

    def told(self, index):
        label = index % 3
        return {"label": label, "place": torch.full((2,), float(index)), "scene": SCENES[label]}

    def __getitems__(self, indices):
        samples = super().__getitems__(indices)
        for index, sample in zip(indices, samples, strict=True):
            sample.inputs = self.told(index)
        return samples


class Reads(Condition):
    """All three, as one vector."""

    reads: ClassVar = ("label", "place", "scene")
    dims = SignalDims(vector=4)

    def signal(self, inputs):
        label, place = inputs["label"], inputs["place"]
        SEEN.append((label.tolist(), place.tolist(), inputs["scene"], inputs.get("id")))
        scene = torch.tensor([SCENES.index(name) for name in inputs["scene"]])
        return Signal(vector=torch.cat([label[:, None], place, scene[:, None]], 1).float())

    def empty(self, inputs):
        return Signal(vector=torch.full((len(inputs["scene"]), 4), -1.0))


TOLD = partial(Told, **SHAPES.keywords)


def reading_task():
    return make_task(conditions={"facts": Reads}, condition_dropout=0.3)


def test_a_number_a_tensor_and_a_string_reach_the_condition(tmp_path):
    SEEN.clear()
    trainer(tmp_path, max_steps=3, limit_val_batches=1).fit(reading_task(), data_of(TOLD))
    assert len(SEEN) >= 4
    for labels, places, scenes, ids in SEEN:
        numbers = [int(name.split("/")[1]) for name in ids]
        assert [number % 3 for number in numbers] == labels
        assert scenes == [SCENES[label] for label in labels]
        assert places == [[number, number] for number in numbers]


@pytest.mark.parametrize("lacking", ["label", "place", "scene"])
def test_an_input_that_is_missing_is_refused_by_name_before_any_step(tmp_path, lacking):
    class Lacks(Told):
        def told(self, index):
            return {k: v for k, v in super().told(index).items() if k != lacking}

    steps = []
    run = trainer(tmp_path, callbacks=[Each(lambda trainer, task: steps.append(1))])
    message = (
        rf"condition 'facts' \(Reads\) reads {lacking}, and the inputs given are caption, id, .*: "
        rf"give '{lacking}' with the clips"
    )
    with pytest.raises(ValueError, match=message):
        run.fit(reading_task(), data_of(partial(Lacks, **SHAPES.keywords)))
    assert not steps
    assert run.global_step == 0
    assert not list(tmp_path.rglob("*.ckpt"))


def test_all_that_are_missing_are_named_and_so_are_those_of_a_call(tmp_path):
    with pytest.raises(ValueError, match="reads label, place, scene, and the inputs given are"):
        trainer(tmp_path).fit(reading_task(), data_of(SHAPES))
    task = reading_task()
    task.clip_size = (3, 16, 16)
    with pytest.raises(ValueError, match="reads place, scene, and the inputs given are caption, l"):
        task.sample(["a"], inputs={"label": torch.tensor([1])}, num_steps=1)
    given = {"label": torch.tensor([1, 2]), "place": torch.ones(2, 2), "scene": ["sea", "wood"]}
    SEEN.clear()
    videos = task.sample(["a", "b"], inputs=given, num_steps=1)
    assert videos.shape == (2, 3, 3, 16, 16)
    one_by_one = task.sample(["a", "b"], inputs=given, num_steps=1, batch_size=1)
    torch.testing.assert_close(videos, one_by_one, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="input 'place' has 2 entries for 3 videos"):
        task.sample(["a", "b", "c"], inputs=given | {"label": [1, 2, 0]}, num_steps=1)


def test_inputs_are_kept_for_frozen_conditions_when_a_dataset_is_encoded(tmp_path):
    class Still(Reads):
        frozen = True

    SEEN.clear()
    task = make_task(conditions={"facts": Still})
    root = cache(tmp_path, TOLD, task)
    assert LatentCache(split="train", root=str(root))[4].signals["facts"].vector.tolist() == [
        [1.0, 4.0, 4.0, 1.0]
    ]
    assert {name for *_, ids in SEEN for name in ids} >= {f"train/{index}" for index in range(10)}


def clip(**inputs):
    return VideoSample(torch.zeros(3, 1, 2, 2), "", "a", inputs)


def test_a_batch_has_tensors_stacked_numbers_as_a_tensor_and_the_rest_as_a_list():
    one, two = torch.zeros(2, 3), torch.ones(2, 3)
    rows = [clip(x=one, label=1, share=0.5, sure=True, name="sea")]
    rows.append(clip(x=two, label=7, share=1.5, sure=False, name="wood"))
    inputs = collate(rows).inputs
    assert torch.equal(inputs["x"], torch.stack([one, two]))
    assert inputs["label"].tolist() == [1, 7]
    assert inputs["label"].dtype == torch.int64
    assert inputs["share"].tolist() == [0.5, 1.5]
    assert inputs["sure"].tolist() == [True, False]
    assert inputs["name"] == ["sea", "wood"]
    assert set(inputs) == {"caption", "id", "video", "x", "label", "share", "sure", "name"}


def test_clips_of_other_inputs_and_names_that_are_taken_are_refused():
    with pytest.raises(ValueError, match=r"clip 'a' has inputs \['x'\], and 'a' has \['y'\]"):
        collate([clip(y=1), clip(x=1)])
    with pytest.raises(ValueError, match="clip 'a' has an input 'video', which every clip has"):
        collate([clip(video=1)])
    with pytest.raises(ValueError, match=r"input 'x' .* one shape, got \[\(2,\), \(3,\)\]"):
        collate([clip(x=torch.zeros(2)), clip(x=torch.zeros(3))])


def test_inputs_of_a_call_that_are_neither_text_nor_numbers_are_refused_by_name():
    found = for_each({"label": 3, "colour": [0.5, 0.1, 0.1], "text": "x"}, 2)
    assert found["label"].tolist() == [3, 3]
    assert found["colour"].shape == (2, 3)
    assert found["text"] == ["x", "x"]
    for value in (None, ["a", "b"], [[1.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"--inputs colour: .* neither text, a number"):
            for_each({"colour": value}, 2)
