"""Published autoencoders give what diffusers gives, on small random models saved to disk."""

from __future__ import annotations

import builtins
import json
import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import vidiff
from vidiff.autoencoders import Pretrained, in_chunks
from vidiff.checkpoints import read_checkpoint
from vidiff.costs.plan import plan
from vidiff.data import MovingShapes
from vidiff.denoisers import DiT
from vidiff.patchifiers import Tubelet
from vidiff.testing import check_component
from vidiff.training import AutoencoderTask, DiffusionTask
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer

diffusers = pytest.importorskip("diffusers")

FOUR = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4}
IMAGES: dict[str, Any] = {
    "block_out_channels": (4, 8), "norm_num_groups": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
}  # fmt: skip
LTX: dict[str, Any] = {
    "latent_channels": 8, "patch_size": 4, "scaling_factor": 0.7,
    "block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4,
    "layers_per_block": (1,) * 5, "decoder_layers_per_block": (1,) * 5,
    "spatio_temporal_scaling": (True, True, False, False),
    "decoder_spatio_temporal_scaling": (True, True, False, False),
}  # fmt: skip
WAN: dict[str, Any] = {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "sd": ("AutoencoderKL", IMAGES),
    "sd3": ("AutoencoderKL", IMAGES | {"shift_factor": 0.1, "latent_channels": 16}),
    "playground": (
        "AutoencoderKL", IMAGES | {"latents_mean": [0.1, 0.2, -1, 3], "latents_std": [5, 4, 3, 6]}
    ),
    "cogvideox": ("AutoencoderKLCogVideoX", FOUR | {"latent_channels": 4}),
    "cogvideox_inverted": (
        "AutoencoderKLCogVideoX", FOUR | {"latent_channels": 4, "invert_scale_latents": True}
    ),
    "wan": ("AutoencoderKLWan", WAN),
    "wan22": (
        "AutoencoderKLWan",
        WAN | {"patch_size": 2, "in_channels": 12, "out_channels": 12, "is_residual": True},
    ),
    "ltx": ("AutoencoderKLLTXVideo", LTX),
    "hunyuan": ("AutoencoderKLHunyuanVideo", FOUR | {"latent_channels": 4}),
}  # fmt: skip
COMPRESSION = {
    "sd": (1, 2, 2), "sd3": (1, 2, 2), "playground": (1, 2, 2), "cogvideox": (4, 8, 8),
    "cogvideox_inverted": (4, 8, 8), "wan": (4, 8, 8), "wan22": (4, 16, 16), "ltx": (4, 16, 16),
    "hunyuan": (4, 8, 8),
}  # fmt: skip
FAMILIES = ["sd", "cogvideox", "wan", "ltx", "hunyuan"]


def make(name: str, **changes: Any) -> Any:
    """A small model of diffusers with random weights."""
    class_name, config = MODELS[name]
    torch.manual_seed(0)
    model = getattr(diffusers, class_name)(**config | changes)
    if "LTX" in class_name:
        model.latents_mean.normal_()
        model.latents_std.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Any, Path]:
    """A model of the name that the test is parametrised with, and its folder."""
    model = make(request.param)
    model.save_pretrained(tmp_path / "vae")
    return model, tmp_path / "vae"


def of_family(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("saved", names, indirect=True, ids=names)


def video(frames: int, size: int = 32, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, 3, frames, size, size, generator=generator) * 2 - 1


def channels(values: Any) -> Tensor:
    return torch.as_tensor(values).view(1, -1, 1, 1, 1)


def pipeline_scale(name: str, model: Any) -> tuple[Any, Any]:
    """Mean and deviation that the model's pipeline takes from its latents."""
    config = model.config
    if name == "playground":  # pipeline_stable_diffusion_xl.py
        return channels(config.latents_mean), channels(config.latents_std) / config.scaling_factor
    if name == "sd3":
        return config.shift_factor, 1 / config.scaling_factor
    if name.startswith("wan"):
        return channels(config.latents_mean), channels(config.latents_std)
    if name == "ltx":
        return channels(model.latents_mean), channels(model.latents_std) / config.scaling_factor
    return 0.0, 1 / config.scaling_factor


def per_frame(function: Any, x: Tensor) -> Tensor:
    return torch.stack([function(frame) for frame in x.unbind(2)], dim=2)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 17])
