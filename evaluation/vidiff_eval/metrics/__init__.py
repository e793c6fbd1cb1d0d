"""What videos are measured by (kind ``metric``)."""

from vidiff_eval.metrics.base import ClipMetric, PairMetric, Row, SetMetric, Sums, VideoMetric
from vidiff_eval.metrics.clip_consistency import CLIPConsistency
from vidiff_eval.metrics.clip_score import CLIPScore
from vidiff_eval.metrics.consistency import BackgroundConsistency, SubjectConsistency
from vidiff_eval.metrics.fd import FD
from vidiff_eval.metrics.fid import FID
from vidiff_eval.metrics.flicker import Flicker
from vidiff_eval.metrics.fvd import FVD
from vidiff_eval.metrics.fvd_infinity import FVDInfinity
from vidiff_eval.metrics.kvd import KVD
from vidiff_eval.metrics.lpips import LPIPS
from vidiff_eval.metrics.motion import Motion
from vidiff_eval.metrics.precision_recall import PrecisionRecall
from vidiff_eval.metrics.prompt_accuracy import PromptAccuracy
from vidiff_eval.metrics.psnr import PSNR
from vidiff_eval.metrics.rfvd import RFVD
from vidiff_eval.metrics.shot_cuts import ShotCuts
from vidiff_eval.metrics.ssim import SSIM
from vidiff_eval.metrics.warping_error import WarpingError

__all__ = [
    "FD",
    "FID",
    "FVD",
    "KVD",
    "LPIPS",
    "PSNR",
    "RFVD",
    "SSIM",
    "BackgroundConsistency",
    "CLIPConsistency",
    "CLIPScore",
    "ClipMetric",
    "FVDInfinity",
    "Flicker",
    "Motion",
    "PairMetric",
    "PrecisionRecall",
    "PromptAccuracy",
    "Row",
    "SetMetric",
    "ShotCuts",
    "SubjectConsistency",
    "Sums",
    "VideoMetric",
    "WarpingError",
]
