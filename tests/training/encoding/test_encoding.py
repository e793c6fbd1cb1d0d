"""``vidiff encode`` writes what training would compute, once, and nothing over anything else."""

import copy
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from test_data_module import Numbers
from test_tasks import Each, autoencoder_task, trainer

from vidiff.autoencoders import CausalKL, Identity
from vidiff.conditions import Words
from vidiff.data import LatentCache, MovingShapes, VideoFolder
from vidiff.data.base import VideoDataset
from vidiff.data.cache_index import read_index
from vidiff.denoisers import DiT
from vidiff.fingerprints import weights_hash
from vidiff.patchifiers import Tubelet
from vidiff.training import DiffusionTask
from vidiff.training.callbacks import SampleVideos, Throughput
from vidiff.training.data import VideoDataModule
from vidiff.training.encoding.data import read_splits

AUTOENCODER = partial(CausalKL, latent_channels=4, folds=[(2, 4, 4)], width=[8], depth=1)
SHAPES = partial(
    MovingShapes, num_videos=10, num_val_videos=3, num_frames=3, height=16, width=16,
    radius=(3.0, 4.0), speed=(1.0, 2.0),
)  # fmt: skip
TWO_SIZES = partial(SHAPES, sizes=[(3, 16, 16), (1, 24, 16)])
COUNTS = {"encode": 0, "read": 0}


class FrozenWords(Words):
    """What a pretrained encoder is to training, with prompts of unequal length."""

    frozen = True

    def read(self, prompts):
        COUNTS["read"] += 1
        return super().read(prompts)


class Counting(CausalKL):
    def encode(self, pixels):
        COUNTS["encode"] += 1
        return super().encode(pixels)


def make_task(text=FrozenWords, autoencoder=AUTOENCODER, **settings):
    words = text and partial(text, text_dim=8, depth=1, num_heads=2, num_rows=64)
    return DiffusionTask(
        autoencoder=autoencoder,
        denoiser=partial(
            DiT, width=16, depth=1, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 2, 2))
        ),
        **{"conditions": {"text": words} if words else {}, "condition_dropout": 0.4} | settings,
        warmup_steps=2,
    )


def data_of(dataset, **settings):
    return VideoDataModule(dataset=dataset, **{"batch_size": 4, **settings})


def cache(root, dataset, task=None, **settings):
    settings = {"entries_per_shard": 4} | settings
    trainer(root).encode(task or make_task(), data_of(dataset), str(root / "cache"), **settings)
    return root / "cache"


def run(folder, dataset, task, **settings):
    """The loss and the clips of each step, and the validation's losses."""
    steps, data = [], data_of(dataset)
    noted = Each(lambda trainer, task: steps.append(float(trainer.callback_metrics["train/loss"])))
    settings = {"max_steps": 5, "limit_val_batches": 1.0, "callbacks": [noted]} | settings
    fit = trainer(folder, **settings)
    fit.fit(task, data)
    held_out = {k: float(v) for k, v in fit.callback_metrics.items() if k.startswith("val/")}
    return steps, held_out


@pytest.fixture
def folder(tmp_path, make_video):
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(5):
        make_video(videos / f"{number}.mp4", [k / 10 for k in range(20 + number)])
        (videos / f"{number}.txt").write_text("a " * number + "clip")
    return partial(
        VideoFolder, root=str(videos), num_frames=3, height=16, width=16, crop="random", seed=1
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("shapes", FrozenWords),
        ("sizes", FrozenWords),
        ("folder", FrozenWords),
        ("sizes", Words),
        ("folder", None),
    ],
)
def test_training_from_the_cache_has_the_losses_of_encoding_on_the_fly(
    tmp_path, folder, source, text
):
    dataset = {"shapes": SHAPES, "sizes": TWO_SIZES, "folder": folder}[source]
    root = cache(tmp_path, dataset, make_task(text), num_epochs=4, batch_size=3)
    cached = partial(LatentCache, root=str(root))
    COUNTS["encode"] = COUNTS["read"] = 0
    task = make_task(text, partial(Counting, **AUTOENCODER.keywords))
    direct = run(tmp_path / "direct", dataset, task)
    assert COUNTS["encode"] > 5
    read = COUNTS["read"]
    assert (read > 5) == (text is FrozenWords)
    from_cache = run(tmp_path / "cached", cached, make_task(text))
    assert COUNTS["read"] == read, "a frozen condition reads nothing in training from a cache"
    assert len(direct[0]) == 5
    assert from_cache[0] == pytest.approx(direct[0], abs=1e-5)
    assert direct[1].keys() == from_cache[1].keys()
    assert from_cache[1] == pytest.approx(direct[1], abs=1e-5)