@pytest.mark.parametrize("name", MODELS)
def test_both_ways_are_those_of_diffusers(name: str, frames: int, tmp_path: Path) -> None:
    model = make(name)
    model.save_pretrained(tmp_path)
    ours = Pretrained(folder=str(tmp_path))
    assert ours.compression == COMPRESSION[name]
    pixels = video(frames)
    encode = lambda x: model.encode(x).latent_dist.mode()  # noqa: E731
    decode = lambda z: model.decode(z).sample  # noqa: E731
    if type(model).__name__ == "AutoencoderKL":
        encode, decode = partial(per_frame, encode), partial(per_frame, decode)
    mean, std = pipeline_scale(name, model)
    latents = ours.encode(pixels)
    expected = (encode(pixels) - mean) / std
    assert latents.shape[1:] == (ours.latent_channels, *ours.latent_size(frames, 32, 32))
    assert (latents - expected).abs().max() <= 1e-5
    drawn = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
    decoded = ours.decode(drawn)
    assert decoded.shape == pixels.shape
    assert (decoded - decode(drawn * std + mean)).abs().max() <= 1e-5


@torch.no_grad()
def test_hunyuan_blends_long_videos_as_diffusers_does(tmp_path: Path) -> None:
    model = make("hunyuan")
    model.save_pretrained(tmp_path)
    pixels = video(29, 16)
    ours = Pretrained(folder=str(tmp_path))
    posterior = model.encode(pixels).latent_dist
    assert torch.equal(ours.posterior(pixels).mode, posterior.mode())
    assert torch.equal(ours.posterior(pixels).log_variance, posterior.logvar)
    assert torch.equal(ours.reconstruct(posterior.mode()), model.decode(posterior.mode()).sample)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_keeps_the_promises_of_an_autoencoder(name: str, tmp_path: Path) -> None:
    make(name).save_pretrained(tmp_path)
    check_component("autoencoder", "pretrained", folder=str(tmp_path))


@of_family("cogvideox")
def test_cogvideox_says_which_numbers_of_frames_it_gives_back(saved) -> None:
    """5 frames are 2 of latents, which diffusers decodes to 8."""
    model, folder = saved
    with torch.no_grad():
        latents = model.encode(video(5)).latent_dist.mode()
        assert latents.shape[2] == 2
        assert model.decode(latents).sample.shape[2] == 8
    ours = Pretrained(folder=str(folder))
    with pytest.raises(ValueError, match=r"13 frames do not fit .*1 \+ k x 8; the nearest is 17"):
        ours.encode(video(14)[:, :, :13])
    with pytest.raises(ValueError, match=r"2 frames of latents .*1 \+ k x 2; the nearest is 1"):
        ours.decode(latents)


@torch.no_grad()
@of_family("sd", "wan", "wan22")
def test_chunks_give_what_the_whole_gives(saved) -> None:
    autoencoder = Pretrained(folder=str(saved[1]))
    ct, pixels = autoencoder.compression[0], video(17)
    latents = torch.cat(list(autoencoder.encode_chunks(in_chunks(pixels, 1 + ct, 2 * ct))), dim=2)
    assert (latents - autoencoder.encode(pixels)).abs().max() <= 1e-5
    decoded = torch.cat(list(autoencoder.decode_chunks(in_chunks(latents, 2, 2))), dim=2)
    assert (decoded - autoencoder.decode(latents)).abs().max() <= 1e-5
    one_by_one = torch.cat(list(autoencoder.encode_chunks(in_chunks(pixels, 1, ct))), dim=2)
    assert (one_by_one - latents).abs().max() <= 1e-5


@of_family("cogvideox", "ltx", "hunyuan")
def test_those_that_need_the_whole_video_say_so(saved) -> None:
    autoencoder = Pretrained(folder=str(saved[1]))
    with pytest.raises(ValueError, match="needs the whole video at once: call encode"):
        next(autoencoder.encode_chunks([video(1)]))
    with pytest.raises(ValueError, match="needs the whole video at once: call decode"):
        next(autoencoder.decode_chunks([torch.zeros(1, autoencoder.latent_channels, 1, 2, 2)]))


@torch.no_grad()
def test_a_decoder_that_denoises_follows_its_pipeline(tmp_path: Path) -> None:
    noisy = {
        "timestep_conditioning": True,
        "decoder_inject_noise": (True, True, False, False, True),
    }
    model = make("ltx", **noisy)
    for name, parameter in model.named_parameters():
        if "per_channel_scale" in name or "scale_shift_table" in name:
            parameter.normal_()
    model.save_pretrained(tmp_path)
    latents = torch.randn(2, 8, 2, 2, 2)
    z = latents * channels(model.latents_std) / 0.7 + channels(model.latents_mean)
    for timestep, scale in ((0.0, None), (0.05, None), (0.05, 0.025)):
        ours = Pretrained(folder=str(tmp_path), decode_timestep=timestep, decode_noise_scale=scale)
        before = torch.get_rng_state()
        decoded = ours.decode(latents)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(ours.decode(latents), decoded), "the same noise each time"
        # The clips beside one change nothing, but for the order of sums.
        assert (ours.decode(latents[1:]) - decoded[1:]).abs().max() <= 1e-5
        # ltx/pipeline_ltx.py, with one generator for the noise of all draws
        torch.manual_seed(0)
        share = timestep if scale is None else scale
        mixed = (1 - share) * z + share * torch.randn_like(z[:1])
        expected = model.decode(mixed, torch.tensor([timestep] * 2)).sample
        assert (decoded - expected).abs().max() <= 1e-5
    assert ours.node["init_args"]["decode_noise_scale"] == 0.025


