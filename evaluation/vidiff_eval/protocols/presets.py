"""Protocols by name: vidiff's own, and what well-known tools do.

A preset states what decides a tool's number. It reproduces the number only on what the tool was
run on: the same files, the same split, the same frames a second. Each tool has things that no
protocol can hold; they are named below. Facts are from the tools' sources, see each.
"""

from __future__ import annotations

from dataclasses import replace

from vidiff.registry import nearest
from vidiff_eval.protocols.protocol import Protocol

VIDIFF = Protocol("vidiff")
"""The default: 16 consecutive frames from where content and seed say, of either side.

Frames are stretched to 224 x 224 between pixel centres; covariances are divided by n - 1. Which
clips are taken depends on the file alone, not on its name, its folder or other files, so a second
run gives the same number. Otherwise as ``stylegan_v``, whose generated clips begin with the video
and whose covariances are divided by n.
"""

WHOLE = replace(VIDIFF, name="whole", num_frames=None, real_clip="start", generated_clip="start")
"""Whole files instead of clips, for videos of one length. Otherwise as ``vidiff``."""

STYLEGAN_V = Protocol(
    "stylegan_v", real_clip="random", generated_clip="start", num_clips=2048, covariance="n"
)
"""StyleGAN-V's ``fvd2048_16f`` (Skorokhodov et al. 2022).

16 consecutive frames, at a random place of a real video and from the start of a generated one; at
most 2048 clips a side, one of each video; stretched inside the TorchScript file; covariances
divided by n, which at 64 clips is 1.5 % lower than n - 1. ``fvd2048_128f`` is num_frames=128, and
``fvd2048_128f_subsample8f`` is stride=8.
The tool draws places of clips anew in each run (its issue 23), takes the first 2048 videos by name
where this draws them by content, and silently drops videos that are too short where this stops and
names one. Which split, and how many clips of a video, are the user's: issue 37 has 49.9 from a set
of several clips a video, where 79.5 was published. Set ``split`` to say it.
Source: universome/stylegan-v, src/metrics/{metric_main,frechet_video_distance,metric_utils}.py.
"""

GOOGLE = Protocol(
    "google", num_frames=None, real_clip="start", generated_clip="start", resize="stretch_corners"
)
"""The first code of FVD, in TensorFlow 1 (Unterthiner et al. 2018).

Frames are stretched by ``resize_bilinear``, which takes pixels' corners for their centres: at
64 x 64 that moves the picture by more than a pixel of the network's. Covariances are divided by
n - 1. It has no way to choose clips: it compares the arrays that it is given, so whole files, of
one length, are taken; num_frames=16 takes their starts. Its network wants batches of 16, so the
number of videos is a multiple of 16; this takes any.
Source: google-research/google-research, frechet_video_distance/frechet_video_distance.py.
"""

COMMON_METRICS = Protocol(
    "common_metrics", num_frames=None, real_clip="start", generated_clip="start", resize="crop"
)
"""common_metrics_on_video_quality with ``method='styleganv'``, its usual one.

Despite that name, not what StyleGAN-V does: the short side is scaled and the middle is cut out, so
wide videos lose their sides, and covariances are divided by n - 1. It compares the arrays that it
is given, so whole files, of one length, are taken. Its prefixes of 10, 11, … frames are
num_frames=10, 11, …. Its users run it on a few videos, where the number of them decides the score
(issues 19 and 26: 4 videos, 3051).
Source: JunyaoHu/common_metrics_on_video_quality, fvd/styleganv/fvd.py.
"""

VIDEOGPT = replace(COMMON_METRICS, name="videogpt", to_uint8=True, batch_norm_eps=1e-5)
"""common_metrics_on_video_quality with ``method='videogpt'``, and VideoGPT's own code.

As ``common_metrics``, but pixels are cut to whole grey levels before resizing, and the copy of I3D
divides by running variances with an epsilon of 1e-5: 153.27 instead of 152.90 from black to white
at 16 frames. It needs weights that are no TorchScript. VideoGPT takes a root in float32.
Source: the same, fvd/videogpt/fvd.py; wilson1yan/VideoGPT, videogpt/fvd/.
"""

LATTE = replace(STYLEGAN_V, name="latte", stride=3, generated_stride=1, num_clips=20_480)
"""Latte's ``fvd2048_16f``, which is not StyleGAN-V's of the same name.

Real clips take every third frame, as the model was trained on, and generated ones every frame; up
to 20,480 clips a side are compared, though the name says 2048: the fewer there are, the higher the
number. For one checkpoint its users reported 168 (issue 123) and about 320 (issue 138), and its
authors point to the stride of real clips (issue 65) and to the split, which has to be the one
trained on (issue 103). The tool draws which clips, and where, without a seed.
Source: Vchitect/Latte, tools/metrics/{metric_main,frechet_video_distance,metric_utils}.py.
"""

PRESETS = {
    protocol.name: protocol
    for protocol in (VIDIFF, WHOLE, STYLEGAN_V, GOOGLE, COMMON_METRICS, VIDEOGPT, LATTE)
}
"""All presets by name."""


def get_protocol(name: str) -> Protocol:
    """The preset of that name.

    Raises:
        ValueError: if there is none; names the nearest, and all.
    """
    if name not in PRESETS:
        raise ValueError(
            f"there is no protocol {name!r}{nearest(name, PRESETS)}; known: {', '.join(PRESETS)}. "
            "Others are made from one of these by options --protocol.NAME VALUE"
        )
    return PRESETS[name]
