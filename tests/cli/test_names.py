"""Registered names, help, and the one private function of jsonargparse that they hang on."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import yaml
from jsonargparse import _typehints
from tiny import write_config

from vidiff.__main__ import main
from vidiff.cli import names
from vidiff.cli.model import make_parser, model_commands
from vidiff.denoisers import Denoiser, DiT
from vidiff.patchifiers import Frame, Tubelet
from vidiff.registry import list_components
from vidiff.types import SignalDims


@pytest.fixture(scope="module")
def parser() -> Any:
    from vidiff.plugins import load_all

    load_all()
    return make_parser()


def printed(capsys: Any, *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["fit", *map(str, words), "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_the_private_functions_of_jsonargparse_are_as_expected() -> None:
    """If this fails after an upgrade, read vidiff/cli/names.py before widening the pin."""
    assert jsonargparse.__version__.startswith("4.")
    assert list(inspect.signature(names._resolve_class).parameters) == ["cls", "name"]
    own = ["self", "value", "append", "cfg", "mode"]
    assert list(inspect.signature(names._check_type).parameters) == own
    assert list(inspect.signature(names._normalize_default).parameters) == ["self", "default"]
    asked = inspect.signature(names._call_return_type).parameters
    assert list(asked) == ["protocol", "logger"]
    settings = set(inspect.signature(names._adapt).parameters)
    assert {"val", "typehint", "serialize", "instantiate_classes", "prev_val"} <= settings
    source = inspect.getsource(_typehints)
    assert "elif typehint_origin in mapping_origin_types:" in source
    assert "if isinstance(val, NestedArg):" in source
    assert source.count("resolve_class_path_by_name(") >= 5
    assert "discard_init_args_on_class_path_change(parser, prev_val, value)" in source
    assert names._resolve_class(Denoiser, "DiT") == "vidiff.denoisers.DiT"
    assert names._resolve_class(Denoiser, "dit") == "dit"  # what the wrapper is for
    names.install()
    names.install()
    assert _typehints.resolve_class_path_by_name is names.resolve
    assert _typehints.adapt_typehints is names.adapt
    assert _typehints.get_protocol_call_return_type is names._call_return_type
    assert names.resolve(Denoiser, "dit") == names.resolve(Denoiser, "DiT")


def test_names_and_classes_in_yaml_and_argv_mean_the_same(tmp_path: Path, capsys: Any) -> None:
    config = write_config(tmp_path / "c.yaml")
    by_name = printed(capsys, "-c", config, "--model.denoiser.patchifier=frame")
    assert by_name == printed(capsys, "-c", config, "--model.denoiser.patchifier=Frame")
    path = "--model.denoiser.patchifier=vidiff.patchifiers.frame.Frame"
    assert by_name == printed(capsys, "-c", config, path)
    patchifier = by_name["model"]["init_args"]["denoiser"]["init_args"]["patchifier"]
    assert patchifier == {"class_path": "vidiff.patchifiers.Frame", "init_args": {"patch_size": 2}}


def test_print_config_round_trips(tmp_path: Path, capsys: Any) -> None:
    config = write_config(tmp_path / "c.yaml", {"trainer.gradient_clip_val": 1.0})
    assert main(["fit", "-c", str(config), "--print_config"]) == 0
    once = capsys.readouterr().out
    (tmp_path / "printed.yaml").write_text(once)
    assert main(["fit", "-c", str(tmp_path / "printed.yaml"), "--print_config"]) == 0
    assert capsys.readouterr().out == once


def test_a_second_config_does_not_leak_settings_across_a_changed_class(
    tmp_path: Path, capsys: Any
) -> None:
    """``patch_size`` of one class is not that of another, though both have one."""
    first = write_config(tmp_path / "first.yaml", {"model.init_args.denoiser.init_args.depth": 7})
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    nested = "model: {init_args: {denoiser: {init_args: {%s}}}}"
    same.write_text(nested % "width: 32")
    other.write_text(nested % "positions: {class_path: rope, init_args: {max_period: 5}}")
    third = tmp_path / "third.yaml"
    third.write_text(nested % "positions: {class_path: sincos}")

    def denoiser(*words: object) -> dict[str, Any]:
        return printed(capsys, "-c", first, *words)["model"]["init_args"]["denoiser"]["init_args"]

    kept = denoiser("-c", same)
    assert (kept["depth"], kept["width"]) == (7, 32)
    assert denoiser("-c", other)["positions"]["init_args"]["max_period"] == 5
    changed = denoiser("-c", other, "-c", third)["positions"]
    assert changed["class_path"].endswith("SinCos")
    assert changed["init_args"]["max_period"] == 10_000
    by_option = denoiser("-c", other, "--model.denoiser.positions=sincos")["positions"]
    assert by_option["init_args"]["max_period"] == 10_000


def test_a_second_config_may_change_the_task(tmp_path: Path, capsys: Any) -> None:
    first, second = write_config(tmp_path / "first.yaml"), tmp_path / "second.yaml"
    second.write_text("model: {class_path: AutoencoderTask, init_args: {warmup_steps: 3}}")
    model = printed(capsys, "-c", first, "-c", second)["model"]
    assert model["class_path"] == "vidiff.training.AutoencoderTask"
    assert model["init_args"]["warmup_steps"] == 3
    assert "denoiser" not in model["init_args"]


def test_a_later_config_and_options_change_single_settings(tmp_path: Path, capsys: Any) -> None:
    config = write_config(tmp_path / "c.yaml")
    args = printed(capsys, "-c", config, "--model.sampler.num_steps=9")["model"]["init_args"]
    assert args["sampler"]["init_args"]["num_steps"] == 9
    assert args["sampler"]["init_args"]["spacing"]["init_args"]["shift"] == 1.0
    assert args["denoiser"]["init_args"]["width"] == 16


def test_short_help_fits_on_a_page_and_names_what_can_be_put_in(capsys: Any) -> None:
    for command, component in model_commands().items():
        assert main([command, "--help"]) == 0
        page = capsys.readouterr().out
        assert page.startswith(f"vidiff {command}: {component.summary}")
        assert len(page.splitlines()) < 80
        assert (
            f"one of: {', '.join(list_components('dataset'))}; default: moving_shapes"
            in " ".join(page.split())
        )
        assert "AutoencoderTask, DiffusionTask" in page
        assert {"sample": "--prompts", "encode": "--num_epochs"}.get(command, "") in page


def test_help_of_a_class_names_the_components_of_each_option(capsys: Any) -> None:
    assert main(["fit", "--model.help=DiffusionTask"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    for kind, default in {"denoiser": "dit", "sampler": "euler"}.items():
        assert f"(one of: {', '.join(list_components(kind))}; default: {default})" in page
    names = ", ".join(list_components("condition"))
    assert f"(one of: {names}; default: text: words)" in page
    main(["fit", "--help-all"])
    assert "--trainer.profiler" in capsys.readouterr().out


def test_a_fits_config_is_understood_by_all_model_commands(parser: Any, tmp_path: Path) -> None:
    config = parser.parse_args(["fit", "-c", str(write_config(tmp_path / "c.yaml"))])
    saved = tmp_path / "saved.yaml"
    fit = parser._subcommands_action.choices["fit"]
    saved.write_text(fit.dump(config.fit, skip_validation=True))
    for command in model_commands():
        read = parser.parse_args([command, "-c", str(saved), "--ckpt_path", "x.ckpt"])
        assert read[command].model == config.fit.model


def test_the_seed_has_a_fixed_default(parser: Any) -> None:
    assert parser.parse_args(["fit", "--model=DiffusionTask"]).fit.seed_everything == 0


def test_factories_hold_what_the_config_says(parser: Any) -> None:
    config = parser.parse_args(
        ["fit", "--model=DiffusionTask", "--model.denoiser.patchifier=frame",
         "--model.denoiser.depth=2", "--model.denoiser.width=24", "--model.denoiser.num_heads=2"]
    )  # fmt: skip
    task = parser.instantiate(config).fit.model
    denoiser = task.factories.denoiser(
        in_channels=3, out_channels=3, signals={"text": SignalDims(vector=8, tokens=8)}
    )
    assert isinstance(denoiser, DiT)
    assert isinstance(denoiser.patchifier, Frame)
    assert isinstance(denoiser.patchifier, Tubelet)
    assert len(denoiser.blocks) == 2