def test_it_is_frozen_and_reconstructs(tmp_path: Path) -> None:
    make("sd").save_pretrained(tmp_path)
    task = AutoencoderTask(autoencoder=partial(Pretrained, folder=str(tmp_path)))
    data = VideoDataModule(dataset=SMALL, batch_size=2)
    trainer = VidiffTrainer(
        accelerator="cpu", logger=False, default_root_dir=tmp_path, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    scores = trainer.validate(task, data, verbose=False)[0]
    assert scores["val/reconstruction"] > 0
    assert all(math.isfinite(score) for score in scores.values())
    assert not any(p.requires_grad for p in task.parameters())


@torch.no_grad()
@of_family(*FAMILIES)
def test_it_runs_in_half_precision(saved) -> None:
    autoencoder = Pretrained(folder=str(saved[1]))
    pixels = video(9)
    expected = autoencoder.encode(pixels)
    autoencoder.bfloat16()
    latents = autoencoder.encode(pixels.bfloat16())
    assert (latents - expected).abs().mean() <= 0.05 * expected.abs().mean()
    assert autoencoder.decode(latents).shape == pixels.shape


@of_family("ltx")
def test_it_can_be_planned_with_and_without_its_folder(saved) -> None:
    folder = str(saved[1])
    node = Pretrained(folder=folder).node
    for make_autoencoder in (
        partial(Pretrained, folder=folder), partial(Pretrained, **node["init_args"])
    ):  # fmt: skip
        task = DiffusionTask(denoiser=TINY, autoencoder=make_autoencoder, conditions={})
        costs = plan(task, clip=(9, 32, 32), batch_size=1)
        count = sum(p.numel() for p in saved[0].parameters())
        assert costs.parts["autoencoder"].frozen == count


TINY = partial(
    DiT, width=16, depth=1, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 1, 1))
)
SMALL = partial(
    MovingShapes, num_videos=2, num_val_videos=2, num_frames=9, height=16, width=16,
    radius=(3.0, 4.0), speed=(0.0, 1.0),
)  # fmt: skip


@pytest.mark.parametrize("name", ["sd", "ltx"])
def test_a_checkpoint_names_its_folder_and_holds_none_of_it(name: str, tmp_path: Path) -> None:
    make(name).save_pretrained(tmp_path / "vae")
    task = DiffusionTask(
        denoiser=TINY,
        autoencoder=partial(Pretrained, folder=str(tmp_path / "vae")),
        conditions={},
    )
    trainer = VidiffTrainer(
        accelerator="cpu", logger=False, default_root_dir=tmp_path, max_steps=1,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, VideoDataModule(dataset=SMALL, batch_size=2))
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    assert not [k for k in read_checkpoint(checkpoint)["state_dict"] if "autoencoder" in k]
    loaded = vidiff.load(checkpoint)
    assert isinstance(loaded, DiffusionTask)
    pixels = loaded.sample([""], num_steps=2)
    assert pixels.shape == (1, 3, 9, 16, 16)
    assert torch.equal(pixels, task.eval().sample([""], num_steps=2))
    assert loaded.encoders.held() == task.encoders.held(), "it can be saved and loaded again"
    config = tmp_path / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.5}))
    with pytest.raises(ValueError, match=r"autoencoder: .*vae has other weights or settings than"):
        vidiff.load(checkpoint)
    shutil.rmtree(tmp_path / "vae")
    with pytest.raises(ValueError, match=r"read from .*/vae, and that is not there any more"):
        vidiff.load(checkpoint)


# -- Files ----------------------------------------------------------------------------------------


@of_family("sd")
def test_every_way_that_weights_are_saved_is_read(saved, tmp_path: Path) -> None:
    model, folder = saved
    pixels = video(1)
    expected = Pretrained(folder=str(folder)).encode(pixels)
    model.save_pretrained(tmp_path / "bin", safe_serialization=False)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="10KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    for name in ("bin", "sharded"):
        assert torch.equal(Pretrained(folder=str(tmp_path / name)).encode(pixels), expected)
    # A pipeline's folder, of which `vae` is a part.
    assert torch.equal(Pretrained(folder=str(tmp_path)).encode(pixels), expected)
    # Half precision is read as single.
    model.half().save_pretrained(tmp_path / "half")
    half = Pretrained(folder=str(tmp_path / "half"))
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert (half.encode(pixels) - expected).abs().max() <= 1e-2