def test_each_epoch_has_its_own_draws_and_then_the_first_come_again(tmp_path, folder):
    root = cache(tmp_path, folder, num_epochs=2)
    source, held = folder(split="train"), LatentCache(split="train", root=str(root))
    task = make_task()
    torch.manual_seed(0)
    task.configure_model()
    for index in range(10):
        sample = source[index]
        with torch.no_grad():
            expected = task.autoencoder.encode(sample.pixels[None])[0]
        for again in (index, index + 10, index + 30):
            entry = held[again]
            assert (entry.id, entry.caption) == (sample.id, sample.caption)
            torch.testing.assert_close(entry.latents, expected, atol=1e-5, rtol=0)
    assert len(held) == 5
    assert len({held[index].id for index in range(10)}) == 10
    assert not torch.equal(held[0].latents, held[5].latents)
    assert read_index(root).splits["val"].draws == 1, "validation never draws anew"


@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 2**-8), ("float16", 2**-11)])
def test_half_precision_stores_rounded_latents_and_features(tmp_path, dtype, error):
    whole = LatentCache(split="val", root=str(cache(tmp_path / "a", SHAPES)))
    half = LatentCache(split="val", root=str(cache(tmp_path / "b", SHAPES, dtype=dtype)))
    for index in range(3):
        one, two = whole[index], half[index]
        features = (one.signals["text"].tokens, two.signals["text"].tokens)
        for a, b in ((one.latents, two.latents), features):
            assert b.dtype == torch.float32
            assert not torch.equal(a, b)
            torch.testing.assert_close(b, a, rtol=error, atol=1e-6)


def contents(root):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.iterdir()}


def test_a_call_that_was_cut_off_goes_on_with_the_missing_shards(tmp_path, monkeypatch):
    import vidiff.training.encoding.module as encoding

    whole = contents(cache(tmp_path / "whole", SHAPES))
    write, written = encoding.write_shard, []

    def cut_off(path, *args, **settings):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *args, **settings)

    monkeypatch.setattr(encoding, "write_shard", cut_off)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        cache(tmp_path, SHAPES)
    monkeypatch.setattr(encoding, "write_shard", write)
    root = tmp_path / "cache"
    with pytest.raises(ValueError, match="train has 2 of 3 shards: run the same `vidiff encode`"):
        LatentCache(split="train", root=str(root))
    before = contents(root)
    assert cache(tmp_path, SHAPES, batch_size=3) == root  # another batch size is the same cache
    after = contents(root)
    assert after.keys() == whole.keys()
    for file in root.glob("*.safetensors"):
        torch.testing.assert_close(
            load_file(file), load_file(tmp_path / "whole" / "cache" / file.name)
        )
    for name in written:
        assert after[name] == before[name], "what was there is left alone"


@pytest.mark.filterwarnings("ignore:Total length of `Jobs`")
def test_a_complete_cache_says_so_and_is_left_alone(tmp_path, caplog, monkeypatch):
    root = cache(tmp_path, SHAPES)
    before = contents(root)
    monkeypatch.setattr(CausalKL, "encode", None)
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        cache(tmp_path, SHAPES)
    assert f"{root}, train: 10 clips, complete" in caplog.text
    shards = {name: held for name, held in contents(root).items() if name != "index.json"}
    assert shards.items() <= before.items()


def test_a_damaged_shard_is_an_error_and_is_written_anew(tmp_path):
    root = cache(tmp_path, SHAPES)
    file = root / "train-000001.safetensors"
    whole = file.read_bytes()
    for length in (0, 100, len(whole) - 1):
        file.write_bytes(whole[:length])
        held = LatentCache(split="train", root=str(root))
        assert held[3].id == "train/3"
        with pytest.raises(ValueError, match=r"train-000001.safetensors cannot be read"):
            held[4]
        cache(tmp_path, SHAPES)
        assert file.read_bytes() == whole


def test_splits_can_be_added_later(tmp_path):
    root = cache(tmp_path, SHAPES, splits="train")
    with pytest.raises(ValueError, match=r"holds train, and not val: run .* with --splits val"):
        LatentCache(split="val", root=str(root))
    cache(tmp_path, SHAPES, splits="val, test")
    assert [len(LatentCache(split=s, root=str(root))) for s in ("train", "val", "test")] == [
        10,
        3,
        3,
    ]


