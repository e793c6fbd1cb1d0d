"""A plan says what the task itself would have said, had it been built and run."""

import resource
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from vidiff.autoencoders import CausalKL, Identity
from vidiff.conditioning import CrossAttention, InContext
from vidiff.conditions import Labels, Words
from vidiff.costs.count import CAPTION
from vidiff.costs.fake_device import SMALL, fake_device, mixed_precision
from vidiff.costs.memory import saved_bytes
from vidiff.costs.plan import AUTOCAST, WEIGHTS, plan
from vidiff.denoisers import DiT
from vidiff.optimizers import AdamW
from vidiff.patchifiers import Tubelet
from vidiff.training import AutoencoderTask, DiffusionTask
from vidiff.types import VideoBatch

CLIP, BATCH = (5, 16, 16), 3

autoencoder = partial(CausalKL, folds=[(2, 2, 2)], width=[16])


def diffusion(**denoiser):
    denoiser = {"patchifier": partial(Tubelet, patch_size=(1, 2, 2))} | denoiser
    return DiffusionTask(
        denoiser=partial(DiT, width=64, depth=2, num_heads=2, **denoiser),
        conditions={"text": partial(Words, text_dim=32, depth=1, num_rows=512)},
        autoencoder=autoencoder,
        condition_dropout=0.0,
    )


def many_tokens():
    """More than the CPU's plain attention kernel is used for."""
    return diffusion(patchifier=partial(Tubelet, patch_size=(1, 1, 1)), conditioning=CrossAttention)


TASKS = {
    "adaln_zero": diffusion,
    "cross_attention": many_tokens,
    "in_context": partial(diffusion, conditioning=InContext),
    "autoencoder": lambda: AutoencoderTask(autoencoder=autoencoder, ema_decay=0.9),
}


