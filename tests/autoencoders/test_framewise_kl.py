"""The framewise autoencoder: diffusers' layers, frames that stand alone, and statistics."""

import pytest
import torch
from normalised import check_normalised

from vidiff.autoencoders import FramewiseKL
from vidiff.autoencoders.framewise_kl import Attention, Residual
from vidiff.optimizers.muon_adamw import hidden_matrices

SMALL = {"latent_channels": 4, "width": [16, 24, 32], "depth": 2, "num_groups": 8}


def small(**settings):
    torch.manual_seed(0)
    return FramewiseKL(**{**SMALL, **settings})


def test_is_diffusers_autoencoder():
    """The same weights give the same posterior and the same pixels (Rombach et al. 2022)."""
    diffusers = pytest.importorskip("diffusers")
    ours = small().eval()
    theirs = diffusers.AutoencoderKL(
        block_out_channels=SMALL["width"], layers_per_block=SMALL["depth"],
        norm_num_groups=SMALL["num_groups"], latent_channels=SMALL["latent_channels"],
        down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3,
    ).eval()  # fmt: skip
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    for mine, other in pairs(ours, theirs):
        copy_weights(mine, other)
    image = torch.randn(2, 3, 16, 24)
    with torch.no_grad():
        posterior, reference = ours.posterior(image[:, :, None]), theirs.encode(image).latent_dist
        torch.testing.assert_close(posterior.mean[:, :, 0], reference.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            posterior.log_variance[:, :, 0], reference.logvar, atol=1e-5, rtol=1e-5
        )
        pixels = ours.reconstruct(posterior.mean)[:, :, 0]
        torch.testing.assert_close(
            pixels, theirs.decode(reference.mean).sample, atol=1e-5, rtol=1e-5
        )


def pairs(ours, theirs):
    """Our layers and diffusers', in the order of the forward pass."""
    first, *downs, middle, norm, _, last, moments = ours.encoder
    encoder = theirs.encoder
    yield from [(first, encoder.conv_in), (norm, encoder.conv_norm_out)]
    yield from [(last, encoder.conv_out), (moments, theirs.quant_conv)]
    for down, block in zip(downs, encoder.down_blocks, strict=True):
        yield from zip(down.blocks, block.resnets, strict=True)
        if down.shrink is not None:
            yield down.shrink, block.downsamplers[0].conv
    yield from in_the_middle(middle, encoder.mid_block)
    latents, first, middle, *ups, norm, _, last = ours.decoder
    decoder = theirs.decoder
    yield from [(latents, theirs.post_quant_conv), (first, decoder.conv_in)]
    yield from [(norm, decoder.conv_norm_out), (last, decoder.conv_out)]
    yield from in_the_middle(middle, decoder.mid_block)
    for up, block in zip(ups, decoder.up_blocks, strict=True):
        yield from zip(up.blocks, block.resnets, strict=True)
        if up.grow is not None:
            yield up.grow, block.upsamplers[0].conv


def in_the_middle(middle, block):
    first, last = block.resnets
    return zip(middle.blocks, (first, block.attentions[0], last), strict=True)


@torch.no_grad()
def copy_weights(mine, other):
    for parameter in other.parameters():  # biases and gains would start alike
        torch.nn.init.normal_(parameter, std=0.2)
    if isinstance(mine, Residual):
        for name in ("norm1", "conv1", "norm2", "conv2"):
            getattr(mine, name).load_state_dict(getattr(other, name).state_dict())
        if other.conv_shortcut is not None:
            mine.skip.load_state_dict(other.conv_shortcut.state_dict())
    elif isinstance(mine, Attention):
        mine.norm.load_state_dict(other.group_norm.state_dict())
        mine.out.load_state_dict(other.to_out[0].state_dict())
        for name, parameter in mine.qkv.named_parameters():
            parts = [getattr(part, name) for part in (other.to_q, other.to_k, other.to_v)]
            parameter.copy_(torch.cat(parts))
    else:
        mine.load_state_dict(other.state_dict())


@pytest.mark.parametrize(
    ("width", "compression"), [([8], (1, 1, 1)), ([8, 16], (1, 2, 2)), ([8] * 4, (1, 8, 8))]
)
@pytest.mark.parametrize("frames", [1, 4])
def test_each_level_but_the_last_halves_height_and_width(width, compression, frames):
    model = small(width=width).eval()
    assert model.compression == compression
    _, ch, cw = compression
    pixels = torch.randn(2, 3, frames, 2 * ch, 3 * cw)
    latents = model.encode(pixels)
    assert latents.shape == (2, 4, frames, 2, 3) == (2, 4, *model.latent_size(*pixels.shape[2:]))
    assert model.decode(latents).shape == pixels.shape


def test_frames_know_nothing_of_each_other():
    model = small().eval()
    pixels, changed = torch.randn(2, 3, 4, 8, 8), torch.full((4,), False)
    changed[2] = True
    other = pixels.clone()
    other[:, :, 2] += 1
    for function, before, after in (
        (model.encode, pixels, other),
        (model.decode, model.encode(pixels), model.encode(other)),
    ):
        difference = (function(before) - function(after)).abs().amax((0, 1, 3, 4))
        assert (difference[~changed] < 1e-6).all()
        assert (difference[changed] > 1e-3).all()


def test_an_image_is_a_video_of_one_frame():
    model = small().eval()
    video = torch.randn(2, 3, 3, 8, 8)
    alone = [model.encode(frame.unsqueeze(2)) for frame in video.unbind(2)]
    torch.testing.assert_close(model.encode(video), torch.cat(alone, dim=2))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((3, 14, 16), "height 14 does not divide .* 4; .* is 16"),
        ((3, 16, 2), "width 2 does not divide .* 4; .* is 4"),
    ],
)
def test_sizes_that_do_not_fit_name_the_nearest(size, message):
    with pytest.raises(ValueError, match=message):
        small().encode(torch.zeros(1, 3, *size))


def test_latents_are_normalised_by_what_training_saw():
    model = small(depth=1)
    with torch.no_grad():
        model.encoder[-1].bias.copy_(torch.tensor([2.0, -1.0, 0.0, 3.0, -1.0, -2.0, 0.0, 1.0]))
    for _ in range(10):
        model.posterior(torch.randn(4, 3, 2, 8, 8))
    drawn = model.posterior(torch.randn(64, 3, 2, 8, 8)).draw()
    check_normalised(model, drawn, within=0.15)


def test_a_few_steps_on_one_clip_lower_the_error():
    model = small(width=[16, 24], depth=1)
    pixels = torch.rand(2, 3, 2, 8, 8) * 2 - 1
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(30):
        error = (model.reconstruct(model.posterior(pixels).draw()) - pixels).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < errors[0] / 2


def test_muon_takes_the_blocks_and_leaves_the_first_and_last_layers():
    model = small()
    hidden = {id(p) for p in hidden_matrices(model)}
    outside = {
        name.removesuffix(".weight")
        for name, p in model.named_parameters()
        if p.ndim > 1 and id(p) not in hidden
    }
    ends = {"encoder.0", "encoder.7", "encoder.8", "decoder.0", "decoder.1", "decoder.8"}
    resizing = {"encoder.1.shrink", "encoder.2.shrink", "decoder.3.grow", "decoder.4.grow"}
    assert outside == ends | resizing


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "numbers of at least 1"),
        ({"width": []}, "a level"),
        ({"width": [16, 20]}, "num_groups 8, 20 does not"),
    ],
)
def test_refuses_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)
