"""Features of folders of files: decoded once, in any number of processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from processes import PATIENCE, run_together, wait
from torch import Tensor

import vidiff_eval.extraction.decode_ahead as decoding
from vidiff.__main__ import main
from vidiff.video import write_video
from vidiff_eval.clips.choose import choose_clips
from vidiff_eval.clips.clip import Clip, ClipSet
from vidiff_eval.extraction.decode_ahead import Job, decoded
from vidiff_eval.extraction.extract import extract, load
from vidiff_eval.extraction.feature_table import StoredTable
from vidiff_eval.extraction.pairs import keep_pairs, load_pairs
from vidiff_eval.extraction.processes import (
    all_or_none,
    device_of,
    gather,
    joined,
    rank,
    share,
    world_size,
)
from vidiff_eval.extraction.sizes import check_sizes
from vidiff_eval.extraction.store import Store
from vidiff_eval.features.base import Features, Found
from vidiff_eval.metrics.base import PairMetric, Row
from vidiff_eval.protocols.protocol import Protocol

PROTOCOL = Protocol(num_frames=4, real_clip="start", generated_clip="start")


class Colours(Features):
    """The mean colour of each frame, times a factor."""

    name: ClassVar[str] = "colours"

    def __init__(self, factor: float = 1.0, min_frames: int = 1) -> None:
        self.factor, self.least = factor, min_frames
        self.batches: list[tuple[int, ...]] = []

    @property
    def settings(self) -> dict[str, Any]:
        return {"features": "colours", "factor": self.factor}

    def extract(self, clips: Tensor) -> Found:
        if clips.shape[2] < self.least:
            raise ValueError(f"needs {self.least} frames, got {clips.shape[2]}")
        self.batches.append(tuple(clips.shape))
        means = clips.mean((3, 4)) * self.factor
        return {"features": means.flatten(1), "frames": means.movedim(1, 2)}


class Distance(PairMetric):
    """The root mean squared difference of each pair."""

    scores = ("distance",)
    higher_is_better = False

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.batches: list[int] = []

    @property
    def settings(self) -> dict[str, Any]:
        return {"factor": self.factor}

    def judge(self, generated: Tensor, real: Tensor) -> list[Row]:
        self.batches.append(len(real))
        differences = (generated - real).square().flatten(1).mean(1).sqrt()
        return [{"distance": d} for d in (differences * self.factor).tolist()]


def write_videos(folder: Path, count: int, *, size: tuple[int, int] = (16, 16)) -> Path:
    """Files of one grey each, ever lighter; file ``k`` has 4 + k frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        grey = torch.full((3, 4 + index, *size), index / 8 - 0.5)
        write_video(folder / f"{index}.mp4", grey, fps=8)
    return folder


def choose(folder: Path, protocol: Protocol = PROTOCOL) -> ClipSet:
    return choose_clips(folder, protocol, side="real")