class Wider(FrozenWords):
    pass


def test_another_cache_is_not_overwritten(tmp_path, folder):
    root = cache(tmp_path, folder)
    before = contents(root)
    other = partial(CausalKL, **AUTOENCODER.keywords | {"depth": 2})

    def refused(message, dataset=folder, task=None, **settings):
        with pytest.raises(ValueError, match=f"holds another cache.* differ: {message}.* Choose"):
            cache(tmp_path, dataset, task, **settings)
        assert contents(root) == before

    refused("autoencoder", task=make_task(autoencoder=other))
    refused("condition 'text'", task=make_task(Wider))
    refused("condition 'text'", task=make_task(Words))
    refused(r"the dataset's seed \(1 and 2\)", partial(folder, seed=2))
    refused(r"num_epochs of train \(1 and 3\)", num_epochs=3)
    refused("dtype", dtype="float16")
    refused("entries per shard", entries_per_shard=8)
    (tmp_path / "videos" / "0.txt").write_text("another caption")
    refused("source files of train; source files of val")


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(ValueError, match="is not empty and holds no latent cache"):
        cache(tmp_path, SHAPES)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["thesis.txt"]


def test_a_stale_cache_is_refused(tmp_path, folder, caplog):
    root = str(cache(tmp_path, folder))
    video = tmp_path / "videos" / "3.mp4"
    held = video.read_bytes()
    LatentCache(split="train", root=root)
    video.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"is stale, the files .* have changed \(.*videos\)"):
        LatentCache(split="train", root=root)
    LatentCache(split="train", root=root, check_source=False)
    video.write_bytes(held)
    LatentCache(split="train", root=root)
    (tmp_path / "videos").rename(tmp_path / "elsewhere")
    LatentCache(split="train", root=root)
    assert "its source is not at hand" in caplog.text


def test_training_refuses_the_latents_of_other_encoders(tmp_path):
    cached = partial(LatentCache, root=str(cache(tmp_path, SHAPES)))
    other = make_task(autoencoder=partial(CausalKL, **AUTOENCODER.keywords | {"depth": 2}))
    with pytest.raises(ValueError, match="was encoded with another autoencoder than this task has"):
        trainer(tmp_path / "a").fit(other, data_of(cached))
    with pytest.raises(ValueError, match="was encoded with another autoencoder"):
        trainer(tmp_path / "a", limit_val_batches=1.0).validate(
            copy.deepcopy(other), data_of(cached)
        )
    with pytest.raises(ValueError, match=r"another condition 'text' .* model\.conditions\.text to"):
        trainer(tmp_path / "b").fit(make_task(Wider), data_of(cached))
    task = make_task(Words)  # learns its own words from the captions
    trainer(tmp_path / "c", max_steps=1).fit(task, data_of(cached))
    with pytest.raises(ValueError, match="an autoencoder learns from pixels, and this dataset"):
        trainer(tmp_path / "d").fit(autoencoder_task(), data_of(cached))
    with pytest.raises(ValueError, match="gives latents already"):
        cache(tmp_path / "again", cached)


def test_samples_rates_and_clip_size_come_from_a_cache_too(tmp_path):
    cached = partial(LatentCache, root=str(cache(tmp_path, SHAPES)))
    task, rates = make_task(), Throughput()
    callbacks = [rates, SampleVideos(["a red square"], every_n_steps=2, num_steps=1)]
    run(tmp_path / "run", cached, task, max_steps=2, callbacks=callbacks)
    assert task.clip_size == (3, 16, 16)
    assert list((tmp_path / "run" / "samples" / "step_00000002").glob("*.mp4"))
    direct = Throughput()
    run(tmp_path / "direct", SHAPES, make_task(), max_steps=1, callbacks=[direct])
    flops, tokens = rates.costs[3, 16, 16]
    more, same = direct.costs[3, 16, 16]
    assert tokens == same == 2 * 2 * 2
    assert 0 < flops < more, "nothing is encoded"


def test_the_encoders_of_a_checkpoint_are_used(tmp_path):
    task = make_task()
    trainer(tmp_path / "run", max_steps=1).fit(task, data_of(SHAPES))
    with torch.no_grad():
        for parameter in task.autoencoder.parameters():
            parameter.mul_(1.5)
    run = trainer(tmp_path / "run")
    run.strategy.connect(task)
    run.save_checkpoint(tmp_path / "changed.ckpt")
    index = read_index(cache(tmp_path, SHAPES, ckpt_path=str(tmp_path / "changed.ckpt")))
    assert index.autoencoder == task.encoders.hashes()[0]
    assert read_index(cache(tmp_path / "own", SHAPES)).autoencoder != index.autoencoder