def size(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.fixture
def real(request):
    """A task on the CPU, its batch, and what one step kept and left behind."""

    def run(make, precision="32-true"):
        torch.set_default_dtype(WEIGHTS[precision])
        task = make()
        task.configure_model()
        task.train()
        task.finish_step = lambda terms, batch_size: None
        names = [str(number) for number in range(BATCH)]
        batch = VideoBatch(torch.randn(BATCH, 3, *CLIP), [CAPTION] * BATCH, names)
        flops, losses = task.count_flops(batch), []
        with mixed_precision(torch.device("cpu"), AUTOCAST.get(precision)):
            kept = saved_bytes(
                lambda: losses.append(task.training_step(batch, 0)) or losses[-1],
                beside=[*task.parameters(), *task.buffers()],
            )
        losses[0].backward()
        optimizer = task.make_optimizer().build(list(task.trained_parts().values()))
        optimizer.step()
        return task, batch, flops, kept, optimizer

    yield run
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", TASKS)
def test_a_plan_equals_a_real_step_on_the_cpu(name, real):
    costs = plan(TASKS[name](), clip=CLIP, batch_size=BATCH, device="cpu")
    task, batch, flops, kept, optimizer = real(TASKS[name])
    assert costs.flops == flops
    assert costs.tokens_per_clip == task.tokens_per_clip(batch)
    encoded = task.autoencoder.encode(batch.pixels)
    assert costs.latents == tuple(encoded.shape[1:])
    for part, planned in costs.parts.items():
        parameters = list(task.get_submodule(part).parameters())
        assert planned.trained == sum(p.numel() for p in parameters if p.requires_grad)
        assert planned.frozen == sum(p.numel() for p in parameters if not p.requires_grad)
    memory = costs.memory
    everything = task.state_dict()
    average = [v for k, v in everything.items() if k.startswith("ema.")]
    assert average
    assert memory.average == size(average)
    assert memory.weights == size(everything.values()) - size(average)
    assert memory.gradients == size(p.grad for p in task.parameters() if p.grad is not None)
    assert memory.optimizer == size(v for s in optimizer.state.values() for v in s.values())
    assert memory.activations == kept
    assert memory.total == sum(vars(memory).values())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_a_plan_knows_precisions(precision, real):
    costs = plan(many_tokens(), clip=CLIP, batch_size=BATCH, device="cpu", precision=precision)
    task, _, _, kept, optimizer = real(many_tokens, precision)
    assert next(task.denoiser.parameters()).dtype == WEIGHTS[precision]
    assert costs.memory.optimizer == size(v for s in optimizer.state.values() for v in s.values())
    # In mixed precision torch's fake layer norm keeps its statistics in the wrong type.
    assert costs.memory.activations == pytest.approx(kept, rel=0.01)
    full = plan(many_tokens(), clip=CLIP, batch_size=BATCH, device="cpu").memory
    assert costs.memory.activations < 0.75 * full.activations
    assert (costs.memory.weights < 0.6 * full.weights) == (precision == "bf16-true")


def test_dit_xl_2_has_the_papers_operations_and_parameters():
    """Peebles & Xie 2023, table 4: 118.6 G multiply-adds and 675 M parameters for 256 x 256 images.

    The condition is the table of classes, and computes no matrix product.
    """
    task = DiffusionTask(
        denoiser=partial(DiT, width=1152, depth=28, num_heads=16, patchifier=Tubelet),
        autoencoder=partial(Identity, latent_channels=4),
        conditions={"label": partial(Labels, text_dim=1152)},
    )
    costs = plan(task, clip=(1, 32, 32), batch_size=1)
    assert costs.tokens_per_clip == 256
    assert costs.flops / 3 / 2 == pytest.approx(118.6e9, rel=5e-4)
    assert costs.parts["denoiser"].trained == pytest.approx(674e6, rel=5e-3)


def test_seven_billion_parameters_take_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    task = DiffusionTask(denoiser=partial(DiT, width=4096, depth=24, num_heads=32), optimizer=AdamW)
    costs = plan(task, clip=(17, 32, 32), batch_size=2, precision="bf16-mixed")
    trained = sum(part.trained for part in costs.parts.values())
    assert trained > 7e9
    assert costs.memory.weights == pytest.approx(4 * trained, rel=1e-4)
    assert costs.memory.optimizer == pytest.approx(8 * trained, rel=1e-4)
    # in KiB, where one weight matrix of a block has 64 MiB and more
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024


def test_sharding_divides_what_belongs_to_trained_weights_and_nothing_else():
    settings = {"clip": CLIP, "batch_size": BATCH, "device": "cpu", "num_devices": 4}
    whole, shared = plan(diffusion(), **settings), plan(diffusion(), sharded=True, **settings)
    for name in ("gradients", "optimizer"):
        assert getattr(shared.memory, name) == -(-getattr(whole.memory, name) // 4)
    trained = 4 * sum(part.trained for part in whole.parts.values())
    assert whole.memory.weights - shared.memory.weights == trained * 3 // 4
    assert whole.memory.average - shared.memory.average == trained * 3 // 4
    assert shared.memory.activations == whole.memory.activations
    assert shared.flops == whole.flops
    assert whole.memory == plan(diffusion(), clip=CLIP, batch_size=BATCH, device="cpu").memory


def test_a_step_has_the_batches_of_all_devices_and_of_accumulation():
    one = plan(diffusion(), clip=CLIP, batch_size=BATCH, device="cpu")
    many = plan(diffusion(), clip=CLIP, batch_size=BATCH, device="cpu", num_devices=4, accumulate=2)
    assert many.clips_per_step == 8 * BATCH
    assert many.tokens_per_step == 8 * one.tokens_per_step
    assert many.flops == 2 * one.flops
    assert many.memory == one.memory
    assert many.optimizer_flops == one.optimizer_flops > 0


def test_time_is_all_operations_over_the_share_of_the_peak():
    costs = plan(diffusion(), clip=CLIP, batch_size=BATCH, device="cpu")
    operations = costs.flops + costs.optimizer_flops
    assert costs.seconds_per_step(2.0, 0.4) == pytest.approx(operations / 0.8e12)
    for peak, utilisation in ((0.0, 0.4), (1.0, 0.0), (1.0, 40)):
        with pytest.raises(ValueError, match=r"the peak must|a share in"):
            costs.seconds_per_step(peak, utilisation)


def test_muons_products_are_counted():
    """Five iterations of two products of n x n and one of n x m matrices, for each matrix."""
    task = diffusion()
    costs = plan(task, clip=CLIP, batch_size=BATCH, device="cpu")
    iteration = [
        2 * rows**2 * columns * 2 + 2 * rows**3
        for rows, columns in ((min(p.shape), max(p.shape)) for p in hidden(task))
    ]
    assert costs.optimizer_flops == 5 * sum(iteration)


def hidden(task):
    from vidiff.optimizers.muon_adamw import hidden_matrices

    return [p for part in task.trained_parts().values() for p in hidden_matrices(part)]


def test_a_gpus_attention_keeps_no_square_of_the_tokens():
    """Fused kernels keep queries, keys, values, the result and one number for each query."""
    b, heads, n, d = 2, 3, 640, 64
    for dtype, mask in ((torch.bfloat16, False), (torch.float32, False), (torch.bfloat16, True)):
        with fake_device("cuda") as device:
            q, k, v = (
                torch.randn(b, heads, n, d, device=device, dtype=dtype, requires_grad=True)
                for _ in range(3)
            )
            seen = torch.ones(b, 1, 1, n, dtype=torch.bool, device=device) if mask else None
            outputs = []
            kept = saved_bytes(
                lambda q=q, k=k, v=v, seen=seen, outputs=outputs: outputs.append(
                    F.scaled_dot_product_attention(q, k, v, seen)
                )
            )
        assert outputs[0].shape == q.shape
        assert outputs[0].dtype == dtype
        expected = 4 * q.numel() * q.element_size() + 4 * b * heads * n
        slack = 64 + 2 * b * n  # the state of random numbers, and a mask
        assert expected <= kept <= expected + slack


def test_autocast_on_a_fake_gpu_is_that_of_a_gpu():
    with fake_device("cuda") as device:
        x = torch.randn(8, 64, device=device)
        with mixed_precision(device, torch.bfloat16):
            assert (x @ x.T).dtype == torch.bfloat16
            # unlike on the CPU
            assert F.layer_norm((x @ x.T), (8,)).dtype == torch.float32
        assert (x @ x.T).dtype == torch.float32


def test_on_a_fake_device_only_what_belongs_there_is_fake():
    for name in ("cpu", "cuda"):
        with fake_device(name) as device:
            rows = torch.zeros(3, dtype=torch.long)
            rows[1] = 7
            assert rows.tolist() == [0, 7, 0], "tokens can be read"
            big = torch.randn(SMALL + 1, device=device)
            table = torch.nn.Embedding(SMALL, 2, device=device)
            assert table(rows.to(device)).device.type == name
            with pytest.raises(RuntimeError):
                big.sum().item()


def test_what_cannot_be_planned_is_said():
    def refuse(message, make=diffusion, **settings):
        settings = {"clip": CLIP, "batch_size": 1, "device": "cpu"} | settings
        with pytest.raises(ValueError, match=message):
            plan(make(), **settings)

    class Choosy(DiT):
        def forward(self, latents, t, signals):
            return super().forward(latents if latents.sum() > 0 else -latents, t, signals)

    refuse("64-true", precision="64-true")
    refuse("num_devices must be at least 1, got 0", num_devices=0)
    refuse("height must be at least 1, got 0", clip=(5, 0, 16))
    refuse("4 frames do not fit", clip=(4, 16, 16))
    refuse("decides by values", lambda: DiffusionTask(denoiser=Choosy), clip=(4, 64, 64))