def damage(path: Path) -> None:
    """Write a file whose header and index are whole, but whose later frames do not decode."""
    from fractions import Fraction

    import av

    generator = torch.Generator().manual_seed(0)
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(8))
        stream.height = stream.width = 64
        for _ in range(16):
            noise = torch.randint(0, 256, (64, 64, 3), generator=generator, dtype=torch.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(noise.numpy(), format="rgb24")))
        file.mux(stream.encode())
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    middle = begin + (end - begin) // 4
    data[middle:end] = b"\xff" * (end - middle)
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_videos(tmp_path / "videos", 5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that clips were decoded of."""
    names: list[str] = []
    read = Clip.read

    def counted(clip: Clip) -> Tensor:
        names.append(clip.video.file)
        return read(clip)

    monkeypatch.setattr(Clip, "read", counted)
    return names


# --- one process ---------------------------------------------------------------------------------


def test_features_are_those_of_each_clip_by_itself(folder: Path, store: Store) -> None:
    clips, features = choose(folder), Colours()
    assert extract([clips], [features], store, batch_size=2, workers=3, progress=False) == [{}]
    found = load(clips, features, store)
    alone = torch.cat([Colours()(clip.read()[None]) for clip in clips.clips])
    assert found["features"].shape == (5, 12)
    assert torch.allclose(found["features"], alone, atol=1e-6)
    assert [shape[0] for shape in features.batches] == [2, 2, 1]
    assert found["frames"].shape == (5, 4, 3)
    table = StoredTable(clips, store)
    chunks = list(table.chunks(features, size=2))
    assert [prompt for _, some in chunks for prompt in some] == [*table.prompts]
    assert torch.equal(torch.cat([f["features"] for f, _ in chunks]), found["features"])
    assert not table._found, "a set that is read in chunks is never held whole"
    by_content = sorted(clips.clips, key=lambda clip: clip.key)
    ordered = load(by_content, features, store)["features"]
    assert torch.equal(found["features"][list(table.order)], ordered)
    whole = table.of(features)
    shutil.rmtree(store.root)
    assert table.of(features) is whole, "loaded once"
    chunks = list(table.chunks(features, size=2))
    assert torch.equal(torch.cat([f["features"] for f, _ in chunks]), found["features"])


def test_what_is_kept_is_not_decoded(folder: Path, store: Store, reads: list[str]) -> None:
    clips, one, other = choose(folder), Colours(1), Colours(2)
    extract([clips], [one, other], store, progress=False)
    assert sorted(reads) == [f"{k}.mp4" for k in range(5)], "once for both"
    reads.clear()
    extract([clips], [Colours(1), Colours(2)], store, progress=False)
    assert reads == []
    # New features, a new file, and a file of the store that was damaged.
    write_videos(folder, 6)
    clips = choose(folder)
    broken = store._path(one.settings, clips.clips[2].key)
    broken.write_bytes(broken.read_bytes()[:-3])
    again = Colours(1)
    extract([clips], [again], store, progress=False)
    assert sorted(reads) == ["2.mp4", "5.mp4"]
    reads.clear()
    third = Colours(3)
    extract([clips], [again, third], store, batch_size=8, progress=False)
    assert sorted(reads) == [f"{k}.mp4" for k in range(6)]
    assert third.batches == [(6, 3, 4, 16, 16)]
    assert sum(shape[0] for shape in again.batches) == 2


def test_equal_contents_count_as_one(
    folder: Path, store: Store, tmp_path: Path, reads: list[str]
) -> None:
    shutil.copy(folder / "1.mp4", folder / "copy.mp4")
    shutil.copytree(folder, tmp_path / "other")
    sets, features = [choose(folder), choose(tmp_path / "other")], Colours()
    extract(sets, [features], store, progress=False)
    assert len(reads) == 5
    found = load(sets[1], features, store)["features"]
    assert len(found) == 6
    assert torch.equal(found[1], found[5])
    assert sets[0].sha256 == sets[1].sha256


def test_transformed_clips_are_others(folder: Path, store: Store) -> None:
    clips, features = choose(folder), Colours()
    extract([clips], [features], store, progress=False)
    with pytest.raises(ValueError, match=r"keeps no colours of .*0.mp4: .*evaluate again"):
        load(clips.transformed("reversed"), features, store)


def test_damaged_files_are_left_out_and_named(
    folder: Path, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder / "2b.mp4")
    other = write_videos(tmp_path / "other", 1)
    shutil.copy(folder / "2b.mp4", other / "renamed.mp4")
    protocol = PROTOCOL.change(num_frames=3, clips_per_video=2, size=(16, 16))
    sets, features = [choose(folder, protocol), choose(other, protocol)], Colours()
    assert "2b.mp4" in {clip.video.file for clip in sets[0].clips}, "it opens"
    damaged = extract(sets, [features], store, batch_size=2, progress=False)
    assert [list(files) for files in damaged] == [["2b.mp4"], ["renamed.mp4"]]
    assert caplog.text.count("is left out") == 2
    assert str(folder / "2b.mp4") in caplog.text
    left = sets[0].without(damaged[0])
    assert list(left.skipped) == ["2b.mp4"]
    assert len(load(left, features, store)["features"]) == len(left) == 8  # 1 + 1 + 2 + 2 + 2


def test_real_bad_files(shared_videos: Path, store: Store) -> None:
    bad = shared_videos / "bad"
    if not bad.is_dir():
        pytest.skip(f"no {bad}")
    clips, features = choose(bad, Protocol(num_frames=None, size=(32, 32))), Colours()
    (damaged,) = extract([clips], [features], store, progress=False)
    left = clips.without(damaged)
    assert {"corrupted.mp4", "empty.mp4", "text.mp4", "truncated.mp4"} == set(left.skipped)
    assert [clip.id for clip in left.clips] == ["rot90.mov", "ten_bit.mp4"]
    with pytest.raises(ValueError, match=r"ten_bit.mp4 are \(.*\), of .*rot90.mov \(.*: clips"):
        load(left, features, store)


def test_error_of_features_names_the_file(folder: Path, store: Store) -> None:
    with pytest.raises(ValueError, match=r"0\.mp4: needs 9 frames, got 4"):
        extract([choose(folder)], [Colours(min_frames=9)], store, progress=False)
    with pytest.raises(ValueError, match="batch_size"):
        extract([choose(folder)], [Colours()], store, batch_size=0)


def test_mixed_shapes_go_in_batches_of_one(folder: Path, store: Store, tmp_path: Path) -> None:
    wide = choose(write_videos(tmp_path / "wide", 3, size=(16, 32)))
    features = Colours()
    extract([choose(folder), wide], [features], store, batch_size=4, progress=False)
    assert [shape[0] for shape in features.batches] == [4, 1, 3]


def test_bar(folder: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    extract([choose(folder)], [Colours()], store, label="real clips")
    shown = capsys.readouterr().err
    assert "real clips: 100%" in shown
    assert "clip/s" in shown
    extract([choose(folder)], [Colours()], store)
    extract([choose(folder)], [Colours(2)], store, progress=False)
    assert capsys.readouterr().err == ""


def test_decoding_runs_ahead_but_not_far(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first job is held, threads decode the next ones, and then they wait."""
    clip = choose(folder).clips[0]
    both, given, done, threads = threading.Barrier(2, timeout=PATIENCE), [], [], set()

    def read(self: Clip) -> Tensor:
        if threading.get_ident() not in threads:
            threads.add(threading.get_ident())
            both.wait()  # in vain, were there one thread only
        done.append(1)
        return torch.zeros(3, 1, 2, 2)

    def jobs() -> Iterator[Job]:
        for k in range(100):
            given.append(k)
            yield Job(f"{k}", (clip,))

    monkeypatch.setattr(Clip, "read", read)
    stream = decoded(jobs(), workers=2, ahead=3)
    assert next(stream)[0].key == "0"
    assert given == [0, 1, 2, 3, 4]
    wait(lambda: len(done) == 5)
    assert next(stream)[0].key == "1"
    assert given == [0, 1, 2, 3, 4, 5]
    assert len(threads) == 2
    assert threading.get_ident() not in threads
    stream.close()
    assert len(given) == 6, "what nobody takes is not decoded"


def test_order_is_that_of_the_jobs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, later = choose(folder).clips, threading.Event()

    def read(clip: Clip) -> Tensor:
        assert later.wait(PATIENCE) if clip is clips[0] else not later.set()
        return torch.zeros(3, 1, 2, 2)

    monkeypatch.setattr(Clip, "read", read)
    jobs = [Job(clip.id, (clip,)) for clip in clips]
    assert [job for job, _ in decoded(jobs, workers=4)] == jobs


def test_threads_share_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "available_cores", lambda: 12)
    assert decoding.default_workers() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert decoding.default_workers() == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert decoding.default_workers() == 1


