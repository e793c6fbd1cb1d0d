"""CLIP and timm from folders and files, against the libraries' own way from PIL pictures."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor

from vidiff_eval.features.clip import CLIP
from vidiff_eval.features.timm import Timm
from vidiff_eval.networks.frames import AT_ONCE, Preparation

transformers = pytest.importorskip("transformers")
open_clip = pytest.importorskip("open_clip")

SIZE, CONTEXT, WIDTH = 32, 20, 12
PROMPTS = ["a red square moves left", "a dog", "", "Ünïcode, and a COMMA"]
LONG = "red square " * 40


def clips(*size: int, number: int = 2, seed: int = 0) -> Tensor:
    """Smooth random clips (number, 3, *size) of whole grey levels in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, size[0], 7, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="trilinear")
    noisy = smooth * 0.8 + 0.2 * torch.rand(smooth.shape, generator=generator)
    return (noisy * 255).round() / 127.5 - 1


def pictures(videos: Tensor) -> list[Image.Image]:
    """The frames of clips (b, 3, f, h, w), clip by clip."""
    levels = ((videos + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).flatten(0, 1)
    return [Image.fromarray(np.ascontiguousarray(frame.numpy())) for frame in levels]


def save_huggingface(folder: Path, *, scaled: int = SIZE) -> Path:
    """A small random CLIP as transformers saves it, with a tokenizer of single letters."""
    from open_clip.tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    merges = [("r", "e"), ("re", "d</w>")]
    words = [*letters, *(f"{one}</w>" for one in letters), *("".join(pair) for pair in merges)]
    vocab = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    transformers.CLIPTokenizer(vocab=vocab, merges=merges).save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": scaled}, crop_size={"height": SIZE, "width": SIZE}
    ).save_pretrained(folder)
    shape = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    ends = {"bos_token_id": len(vocab) - 2, "eos_token_id": len(vocab) - 1}
    config = transformers.CLIPConfig(
        projection_dim=WIDTH,
        text_config={**shape, **ends, "vocab_size": len(vocab), "max_position_embeddings": CONTEXT},
        vision_config={**shape, "image_size": SIZE, "patch_size": 8},
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = transformers.CLIPModel(config)
    randomised(model).save_pretrained(folder)
    return folder


def save_open_clip(folder: Path, **preprocess: object) -> Path:
    """A small random CLIP as open_clip saves it."""
    folder.mkdir()
    config = {
        "embed_dim": WIDTH,
        "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    }
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(text)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = randomised(open_clip.model.CLIP(**config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Weights that are large enough for all inputs to matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_huggingface(tmp_path_factory.mktemp("clips") / "transformers")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_open_clip(tmp_path_factory.mktemp("clips") / "open_clip")


@pytest.fixture(params=["hugging_face", "opened"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def unlike(one: Tensor, other: Tensor) -> float:
    """Largest difference, relative to how much vectors differ from each other."""
    return float((one - other).abs().max() / other.std(0).mean())


# -- Frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(45, 67), (67, 45), (32, 32), (20, 24), (100, 33), (240, 321)])
def test_frames_are_prepared_as_transformers_prepares_pictures(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """Against its processor on PIL pictures, and the older one that scales by PIL itself."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = save_huggingface(tmp_path / "clip", scaled=SIZE + 3)  # an odd pixel or three over
    video = clips(2, *size)
    prepared = CLIP(model=str(folder)).network.preparation(video.transpose(1, 2).flatten(0, 1))
    for processor in (transformers.CLIPImageProcessor, CLIPImageProcessorPil):
        expected = processor.from_pretrained(folder)(pictures(video), return_tensors="pt")
        assert one_level(prepared, expected["pixel_values"])


@pytest.mark.parametrize("size", [(45, 67), (67, 45), (32, 32), (20, 24), (240, 321)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resize_mode": "squash", "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3},
    ],
)
def test_frames_are_prepared_as_open_clip_prepares_pictures(
    tmp_path: Path, size: tuple[int, int], options: dict
) -> None:
    folder, video = save_open_clip(tmp_path / "clip", **options), clips(2, *size)
    prepared = CLIP(model=str(folder)).network.preparation(video.transpose(1, 2).flatten(0, 1))
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    expected = torch.stack([transform(one) for one in pictures(video)])
    assert one_level(prepared, expected, share=0.3 if options else 0.02)  # see Preparation


@pytest.mark.parametrize("model", ["test_vit.r160_in1k", "test_efficientnet.r160_in1k"])
@pytest.mark.parametrize("size", [(45, 67), (180, 177), (240, 321)])
def test_frames_are_prepared_as_timm_prepares_pictures(model: str, size: tuple[int, int]) -> None:
    video = clips(2, *size)
    prepared = Timm(model=model).preparation(video.transpose(1, 2).flatten(0, 1))
    transform = create_transform(**resolve_model_data_config(timm.create_model(model)))
    assert one_level(prepared, torch.stack([transform(one) for one in pictures(video)]))


def one_level(prepared: Tensor, expected: Tensor, share: float = 0.02) -> bool:
    """Equal but for one grey level in a share of them, as libraries round in other places."""
    difference = (prepared - expected).abs()
    level = 1.01 / 255 / 0.225  # the smallest standard deviation of a colour, as they divide by it
    return bool(difference.max() <= level and (difference > 1e-4).float().mean() < share)


def test_frames_that_would_have_to_be_padded_are_refused() -> None:
    with pytest.raises(ValueError, match="padding"):
        Preparation((32, 32), 24, "bicubic", (0.5,) * 3, (0.5,) * 3, "down")


# -- CLIP -----------------------------------------------------------------------------------------


def test_features_are_those_of_transformers(hugging_face: Path) -> None:
    video = clips(3, 45, 67)
    model = transformers.CLIPModel.from_pretrained(hugging_face).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(hugging_face)
    with torch.no_grad():
        found = model.get_image_features(**processor(pictures(video), return_tensors="pt"))
    expected = found.pooler_output.unflatten(0, (2, 3))
    features = CLIP(model=str(hugging_face))(video)
    assert features.shape == (2, 3, WIDTH)
    assert unlike(features.flatten(0, 1), expected.flatten(0, 1)) < 0.02


def test_texts_are_those_of_transformers(hugging_face: Path) -> None:
    """Without padding, one prompt at a time."""
    model = transformers.CLIPModel.from_pretrained(hugging_face).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(hugging_face)
    with torch.no_grad():
        expected = [
            model.get_text_features(**tokenizer(prompt, return_tensors="pt")).pooler_output
            for prompt in PROMPTS[:2]
        ]
    found = CLIP(model=str(hugging_face)).embed_text(PROMPTS[:2])
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-4)


def test_features_and_texts_are_those_of_open_clip(opened: Path) -> None:
    video, features = clips(3, 45, 67), CLIP(model=str(opened))
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{opened}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{opened}")
    with torch.no_grad():
        expected = model.eval().encode_image(torch.stack([transform(x) for x in pictures(video)]))
        texts = model.encode_text(tokenizer(PROMPTS))
    assert unlike(features(video).flatten(0, 1), expected) < 0.02
    torch.testing.assert_close(features.embed_text(PROMPTS), texts, atol=1e-5, rtol=1e-4)


def test_a_clip_does_not_depend_on_its_batch(folder: Path) -> None:
    """More frames than go through the network together, so clips are cut apart on the way."""
    features, videos = CLIP(model=str(folder)), clips(AT_ONCE // 2 + 5, 32, 40, number=3)
    together = features(videos)
    alone = torch.cat([features(video[None]) for video in videos])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert together.isfinite().all()
    assert together.device.type == "cpu"
    assert not together.requires_grad


def test_prompts_that_are_too_long_are_cut_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = CLIP(model=str(folder))
    with caplog.at_level(logging.WARNING, logger="vidiff_eval"):
        features.embed_text(PROMPTS[1:3])
        assert not caplog.records
        found = features.embed_text([LONG, "a dog", LONG + "blue", LONG])
    assert "2 of 2 prompts are longer" in caplog.text  # of those that are new
    torch.testing.assert_close(found[0], found[2])  # they differ after the cut alone
    assert found.isfinite().all()


def test_prompts_of_exactly_the_length_are_not_cut(
    hugging_face: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = CLIP(model=str(hugging_face))
    with caplog.at_level(logging.WARNING, logger="vidiff_eval"):
        features.embed_text(["x" * (CONTEXT - 2)])
        assert not caplog.records
        features.embed_text(["x" * (CONTEXT - 1)])
    assert "1 of 1" in caplog.text


def test_settings_say_all_that_decides_features(folder: Path, tmp_path: Path) -> None:
    settings = CLIP(model=str(folder)).settings
    assert json.loads(json.dumps(settings)) == settings
    moved = copied(folder, tmp_path / "moved")
    assert CLIP(model=str(moved)).settings == settings
    weights = next(moved.glob("*.safetensors"))
    state = load_file(weights)
    save_file({name: value + 1e-3 for name, value in state.items()}, weights, {"format": "pt"})
    other = CLIP(model=str(moved)).settings
    assert {name for name in settings if settings[name] != other[name]} == {"weights_sha256"}


def test_the_activation_is_part_of_the_settings(hugging_face: Path, tmp_path: Path) -> None:
    """The trap of OpenAI's weights, whose quick GELU some copies forget."""
    moved = copied(hugging_face, tmp_path / "moved")
    text = (moved / "config.json").read_text()
    (moved / "config.json").write_text(text.replace("quick_gelu", "gelu"))
    settings = [CLIP(model=str(one)).settings for one in (hugging_face, moved)]
    assert settings[0]["config"] != settings[1]["config"]


def test_weights_of_older_kinds_and_in_parts_load(hugging_face: Path, tmp_path: Path) -> None:
    """A pytorch_model.bin of tensors alone, half precision, and large models' several files."""
    video, expected = clips(2, 32, 32), CLIP(model=str(hugging_face))(clips(2, 32, 32))
    binary, parts = copied(hugging_face, tmp_path / "bin"), copied(hugging_face, tmp_path / "parts")
    (binary / "model.safetensors").unlink()
    torch.save(load_file(hugging_face / "model.safetensors"), binary / "pytorch_model.bin")
    torch.testing.assert_close(CLIP(model=str(binary))(video), expected)
    (parts / "model.safetensors").unlink()
    model = transformers.CLIPModel.from_pretrained(hugging_face)
    model.save_pretrained(parts, max_shard_size="20KB")
    assert len(CLIP(model=str(parts)).settings["weights_sha256"]) > 1
    torch.testing.assert_close(CLIP(model=str(parts))(video), expected)


def test_half_precision_is_computed_in_full(hugging_face: Path, tmp_path: Path) -> None:
    half = copied(hugging_face, tmp_path / "half")
    transformers.CLIPModel.from_pretrained(hugging_face).half().save_pretrained(half)
    features = CLIP(model=str(half))
    assert features(clips(2, 32, 32)).dtype == torch.float32
    assert next(features.network.network.parameters()).dtype == torch.float32


def test_features_of_one_folder_share_their_network(hugging_face: Path) -> None:
    one, other = (CLIP(model=str(hugging_face)) for _ in range(2))
    assert one.network is other.network


def test_siglip_loads_as_well(hugging_face: Path, tmp_path: Path) -> None:
    """Frames are stretched, and prompts have no mask."""
    folder = copied(hugging_face, tmp_path / "siglip")
    shape = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = transformers.SiglipConfig(
        text_config={
            **shape,
            "vocab_size": 600,
            "max_position_embeddings": CONTEXT,
            "projection_size": 16,
        },
        vision_config={**shape, "image_size": SIZE, "patch_size": 8},
    )
    model = randomised(transformers.SiglipModel(config))
    model.save_pretrained(folder)
    size = {"height": SIZE, "width": SIZE}
    processor = transformers.SiglipImageProcessor(size=size)
    processor.save_pretrained(folder)
    features, video = CLIP(model=str(folder)), clips(2, 45, 67)
    with torch.no_grad():
        expected = model.get_image_features(**processor(pictures(video), return_tensors="pt"))
    expected = expected.pooler_output
    assert unlike(features(video).flatten(0, 1), expected) < 0.02
    assert features.embed_text(PROMPTS).shape == (4, 16)


# -- What is missing or unfit ---------------------------------------------------------------------


def test_no_clip_says_what_to_give(monkeypatch: pytest.MonkeyPatch, hugging_face: Path) -> None:
    monkeypatch.delenv("VIDIFF_CLIP", raising=False)
    with pytest.raises(ValueError, match="set model, or VIDIFF_CLIP"):
        _ = CLIP().settings
    monkeypatch.setenv("VIDIFF_CLIP", str(hugging_face))
    assert CLIP().settings == CLIP(model=str(hugging_face)).settings


@pytest.mark.parametrize(
    ("fixture", "file", "named"),
    [
        ("hugging_face", "model.safetensors", r"lacks for transformers model\.safetensors"),
        ("hugging_face", "config.json", r"lacks for transformers config\.json"),
        ("hugging_face", "preprocessor_config.json", r"transformers preprocessor_config\.json"),
        ("opened", "open_clip_model.safetensors", r"for open_clip open_clip_model\.safetensors"),
        ("opened", "open_clip_config.json", r"for open_clip open_clip_config\.json"),
    ],
)
def test_missing_pieces_are_named(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str, file: str, named: str
) -> None:
    folder = copied(request.getfixturevalue(fixture), tmp_path / "broken")
    (folder / file).unlink()
    with pytest.raises(ValueError, match=named):
        _ = CLIP(model=str(folder)).settings


def test_a_folder_without_a_tokenizer_is_refused(hugging_face: Path, tmp_path: Path) -> None:
    folder = copied(hugging_face, tmp_path / "broken")
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"tokenizer\.json or vocab\.json"):
        _ = CLIP(model=str(folder)).settings


def test_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is no folder"):
        _ = CLIP(model=str(tmp_path / "nowhere")).settings


def test_weights_that_lack_a_tensor_are_refused(folder: Path, tmp_path: Path) -> None:
    """Libraries would go on with random ones."""
    broken = copied(folder, tmp_path / "broken")
    weights = next(broken.glob("*.safetensors"))
    state = load_file(weights)
    name = next(name for name in state if name.endswith("weight"))
    del state[name]
    save_file(state, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        CLIP(model=str(broken))(clips(1, 32, 32))


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    broken = copied(folder, tmp_path / "broken")
    next(broken.glob("*.safetensors")).write_bytes(b"not what it was")
    with pytest.raises(ValueError, match="cannot be loaded as a CLIP"):
        CLIP(model=str(broken))(clips(1, 32, 32))


class Harm:
    """Touches a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("fixture", "name"),
    [("hugging_face", "pytorch_model.bin"), ("opened", "open_clip_pytorch_model.bin")],
)
def test_no_pickled_code_is_run(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str, name: str
) -> None:
    folder = copied(request.getfixturevalue(fixture), tmp_path / "harmful")
    next(folder.glob("*.safetensors")).unlink()
    torch.save({"weight": Harm(tmp_path / "harmed")}, folder / name)
    with pytest.raises(ValueError, match="cannot be loaded"):
        CLIP(model=str(folder))(clips(1, 32, 32))
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("part", "entry", "named"),
    [
        ("text_cfg", {"hf_model_name": "roberta-base"}, "'roberta-base'"),
        ("vision_cfg", {"timm_model_name": "hf-hub:some/one"}, "would be downloaded"),
        ("text_cfg", {"tokenizer_kwargs": {"trust_remote_code": True}}, "run code"),
    ],
)
def test_parts_that_would_be_downloaded_are_refused(
    opened: Path, tmp_path: Path, part: str, entry: dict, named: str
) -> None:
    folder = copied(opened, tmp_path / "clip")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"][part] |= entry
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=named):
        CLIP(model=str(folder))(clips(1, 32, 32))


def test_nothing_goes_to_the_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    features = CLIP(model=str(copied(folder, tmp_path / "fresh")))
    assert features(clips(1, 32, 32)).isfinite().all()
    assert features.embed_text(PROMPTS).isfinite().all()


def test_heads_are_light() -> None:
    """Importing the features and their metrics imports none of the libraries behind them."""
    program = (
        "import sys, vidiff_eval.features.clip, vidiff_eval.features.timm\n"
        "import vidiff_eval.metrics.clip_score, vidiff_eval.metrics.clip_consistency\n"
        "heavy = {'transformers', 'open_clip', 'torchmetrics', 'lightning', 'timm'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# -- timm -----------------------------------------------------------------------------------------

MODEL = "test_vit.r160_in1k"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timm") / "vit.safetensors"
    save_file(randomised(timm.create_model("test_vit")).state_dict(), path)
    return path


def test_features_are_those_of_timm(weights: Path) -> None:
    """Before the classifier, which these weights have."""
    video = clips(2, 180, 177)
    model = timm.create_model(MODEL)
    model.load_state_dict(load_file(weights))
    model.reset_classifier(0)
    transform = create_transform(**resolve_model_data_config(model))
    with torch.no_grad():
        expected = model.eval()(torch.stack([transform(one) for one in pictures(video)]))
    features = Timm(model=MODEL, weights=str(weights))
    assert features(video).shape == (2, 2, expected.shape[1])
    assert unlike(features(video).flatten(0, 1), expected) < 0.02
    assert features.name == f"timm_{MODEL}"


def test_weights_without_or_with_another_classifier_give_the_same(
    weights: Path, tmp_path: Path
) -> None:
    video, state = clips(1, 64, 64), load_file(weights)
    expected = Timm(model=MODEL, weights=str(weights))(video)
    bare = {name: value for name, value in state.items() if not name.startswith("head.")}
    save_file(bare, tmp_path / "bare.safetensors")
    ten = bare | {"head.weight": torch.ones(10, 64), "head.bias": torch.ones(10)}
    torch.save({"state_dict": {f"module.{key}": x for key, x in ten.items()}}, tmp_path / "ten.pth")
    for name in ("bare.safetensors", "ten.pth"):
        found = Timm(model=MODEL, weights=str(tmp_path / name))
        torch.testing.assert_close(found(video), expected)
    assert "state_dict" not in (found.network.pretrained_cfg["state_dict"] or {})


def test_unfit_timm_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    state = load_file(weights)
    name = "blocks.1.attn.qkv.weight"
    del state[name]
    save_file(state, tmp_path / "part.safetensors")
    (tmp_path / "damaged.pth").write_bytes(b"nothing")
    (tmp_path / "harm.pth").write_bytes(pickle.dumps({"w": Harm(tmp_path / "harmed")}, protocol=2))
    cases = {"part.safetensors": r"qkv\.weight", "damaged.pth": "not fit", "harm.pth": "not fit"}
    for file, named in cases.items():
        with pytest.raises(ValueError, match=named):
            Timm(model=MODEL, weights=str(tmp_path / file))(clips(1, 32, 32))
    assert not (tmp_path / "harmed").exists()
    with pytest.raises(ValueError, match="does not fit timm's test_vit2"):
        Timm(model="test_vit2", weights=str(weights))(clips(1, 32, 32))


def test_unknown_timm_models_are_named(weights: Path) -> None:
    for name in ("vit_bse_patch16_224", "test_vit.nothing", "hf-hub:some/one"):
        with pytest.raises(ValueError, match=f"no model '{name}'"):
            _ = Timm(model=name, weights=str(weights)).settings


def test_timm_weights_are_looked_for(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(ValueError, match=r"no weights of test_vit\.r160_in1k.*hub"):
        _ = Timm(model=MODEL).settings
    with pytest.raises(ValueError, match=r"gone\.pth do not exist"):
        _ = Timm(model=MODEL, weights=str(tmp_path / "gone.pth")).settings
    cached = tmp_path / "hub" / f"models--timm--{MODEL}" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    shutil.copy(weights, cached / "model.safetensors")
    assert Timm(model=MODEL).settings == Timm(model=MODEL, weights=str(weights)).settings


def test_timm_settings_are_plain_and_know_the_weights(weights: Path, tmp_path: Path) -> None:
    settings = Timm(model=MODEL, weights=str(weights)).settings
    assert json.loads(json.dumps(settings)) == settings
    save_file({n: x + 1 for n, x in load_file(weights).items()}, tmp_path / "other.safetensors")
    other = Timm(model=MODEL, weights=str(tmp_path / "other.safetensors")).settings
    assert {name for name in settings if settings[name] != other[name]} == {"weights_sha256"}