def test_what_cannot_be_encoded(tmp_path, folder):
    with pytest.raises(ValueError, match="encoding needs a DiffusionTask and its data, not a Auto"):
        cache(tmp_path, SHAPES, autoencoder_task())
    for name in ("num_epochs", "batch_size", "entries_per_shard"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            cache(tmp_path, SHAPES, **{name: 0})
    with pytest.raises(
        ValueError, match="splits must be some of train, val and test, got 'train,v"
    ):
        cache(tmp_path, SHAPES, splits="train,valid")
    with pytest.raises(ValueError, match=r"4 frames do not fit .* the nearest is"):
        cache(tmp_path, partial(SHAPES, num_frames=4))
    assert not (tmp_path / "cache").exists()
    assert read_splits("val,train,val") == ["train", "val"]


class Flawed(Numbers):
    """Numbers, of which number 5 is not one."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index == 5:
            sample.pixels[1, 0, 1, 1] = float("nan")
        return sample


class Loud(Identity):
    def encode(self, pixels):
        return pixels * 1e5


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_clip_that_is_not_finite_is_named_and_nothing_of_it_is_kept(tmp_path, num_workers):
    settings = {"num_workers": num_workers, "batch_size": 4, "val_batch_size": 3}
    data = VideoDataModule(dataset=partial(Flawed, length=8), **settings)
    task = make_task(autoencoder=Identity)
    with pytest.raises(ValueError, match="clip '5' has values that are NaN or infinite"):
        trainer(tmp_path).encode(task, data, str(tmp_path / "cache"), entries_per_shard=4)
    kept = {path.name for path in (tmp_path / "cache").glob("*.safetensors")}
    assert kept <= {"train-000000.safetensors"}


def test_latents_that_overflow_are_refused(tmp_path):
    task = make_task(autoencoder=Loud)
    with pytest.raises(ValueError, match=r"latents of train/\d.* are not finite in torch.float16"):
        cache(tmp_path, SHAPES, task, dtype="float16")


class Files(Numbers):
    num_files = 22


class Uneven(Numbers):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        sample.pixels = sample.pixels.repeat(1, 1, 1, 1 + (index > 3))
        return sample


def test_datasets_of_others(tmp_path):
    task = make_task(autoencoder=Identity)
    with pytest.raises(ValueError, match=r"Files has files and no fingerprint\(\)"):
        cache(tmp_path, Files, task)
    with pytest.raises(ValueError, match="clip '4' has frames, height and width"):
        cache(tmp_path, Uneven, make_task(autoencoder=Identity))
    assert VideoDataset.fingerprint(Numbers(split="train")) == ""


def test_the_hash_of_weights_tells_values_names_types_and_settings_apart():
    torch.manual_seed(0)
    layer, node = torch.nn.Linear(2, 2), {"class_path": "Linear", "init_args": {}}
    hashes = {weights_hash(layer, node), weights_hash(copy.deepcopy(layer), dict(node))}
    assert len(hashes) == 1
    hashes |= {weights_hash(layer, node | {"init_args": {"bias": True}})}
    hashes |= {weights_hash(copy.deepcopy(layer).double(), node)}
    hashes |= {weights_hash(torch.nn.Sequential(layer), node)}
    with torch.no_grad():
        layer.weight[0, 0] = torch.nextafter(layer.weight[0, 0], torch.tensor(9.0))
    assert len(hashes | {weights_hash(layer, node)}) == 5


def test_memory_holds_one_shard_and_files_each_caption_once(tmp_path):
    root = cache(tmp_path, partial(SHAPES, num_videos=300), splits="train", entries_per_shard=150)
    tensors = load_file(root / "train-000000.safetensors")
    captions = tensors["captions.ends"].numel() - 1
    assert captions <= 1 + 96 < 150
    assert tensors["signals.text.vector"].shape == (captions, 8)
    assert tensors["latents.0"].shape == (150, 4, 2, 4, 4)
    assert len({path.stat().st_mode for path in root.iterdir()}) == 1, "all can be read by others"
    assert {p.name for p in root.iterdir()} == {
        "index.json", "train-000000.safetensors", "train-000001.safetensors",
    }  # fmt: skip