# --- sizes ---------------------------------------------------------------------------------------


def test_sizes(folder: Path, tmp_path: Path, samples: Callable[..., Path]) -> None:
    generated = samples(tmp_path / "s", torch.zeros(2, 3, 5, 16, 16), ["a", "b"], scale=2)
    check_sizes([choose(folder), choose(generated)])
    check_sizes([])
    wide = write_videos(tmp_path / "wide", 1, size=(12, 32))
    with pytest.raises(ValueError, match=r"differ in size") as failed:
        check_sizes([choose(folder), choose(wide)])
    words = str(failed.value)
    assert f"{folder / '0.mp4'} is 16x16, {wide / '0.mp4'} 12x32" in words
    assert "--protocol.size 12,16" in words
    check_sizes([choose(one, PROTOCOL.change(size=(12, 16))) for one in (folder, wide)])


def test_lengths(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"0.mp4 gives 4 frames, .*1.mp4 5; set .*num_frames 4"):
        check_sizes([choose(folder, PROTOCOL.change(num_frames=None))])


def test_turned_files_have_the_size_they_are_shown_at(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    times = [k / 8 for k in range(5)]
    make_video(tmp_path / "lying.mp4", times, height=32, width=64)
    make_video(tmp_path / "turned.mp4", times, height=64, width=32, rotation=90)
    check_sizes([choose(tmp_path)])
    make_video(tmp_path / "turned.mp4", times, height=32, width=64, rotation=90)
    with pytest.raises(ValueError, match=r"lying.mp4 is 32x64, .*turned.mp4 64x32"):
        check_sizes([choose(tmp_path)])


# --- pairs ---------------------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path: Path, folder: Path) -> tuple[Path, Path]:
    """Real files, and the same made lighter by a quarter of the range, in another format."""
    light = tmp_path / "light"
    light.mkdir()
    for index in (3, 0, 4, 2, 1):
        grey = torch.full((3, 4 + index, 16, 16), index / 8 - 0.5 + 0.5)
        write_video(light / f"{index}.webm", grey, fps=8)
    return folder, light


def test_pairs(both: tuple[Path, Path], store: Store, reads: list[str]) -> None:
    real, generated = map(choose, both)
    one, other = Distance(), Distance(2.0)
    assert keep_pairs([one, other], real, generated, store, batch_size=2, progress=False) == {}
    assert len(reads) == 10, "each side once for both metrics"
    rows = load_pairs(one, real, generated, store)
    assert [row["distance"] for row in rows] == pytest.approx([0.5] * 5, abs=0.02)
    assert load_pairs(other, real, generated, store) == [
        {"distance": 2 * row["distance"]} for row in rows
    ]
    # In the order of the generated clips, whatever that is.
    turned = ClipSet(generated.folder, generated.clips[::-1])
    assert load_pairs(one, real, turned, store) == rows[::-1]
    assert keep_pairs([one, other], real, turned, store) == {}
    assert len(reads) == 10
    assert one.batches == other.batches == [2, 2, 1]


def test_pairs_that_do_not_fit(both: tuple[Path, Path], store: Store, tmp_path: Path) -> None:
    real, generated = both
    (real / "2.mp4").rename(real / "two.mp4")
    with pytest.raises(ValueError, match=r"light/2.webm has no partner in .*videos \(1 such\)"):
        keep_pairs([Distance()], choose(real), choose(generated), store)
    (generated / "2.webm").unlink()
    with pytest.raises(ValueError, match=r"videos/two.mp4 has no partner in .*light"):
        keep_pairs([Distance()], choose(real), choose(generated), store)
    (real / "two.mp4").unlink()
    shutil.copy(real / "1.mp4", real / "1.mkv")  # one of the two counts
    found = choose(real)
    assert "1.mkv" not in {clip.video.file for clip in found.clips}
    (one,) = (clip for clip in found.clips if clip.video.file == "1.mp4")
    assert any("1.mkv from 1.mp4" in note for note in found.notes)
    twin = replace(one, video=replace(one.video, file="1.mkv"))
    with pytest.raises(ValueError, match="differ in nothing but the ending"):
        keep_pairs([Distance()], ClipSet(real, [*found.clips, twin]), choose(generated), store)
    (real / "1.mkv").unlink()
    write_video(real / "1.mp4", torch.zeros(3, 4, 8, 16), fps=8)
    with pytest.raises(ValueError, match=r"differ in size: 4x16x16 and 4x8x16"):
        keep_pairs([Distance()], choose(real), choose(generated), store, progress=False)
    late = PROTOCOL.change(num_frames=2, real_clip="middle")
    with pytest.raises(ValueError, match="begin at different frames"):
        keep_pairs([Distance()], choose(real, late), choose(generated, PROTOCOL), store)


def test_pairs_of_damaged_files(
    both: tuple[Path, Path], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    real, generated = both
    (real / "1.mp4").write_text("no video")
    damage(real / "3.mp4")
    protocol = PROTOCOL.change(size=(16, 16))
    sets = choose(real, protocol), choose(generated, protocol)
    damaged = keep_pairs([Distance()], *sets, store, progress=False)
    assert list(damaged) == ["1.webm", "3.webm"]
    assert "light/3.webm is left out: its partner" in caplog.text
    assert all("its partner" in why for why in damaged.values())
    with pytest.raises(ValueError, match="was changed meanwhile"):
        load_pairs(Distance(), *sets, store)
    left = sets[1].without(damaged)
    assert keep_pairs([Distance()], sets[0], left, store, progress=False) == {}
    assert len(load_pairs(Distance(), sets[0], left, store)) == 3


def test_a_side_without_a_whole_file_is_an_error(
    both: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, generated = tmp_path / "damaged", both[1]
    real.mkdir()
    damage(real / "0.mp4")
    words = ["evaluate", "--real", real, "--generated", generated, "--metrics=flicker",
             "--protocol.num_frames=4", "--protocol.real_clip=middle", "--protocol.size=16,16",
             "--store", tmp_path / "store", "--output", tmp_path / "out"]  # fmt: skip
    assert main([str(word) for word in words]) == 2
    assert "damaged has no video left that can be read (0.mp4: " in capsys.readouterr().err


def test_a_broken_twin_takes_no_measured_pair_away(both: tuple[Path, Path], store: Store) -> None:
    real, generated = both
    (real / "1.gif").symlink_to(real / "nowhere.gif")
    sets = choose(real), choose(generated)
    assert "1.gif" in sets[0].skipped
    assert keep_pairs([Distance()], *sets, store, progress=False) == {}


# --- several processes ---------------------------------------------------------------------------

WORKER = """
import json, sys
from pathlib import Path
from test_extraction import Colours, Distance, choose
from vidiff_eval.clips.choose import choose_clips
from vidiff_eval.extraction.extract import extract, load
from vidiff_eval.extraction.pairs import keep_pairs, load_pairs
from vidiff_eval.extraction.sizes import check_sizes
from vidiff_eval.extraction.processes import joined, rank, world_size
from vidiff_eval.protocols.protocol import Protocol
from vidiff_eval.extraction.store import Store
import torch
torch.set_num_threads(1)
folders, root, least, out = sys.argv[1].split(","), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
protocol = Protocol(num_frames=4, size=(16, 16), real_clip="start")
features, store = Colours(), Store(root)
with joined():
    features.least = int(least) if rank() == world_size() - 1 else 1
    sets = [choose_clips(Path(folder), protocol, side="real") for folder in folders]
    check_sizes(sets)
    damaged = extract(sets, [features], store, batch_size=2, progress=False)
    left = [one.without(files) for one, files in zip(sets, damaged)]
    found = [load(one, features, store)["features"].double().mean(0).tolist() for one in left]
    keep_pairs([Distance()], left[0], left[0], store, progress=False)
    rows = load_pairs(Distance(), left[0], left[0], store)
    text = json.dumps({"found": found, "damaged": damaged, "rows": rows})
    taken = sum(shape[0] for shape in features.batches)
    Path(f"{out}.{rank()}").write_text(json.dumps([taken, text]))
"""


def launch(arguments: Sequence[str], world_size: int) -> list[subprocess.CompletedProcess[str]]:
    """Run ``WORKER`` in processes that find each other as those of ``torchrun`` do."""
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(folder) for folder in here.parents[:3]])
    return run_together(world_size, "-c", WORKER, *arguments, env={"PYTHONPATH": path})


def test_two_processes_find_what_one_finds(folder: Path, tmp_path: Path) -> None:
    """Uneven shares, a duplicate, and a bad file in the second process's share."""
    other = write_videos(tmp_path / "other", 3, size=(16, 24))
    shutil.copy(folder / "4.mp4", other / "copy.mp4")
    damage(folder / "1b.mp4")
    damage(other / "9.mp4")
    folders = f"{folder},{other}"
    results = {}
    for size in (1, 2):
        out = str(tmp_path / f"out{size}")
        for done in launch([folders, str(tmp_path / f"store{size}"), "1", out], size):
            assert done.returncode == 0, done.stderr
            named = done.stderr.count("is left out")
            assert named in ({2} if size == 1 else {0, 2}), "the first process names bad files"
        results[size] = [json.loads(Path(f"{out}.{place}").read_text()) for place in range(size)]
    ((all_taken, alone),) = results[1]
    taken, reports = zip(*results[2], strict=True)
    assert reports[0] == reports[1]
    assert sum(taken) == all_taken == 8  # 5 good files and 3 others, and a copy of one
    assert min(taken) > 0
    one, two = json.loads(alone), json.loads(reports[0])
    assert one["damaged"] == two["damaged"]
    assert [list(files) for files in two["damaged"]] == [["1b.mp4"], ["9.mp4"]]
    assert torch.allclose(
        torch.tensor(one["found"]), torch.tensor(two["found"]), rtol=1e-6, atol=1e-7
    )
    assert one["rows"] == two["rows"] == [{"distance": 0.0}] * 5


def test_error_of_one_process_is_one_of_all(folder: Path, tmp_path: Path) -> None:
    done = launch([str(folder), str(tmp_path / "store"), "9", str(tmp_path / "out")], 2)
    assert [process.returncode for process in done] == [1, 1]
    assert "ValueError: process 1 stopped: ValueError: " in done[0].stderr
    assert all("needs 9 frames, got 4" in process.stderr for process in done)


def test_one_process_needs_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined():
        assert (rank(), world_size(), gather("a"), share([1, 2, 3])) == (0, 1, ["a"], [1, 2, 3])
        assert device_of("cpu") == "cpu"
        assert device_of("auto") in ("cpu", "cuda:0")
    with pytest.raises(KeyError), all_or_none():
        raise KeyError("own errors stay what they are")
    with pytest.raises(ValueError, match="'gpu' is no device"):
        device_of("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="sees no GPU"):
            device_of("cuda:1")
