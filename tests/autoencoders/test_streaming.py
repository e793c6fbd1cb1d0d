"""Long videos chunk by chunk: the same as whole, in memory that does not grow."""

import functools
import weakref

import pytest
import torch
from causal_models import BLOCKS, COMPRESSIONS, folds_of, small
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vidiff.autoencoders import FSQ, Autoencoder, CausalKL, FramewiseKL, Identity, Trained
from vidiff.autoencoders import in_chunks as cut
from vidiff.config_nodes import describe

EXACT = {"atol": 1e-4, "rtol": 0.0}


def framewise(**settings):
    torch.manual_seed(0)
    return FramewiseKL(latent_channels=4, width=[8, 8, 8], depth=1, num_groups=4, **settings)


@torch.no_grad()
def check_streams(model, num_latents=5):
    """Encode and decode in several cuts, and compare with the whole."""
    model.eval()
    ct, ch, cw = model.compression
    pixels = torch.rand(2, 3, 1 + (num_latents - 1) * ct, 2 * ch, cw) * 2 - 1
    latents = model.encode(pixels)
    whole = model.decode(latents)
    for first, then in ((1, 1), (2, 2), (1, 3), (3, 1), (5, 1)):
        frames = cut(pixels, 1 + (first - 1) * ct, then * ct)
        encoded = torch.cat(list(model.encode_chunks(frames)), dim=2)
        torch.testing.assert_close(encoded, latents, **EXACT)
        decoded = torch.cat(list(model.decode_chunks(cut(latents, first, then))), dim=2)
        torch.testing.assert_close(decoded, whole, **EXACT)


@pytest.mark.parametrize("cls", [CausalKL, FSQ])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
def test_chunks_give_what_the_whole_video_gives(compression, block, cls):
    check_streams(small(folds_of(*compression), cls, block=block))


@pytest.mark.parametrize("folds", [[(4, 8, 8)], [(1, 2, 2), (2, 2, 2), (2, 1, 1)]], ids=str)
def test_other_ways_to_fold_stream_too(folds):
    check_streams(small(folds, depth=2))


@pytest.mark.parametrize("model", [framewise(), Identity()], ids=["framewise_kl", "identity"])
def test_what_looks_at_single_frames_streams(model):
    check_streams(model)


def test_a_trained_one_streams_as_what_is_in_it(tmp_path):
    inner = small([(2, 4, 4)])
    settings = {"latent_channels": 4, "folds": [(2, 4, 4)], "width": [16], "depth": 1}
    node = describe(functools.partial(CausalKL, **settings))
    torch.save(
        {
            "hyper_parameters": {"_class_path": "a task", "autoencoder": node},
            "state_dict": {f"autoencoder.{k}": v for k, v in inner.state_dict().items()},
        },
        tmp_path / "a.ckpt",
    )
    model = Trained(checkpoint=str(tmp_path / "a.ckpt"))
    check_streams(model)
    assert torch.equal(model.last_layer(), inner.last_layer())


@torch.no_grad()
def test_two_videos_by_turns():
    model = small([(2, 4, 4)]).eval()
    videos = torch.randn(2, 1, 4, 4, 2, 2)
    streams = [model.decode_chunks(cut(video, 1, 1)) for video in videos]
    turns = list(zip(*streams, strict=True))
    for video, chunks in zip(videos, zip(*turns, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(chunks, dim=2), model.decode(video), **EXACT)


@torch.no_grad()
def test_a_stream_can_go_on_in_two_ways():
    """What is kept lies in ``past`` alone, and is replaced, not changed."""
    model = small([(2, 4, 4)]).eval()
    start, *ends = torch.randn(3, 1, 4, 2, 2, 2)
    past = {}
    model.decode_chunk(start, past)
    for end in ends:
        whole = model.decode(torch.cat([start, end], dim=2))
        torch.testing.assert_close(model.decode_chunk(end, dict(past)), whole[:, :, -4:], **EXACT)


def test_gradients_reach_earlier_chunks():
    model = small([(2, 4, 4)])
    latents = torch.randn(1, 4, 3, 2, 2, requires_grad=True)
    (whole,) = torch.autograd.grad(model.decode(latents)[:, :, -1].sum(), latents)
    *_, last = model.decode_chunks(cut(latents, 1, 1))
    (chunked,) = torch.autograd.grad(last[:, :, -1].sum(), latents)
    assert whole[:, :, 0].any()
    torch.testing.assert_close(chunked, whole, **EXACT)


@pytest.mark.parametrize("cls", [CausalKL, FSQ])
@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([4], "4 frames do not fit .* of 4, .* 1 \\+ k x 4; the nearest is 5"),
        ([5, 5], "5 frames do not fit .* of 4, .* k x 4 in every chunk after .* nearest is 4"),
        ([1, 1], "1 frames do not fit .* nearest is 4"),
        ([5, 0], "0 frames do not fit .* nearest is 4"),
        ([0], "0 frames do not fit .* nearest is 1"),
    ],
)
def test_chunks_that_do_not_fit_name_the_nearest(cls, chunks, message):
    model, past = small([(4, 4, 4)], cls).eval(), {}
    *begun, wrong = (torch.zeros(1, 3, frames, 4, 4) for frames in chunks)
    for chunk in begun:
        model.encode_chunk(chunk, past)
    with pytest.raises(ValueError, match=message):
        model.encode_chunk(wrong, past)