@of_family("sd")
def test_names_of_old_files_are_read(saved) -> None:
    """Attention of Stable Diffusion 1's published files has other names."""
    _, folder = saved
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    file = folder / "diffusion_pytorch_model.safetensors"
    expected = Pretrained(folder=str(folder)).encode(video(1))
    weights = load_file(file)
    for new, name in old.items():
        weights = {k.replace(f"0.{new}.", f"0.{name}."): v for k, v in weights.items()}
    assert any("query" in name for name in weights)
    save_file(weights, file, {"format": "pt"})
    assert torch.equal(Pretrained(folder=str(folder)).encode(video(1)), expected)


def refusal(folder: Path | str, **settings: Any) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - each caller looks at the message
        Pretrained(folder=str(folder), **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@of_family("sd")
def test_what_does_not_fit_is_refused_in_one_line(saved, tmp_path: Path, capfd) -> None:
    _, folder = saved
    file = folder / "diffusion_pytorch_model.safetensors"
    config, weights = json.loads((folder / "config.json").read_text()), load_file(file)
    assert "'nowhere' does not exist" in refusal("nowhere")
    assert "nothing is downloaded" in refusal("stabilityai/sd-vae-ft-mse")
    assert "a folder (or the config of one), got folder='', config=None" in refusal("")

    def write(**changes: Any) -> None:
        (folder / "config.json").write_text(json.dumps(config | changes))

    write(_class_name="AutoencoderKLWam")
    assert "'AutoencoderKLWam', did you mean 'AutoencoderKLWan'?; known: Auto" in refusal(folder)
    write(block_out_channels=[4, 12])
    assert "vae cannot be loaded: " in refusal(folder)
    write(in_channels=4)
    assert "cannot be loaded: " in refusal(folder)
    (folder / "config.json").write_text("{")
    assert "config.json is not JSON" in refusal(folder)
    (folder / "config.json").unlink()
    assert "vae holds no config.json" in refusal(folder)
    write()
    save_file({k: v for k, v in weights.items() if k != "quant_conv.bias"}, file)
    assert "lacks 1 tensors of AutoencoderKL, among them quant_conv.bias" in refusal(folder)
    save_file(weights | {"other": torch.zeros(1)}, file)
    assert "has left over 1 tensors of AutoencoderKL, among them other" in refusal(folder)
    file.write_bytes(b"damaged")
    assert "cannot be loaded" in refusal(folder)
    file.rename(folder / "diffusion_pytorch_model.fp16.safetensors")
    said = refusal(folder)
    assert "holds no weights: it needs diffusion_pytorch_model.safetensors" in said
    assert "holds config.json, diffusion_pytorch_model.fp16.safetensors" in said
    assert capfd.readouterr().err == "", "one line says it all"


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harmed"),))


@of_family("sd")
def test_a_file_that_would_run_code_is_refused(saved, tmp_path: Path, monkeypatch) -> None:
    _, folder = saved
    monkeypatch.chdir(tmp_path)
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"quant_conv.bias": Harmful()}, folder / "diffusion_pytorch_model.bin")
    assert "cannot be loaded" in refusal(folder)
    assert not Path("harmed").exists()


@of_family("sd")
def test_settings_that_do_not_fit_are_refused(saved) -> None:
    folder = saved[1]
    assert "for decoders with timestep_conditioning" in refusal(folder, decode_timestep=0.05)
    assert "within [0, 1], got 2" in refusal(folder, decode_timestep=2.0)
    assert "got folder='" in refusal(folder, config={"_class_name": "AutoencoderKL"})
    autoencoder = Pretrained(folder=str(folder))
    with pytest.raises(ValueError, match="latents must be"):
        autoencoder.decode(torch.zeros(1, 3, 1, 4, 4))
    with pytest.raises(ValueError, match="height 33 does not divide by the compression 2"):
        autoencoder.encode(torch.zeros(1, 3, 1, 33, 32))


def test_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    make("sd", in_channels=4).save_pretrained(tmp_path)
    assert "encodes 4 channels, and videos have 3" in refusal(tmp_path)


@of_family("sd")
def test_without_diffusers_it_says_what_to_install(saved, monkeypatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "diffusers":
            raise ImportError("No module named 'diffusers'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'vidiff[pretrained]'" in refusal(saved[1])


@of_family("sd")
def test_without_weights_it_gives_no_numbers(saved) -> None:
    node = Pretrained(folder=str(saved[1])).node
    empty = Pretrained(**node["init_args"])
    assert empty.encode(video(1)).isnan().all()
    assert not any(p.requires_grad for p in empty.parameters())
