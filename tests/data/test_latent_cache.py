"""Reading a latent cache: what was written comes back, and what is wrong is said."""

import json
import pickle
from dataclasses import replace

import pytest
import torch

from vidiff.data import LatentCache, collate
from vidiff.data.cache_files import Table, shard_path, write_shard
from vidiff.data.cache_index import CachedSplit, Index, read_index
from vidiff.testing import check_component
from vidiff.types import LatentSample, Signal, VideoSample

SIZES = ((3, 16, 16), (1, 8, 16))
LENGTH, DRAWS, PER_SHARD = 5, 2, 4


def entry(index):
    size = SIZES[index % 2]
    shape = (4, size[0], size[1] // 4, size[2] // 4)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(index))
    return LatentSample(latents, size, ["", "a cat", "ein Bär \udcff"][index % 3], f"clip/{index}é")


def features(caption):
    length = 1 + len(caption)
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randn(1, length, 6, generator=generator)
    mask = torch.ones(1, length, dtype=torch.bool)
    mask[:, length // 2 : length - 1] = False
    return Signal(tokens.mean(1), tokens, mask)


def colour(index):
    """Of one clip; -1 is none."""
    generator = torch.Generator().manual_seed(1000 + index)
    channels = torch.randn(1, 2, 1, 2, 2, generator=generator)
    return Signal(vector=torch.randn(1, 3, generator=generator), channels=channels)


def tables(entries, samples):
    """Features of each caption, and of each clip."""
    captions = list(dict.fromkeys(["", *(s.caption for s in samples)]))
    rows = [captions.index(s.caption) for s in samples]
    clips = [colour(index) for index in (-1, *entries)]
    return {
        "text": Table([features(c) for c in captions], rows, captions),
        "colour": Table(clips, list(range(1, len(clips))), ["none", *(s.id for s in samples)]),
    }


def write(root, text=True, splits=("train", "val", "test")):
    node = {"class_path": "vidiff.data.moving_shapes.MovingShapes", "init_args": {}}
    index = Index(
        autoencoder="a", conditions={"text": "t", "colour": "c"} if text else {}, dataset=node,
        draws_anew=True, latent_channels=4, compression=(1, 4, 4), sizes=SIZES, dtype="float32",
        precision="32-true",
        entries_per_shard=PER_SHARD, splits={s: CachedSplit(LENGTH, DRAWS, "") for s in splits},
    )  # fmt: skip
    root.mkdir(exist_ok=True)
    (root / "index.json").write_text(index.dumps())
    for split in splits:
        for number in range(index.num_shards(split)):
            entries = range(number * PER_SHARD, min((number + 1) * PER_SHARD, 20))
            samples = [entry(i) for i in entries]
            held = tables(entries, samples) if text else {}
            path = shard_path(root, split, number)
            write_shard(path, index.key(split), samples, held, num_sizes=2, dtype=torch.float32)
    return index


def test_another_precision_is_named_with_both(tmp_path):
    index = write(tmp_path)
    (said,) = index.differences(replace(index, precision="bf16-mixed"))
    assert said == "trainer.precision ('32-true' and 'bf16-mixed')"


def test_the_condition_that_differs_is_named(tmp_path):
    index = write(tmp_path)
    other = replace(index, conditions={"text": "another", "colour": "c", "frame": "f"})
    assert index.differences(other) == ["condition 'frame'", "condition 'text'"]


def same(a, b):
    pairs = zip(a._forms(), b._forms(), strict=True)
    return all(one is two if one is None else torch.equal(one, two) for one, two in pairs)


@pytest.mark.parametrize("text", [True, False])
def test_every_entry_comes_back_in_every_epoch(tmp_path, text):
    index = write(tmp_path, text)
    assert read_index(tmp_path) == index
    cache = LatentCache(split="train", root=str(tmp_path))
    assert (len(cache), cache.num_sizes, cache.draws_anew) == (LENGTH, 2, True)
    for index in [*range(20), 7 + 20, 19 + 60]:
        found, expected = cache[index], entry(index % 20)
        assert torch.equal(found.latents, expected.latents)
        assert (found.size, found.caption, found.id) == (
            expected.size, expected.caption, expected.id,
        )  # fmt: skip
        if text:
            assert found.signals.keys() == found.empty.keys() == {"text", "colour"}
            assert same(found.signals["text"], features(expected.caption))
            assert same(found.empty["text"], features(""))
            assert same(found.signals["colour"], colour(index % 20))
            assert same(found.empty["colour"], colour(-1))
        else:
            assert found.signals == found.empty == {}
    batch = collate([cache[0], cache[2], cache[4]])
    assert batch.size == SIZES[0]
    assert len(batch) == 3
    with pytest.raises(IndexError):
        cache[-1]


def test_it_keeps_the_promises_of_its_kind(tmp_path):
    write(tmp_path)
    check_component("dataset", "latent_cache", root=str(tmp_path))


def test_few_files_stay_open_and_none_travels_to_a_worker(tmp_path, monkeypatch):
    monkeypatch.setattr("vidiff.data.latent_cache._OPEN", 2)
    write(tmp_path)
    cache = LatentCache(split="train", root=str(tmp_path))
    for index in range(20):
        cache[index]
    assert list(cache._open) == [3, 4]
    cache[12], cache[0]
    assert list(cache._open) == [3, 0], "the one that was used longest ago is closed"
    assert not pickle.loads(pickle.dumps(cache))._open
    assert len(pickle.dumps(cache)) < 4000, "nothing of the data stays in memory"


def test_an_epoch_cannot_be_left_where_nothing_is_drawn(tmp_path):
    index = write(tmp_path)
    steady = replace(index, draws_anew=False)
    (tmp_path / "index.json").write_text(steady.dumps())
    with pytest.raises(IndexError, match="clip 10 of 5"):
        LatentCache(split="train", root=str(tmp_path))[10]


def change(root, **changes):
    stored = json.loads((root / "index.json").read_text()) | changes
    (root / "index.json").write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "is of version 1, and this vidiff reads version 2"),
        ({"entries_per_shard": 0}, "is damaged .*not a positive number"),
        ({"entries_per_shard": 3}, "is damaged .*3 entries do not hold 2 sizes"),
        ({"entries_per_shard": "4"}, "is damaged"),
        ({"sizes": []}, "is damaged"),
        ({"sizes": [[1, -8, 8]]}, "is damaged .*a size is not positive"),
        ({"splits": {"train": {"length": 5}}}, "is damaged"),
        ({"splits": {"val": {"length": 5, "draws": 1, "source": ""}}}, "holds val, and not train"),
        ({"splits": {"train": {"length": 50, "draws": 1, "source": ""}}}, "5 of 25 shards"),
        ({"dtype": "int8"}, "is damaged .*dtype 'int8'"),
        ({"more": 1}, "is damaged"),
    ],
)
def test_an_index_that_is_not_to_be_trusted(tmp_path, changes, message):
    write(tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        LatentCache(split="train", root=str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"splits": {}}'])
def test_an_index_that_is_no_index(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ValueError, match=r"index.json is damaged \(.*encode into another folder"):
        LatentCache(split="train", root=str(tmp_path))
    with pytest.raises(ValueError, match=r"holds no latent cache.*vidiff encode -c CONFIG"):
        LatentCache(split="train", root=str(tmp_path / "none"))


def test_a_source_that_is_no_dataset_is_never_imported(tmp_path, caplog):
    write(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    change(tmp_path, dataset={"class_path": "evil.Dataset", "init_args": {}})
    LatentCache(split="train", root=str(tmp_path))
    assert "no dataset evil.Dataset is known" in caplog.text


def test_shards_of_other_caches_and_links_are_refused(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name)
    change(tmp_path / "one", autoencoder="another")
    with pytest.raises(ValueError, match=r"000000.safetensors belongs to another cache"):
        LatentCache(split="train", root=str(tmp_path / "one"))[0]
    shard = shard_path(tmp_path / "two", "train", 1)
    shard.rename(tmp_path / "outside")
    shard.symlink_to(tmp_path / "outside")
    cache = LatentCache(split="train", root=str(tmp_path / "two"))
    with pytest.raises(ValueError, match=r"000001.safetensors is a link that leads out"):
        cache[4]
    shard.unlink()
    with pytest.raises(ValueError, match=r"000001.safetensors cannot be read .*vidiff encode"):
        cache[4]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latents.0", torch.zeros(1, 4, 3, 4, 4)),
        ("latents.0", torch.zeros(2, 5, 3, 4, 4)),
        ("latents.0", torch.zeros(2)),
        ("ids.ends", torch.tensor([0, 900, -1, 3, 9])),
        ("captions.ends", torch.tensor([0])),
        ("caption", torch.tensor([77, 77, 77, 77])),
        ("signals.text.ends", torch.tensor([9, 3, 1, 0])),
    ],
)
def test_a_shard_whose_parts_do_not_fit(tmp_path, name, value):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    write(tmp_path)
    path = shard_path(tmp_path, "train", 0)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {name: value}, path, metadata)
    cache = LatentCache(split="train", root=str(tmp_path))
    with pytest.raises(ValueError, match=r"000000.safetensors cannot be read"):
        cache[2]


def clip(value=0.0, channels=3, name="a"):
    return VideoSample(torch.full((channels, 1, 2, 2), value), "", name)


def test_a_batch_refuses_bad_clips_by_name():
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="clip 'b' has values that are NaN or infinite"):
            collate([clip(), clip(bad, name="b"), clip()])
    with pytest.raises(ValueError, match=r"clip 'a' has pixels of shape \(1, 1, 2, 2\): .* RGB"):
        collate([clip(channels=1)])
    latents = entry(0)
    latents.latents[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="clip 'clip/0é' has values"):
        collate([latents])
