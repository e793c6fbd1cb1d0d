"""``vidiff plan`` reads what ``fit`` reads, and says what it will cost."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main
from vidiff.costs.configs import plan_settings
from vidiff.costs.machines import peak_of
from vidiff.precision import choose


@pytest.fixture
def planned(tmp_path: Path, capsys: Any) -> Any:
    """Plan the tiny config with options, and read the JSON."""

    def run(*words: object, **changes: Any) -> dict[str, Any]:
        config = write_config(tmp_path / "tiny.yaml", changes)
        capsys.readouterr()
        assert main(["plan", "-c", str(config), "--json", *map(str, words)]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def table(page: str) -> dict[str, str]:
    """Each line's words before the gap, and what follows it."""
    rows = [line.strip().partition("  ") for line in page.splitlines()]
    return {name: " ".join(rest.split()) for name, _, rest in reversed(rows)}


def test_the_table_is_short_and_says_everything(tmp_path: Path, capsys: Any) -> None:
    config = write_config(tmp_path / "tiny.yaml")
    words = ["--device", "h100", "--devices", "8", "--trainer.precision=bf16-mixed"]
    assert main(["plan", "-c", str(config), *words]) == 0
    page = capsys.readouterr().out
    assert len(page.splitlines()) <= 30
    assert max(map(len, page.splitlines())) <= 100
    rows = table(page)
    assert rows["Clip"] == "2 x 16 x 16 frames x height x width"
    assert rows["Latents"] == "3 x 2 x 16 x 16 channels first"
    assert rows["Step"] == "8 GPUs, bf16-mixed"
    assert rows["operations"].endswith("FLOPs: a multiply-add is two")
    assert rows["denoiser"].endswith("trained")
    assert rows["Time"] == "at 40% of 989 TFLOP/s, which is assumed"
    for name in ("conditions.text", "gradients", "activations", "together", "2 steps"):
        assert name in rows, page
    assert "device-hours" in rows
    assert not (tmp_path / "run").exists()


def test_options_of_fit_change_the_plan(planned: Any) -> None:
    plain, deep = planned(), planned("--model.denoiser.depth", 3, "--data.batch_size=4")
    width = 16
    block = (6 + 3 + 1 + 8) * width**2 + (6 + 3 + 1 + 5) * width  # adaLN-Zero, attention, MLP
    sizes = [p["parameters"]["parts"]["denoiser"]["trained"] for p in (plain, deep)]
    assert sizes[1] - sizes[0] == 2 * block
    assert (plain["clips_per_step"], deep["clips_per_step"]) == (2, 4)
    assert plain["tokens_per_clip"] == 8
    assert plain["device"] == "cpu", "the config says so"
    assert plain["multiply_adds_per_step_per_device"] * 2 == plain["flops_per_step_per_device"]


@pytest.mark.parametrize(
    ("trainer", "options", "expected"),
    [
        ({"devices": 4, "num_nodes": 2}, {}, (8, False)),
        ({"devices": "0,3"}, {}, (2, False)),
        ({"devices": "auto", "strategy": "ddp"}, {"devices": 16}, (16, False)),
        ({"strategy": "auto"}, {"strategy": "fsdp", "devices": 2}, (2, True)),
        ({"strategy": Namespace(class_path="a.b.ModelParallelStrategy")}, {}, (1, True)),
    ],
)
def test_the_trainer_or_an_option_says_on_how_many_devices(
    trainer: dict[str, Any], options: dict[str, Any], expected: tuple[int, bool]
) -> None:
    defaults = {"devices": "auto", "num_nodes": 1, "strategy": "auto", "accelerator": "gpu"}
    more = {"precision": "bf16", "accumulate_grad_batches": 3}
    settings = plan_settings(Namespace(**{**defaults, **more, **trainer}), **options)
    assert (settings["num_devices"], settings["sharded"]) == expected
    assert (settings["device"], settings["precision"]) == ("cuda", "bf16-mixed")
    assert settings["accumulate"] == 3