def test_chunks_of_another_size_or_with_nan_are_refused():
    model, past = small([(2, 4, 4)]).eval(), {}
    model.encode_chunk(torch.zeros(1, 3, 1, 8, 8), past)
    with pytest.raises(ValueError, match="one batch, height and width"):
        model.encode_chunk(torch.zeros(1, 3, 2, 8, 4), past)
    late = torch.zeros(1, 3, 4, 8, 8)
    late[:, :, -1] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        model.encode_chunk(late, past)
    with pytest.raises(ValueError, match="at least one frame"):
        model.decode_chunk(torch.zeros(1, 4, 0, 2, 2), {})


def test_what_needs_the_whole_video_says_so():
    class Whole(Autoencoder):
        encode = decode = lambda self, x: x

    with pytest.raises(ValueError, match="Whole needs the whole video at once"):
        Whole().encode_chunk(torch.zeros(1, 3, 1, 4, 4), {})


@pytest.mark.parametrize("pieces", [[11], [1] * 11, [2, 0, 8, 1], [6, 5]], ids=str)
def test_a_video_is_cut_whatever_pieces_it_comes_in(pieces):
    video = torch.arange(11.0).view(1, 1, 11, 1, 1)
    chunks = list(cut(iter(video.split(pieces, dim=2)), first=5, then=4))
    assert [chunk.shape[2] for chunk in chunks] == [5, 4, 2]
    assert torch.equal(torch.cat(chunks, dim=2), video)
    assert all(map(torch.equal, chunks, cut(video, first=5, then=4)))


def test_pieces_are_taken_as_they_are_needed():
    taken = []

    def frames():
        for frame in range(6):
            taken.append(frame)
            yield torch.full((1, 1, 1, 1, 1), float(frame))

    next(iter(cut(frames(), first=2, then=2)))
    assert taken == [0, 1]


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_a_chunk_has_a_frame(numbers):
    with pytest.raises(ValueError, match="chunks need at least one frame"):
        next(cut(torch.zeros(1, 1, 2, 1, 1), *numbers))


# -- Memory ---------------------------------------------------------------------------------------


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make, for as long as they live."""

    def __init__(self):
        super().__init__()
        self.live, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage):
        key = storage._cdata
        if key not in self.live:
            self.live[key] = weakref.finalize(storage, self._release, key, storage.nbytes())
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _release(self, key, size):
        del self.live[key]
        self.now -= size


@torch.no_grad()
def peak_of(decode, num_frames):
    torch.manual_seed(0)
    latents = (torch.randn(1, 4, 1, 8, 8) for _ in range(num_frames))
    with PeakMemory() as memory:
        decode(latents)
    return memory.peak


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("folds", [[(2, 4, 4)], [(2, 2, 2), (2, 2, 2)]], ids=str)
def test_memory_does_not_grow_with_length(folds, block):
    model = small(folds, block=block).eval()

    def whole(latents):
        model.decode(torch.cat(list(latents), dim=2))

    def in_chunks(latents):
        for _ in model.decode_chunks(cut(latents, first=2, then=2)):
            pass

    short, long = (peak_of(in_chunks, n) for n in (6, 24))
    assert long == short
    short_whole, long_whole = (peak_of(whole, n) for n in (6, 24))
    assert long_whole > 3 * short_whole
    assert long < long_whole / 5