def test_devices_and_their_strategy_reach_the_plan(planned: Any) -> None:
    alone = planned()
    shared = planned("--devices=4", "--strategy=model_parallel", "--device=a100")
    optimizer = [plan["bytes_per_device"]["optimizer"] for plan in (alone, shared)]
    assert optimizer[1] == -(-optimizer[0] // 4)
    assert (alone["clips_per_step"], shared["clips_per_step"]) == (2, 8)
    assert alone["time"] is None
    time = shared["time"]
    assert (time["peak_tflops"], time["utilisation"], time["steps"]) == (312, 0.4, 2)
    assert (shared["precision"], alone["precision"]) == ("bf16-mixed", choose("cpu").precision)
    assert time["device_hours"] == pytest.approx(time["seconds_per_step"] * 2 * 4 / 3600)


def test_the_peak_is_the_named_devices_unless_it_is_given() -> None:
    assert peak_of("a100", None, "bf16-mixed") == (312, False)
    assert peak_of("h200", None, "16-true") == (989, False)
    assert peak_of("a100", None, "32-true") == (19.5, False), "without TF32"
    assert peak_of("a100", None, "32-true", "auto") == (156, False), "with TF32"
    assert peak_of("a100", 7, "32-true") == (7, False)
    assert peak_of(None, None, "32-true") == (None, False)


def test_the_clips_size_comes_from_the_dataset_and_no_file_is_opened(planned: Any) -> None:
    folder = {"class_path": "video_folder", "init_args": {"root": "nowhere", "height": 32}}
    plan = planned(**{"data.dataset": folder})
    assert plan["clip"] == [17, 32, 64]
    longer = planned("--num-frames", 3, "--width=24", **{"data.dataset": folder})
    assert longer["clip"] == [3, 32, 24]


def test_an_autoencoder_in_training_is_planned_too(planned: Any) -> None:
    task = {
        "class_path": "AutoencoderTask",
        "init_args": {
            "autoencoder": {
                "class_path": "causal_kl",
                "init_args": {"latent_channels": 4, "folds": [[1, 4, 4]], "width": [16]},
            }
        },
    }
    plan = planned(model=task)
    assert plan["latents"] == [4, 2, 4, 4]
    assert plan["tokens_per_clip"] == plan["parameters"]["moving_average"] == 0
    assert list(plan["parameters"]["parts"]) == ["autoencoder"]


def test_a_trained_autoencoder_is_read_if_it_is_there(planned: Any, tmp_path: Path) -> None:
    config = tmp_path / "autoencoder.yaml"
    write_config(config, {"model": {"class_path": "AutoencoderTask"}})
    small = (
        "--model.autoencoder={class_path: causal_kl, init_args: {folds: [[1, 4, 4]], width: [8]}}"
    )
    assert main(["fit", "-c", str(config), small, "--trainer.max_steps=1"]) == 0
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    trained = {"class_path": "trained", "init_args": {"checkpoint": str(checkpoint)}}
    patches = "--model.denoiser.patchifier.patch_size=[1, 2, 2]"
    plan = planned(patches, **{"model.init_args.autoencoder": trained})
    assert plan["latents"] == [8, 2, 4, 4]
    assert plan["parameters"]["frozen"] == plan["parameters"]["parts"]["autoencoder"]["frozen"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model.denoiser.depht=3"],
            "unknown option 'model.denoiser.depht', did you mean 'depth'?",
        ),
        (["--utilisaton=3"], "unknown option 'utilisaton', did you mean 'utilisation'?; known:"),
        (["--trainer.max_step=3"], "unknown option 'trainer.max_step', did you mean 'max_steps'?"),
        (["surplus"], "unrecognized arguments: surplus"),
        (["--device=h10"], "plan: argument --device: invalid choice: 'h10'"),
        (["--strategy=dpp"], "no plan for the strategy 'dpp', did you mean 'ddp'?"),
        (["--height=33"], "33 latent height do not divide into patches of 8"),
        (["--model.denoiser.num_heads=3"], "width 16 does not divide among num_heads 3"),
        (
            [
                "--model.autoencoder.class_path=trained",
                "--model.autoencoder.checkpoint=runs/a.ckpt",
            ],
            "checkpoint runs/a.ckpt does not exist yet, and what it holds is part of the plan: "
            "train it first",
        ),
    ],
)
def test_mistakes_are_one_line(refused: Any, tmp_path: Path, words: list[str], said: str) -> None:
    config = write_config(tmp_path / "tiny.yaml")
    assert refused("plan", "-c", config, *words).startswith(said)


def test_a_dataset_without_a_size_asks_for_one(
    refused: Any, tmp_path: Path, forget_plugins: None
) -> None:
    plugin = tmp_path / "sizeless.py"
    plugin.write_text(
        "from vidiff.data import MovingShapes\n"
        "from vidiff.registry import register\n\n\n"
        '@register("sizeless")\n'
        "class Sizeless(MovingShapes):\n"
        '    """Shapes in one size."""\n\n'
        "    def __init__(self, *, split, height: int = 32):\n"
        "        super().__init__(split=split)\n"
    )
    config = write_config(tmp_path / "tiny.yaml", {"data.dataset": "sizeless"})
    error = refused("plan", "-c", config, "--plugins", plugin)
    assert "the dataset has no num_frames, width; give --num-frames N --width N" in error


def test_help_says_that_options_of_fit_are_taken(capsys: Any) -> None:
    assert main(["plan", "--help"]) == 0
    page = capsys.readouterr().out
    assert "It takes every option of `vidiff fit`" in page
    assert "--peak-tflops" in page


def test_other_commands_still_refuse_what_they_do_not_know(refused: Any) -> None:
    assert "unknown option 'jsn', did you mean 'json'?" in refused("components", "--jsn")
