"""Every config that is shipped parses, says what it asks, and refuses every misspelt key."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_encoders
import yaml

from vidiff.errors import UsageError
from vidiff.plugins import load_all

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("experiments/**/*.yaml"), *ROOT.glob("plugins/*/*.yaml")])
ABLATIONS = [path for path in FILES if "axes" in yaml.safe_load(path.read_text())]
CONFIGS = [path for path in FILES if path not in ABLATIONS]
every = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
ablations = pytest.mark.parametrize("path", ABLATIONS, ids=lambda p: str(p.relative_to(ROOT)))
shipped = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.fixture(scope="module")
def parser() -> Any:
    load_all([str(folder.parent) for folder in ROOT.glob("plugins/*/vidiff_*/__init__.py")])
    from vidiff.cli.model import make_parser

    return make_parser()


@pytest.fixture(scope="module")
def refused() -> set[Any]:
    """Keys that were refused in an earlier config, with their classes."""
    return set()


OWN_NAMES = ("conditions", "condition_dropout")
"""Keys under which names are the config's own."""


def keys(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every key that vidiff names, also inside lists."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not path or path[-1] not in OWN_NAMES:
                yield (*path, key)
            yield from keys(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from keys(value, (*path, index))


def classes(config: dict[str, Any], path: tuple[Any, ...]) -> tuple[Any, ...]:
    """The path of a key with the classes on its way: what decides whether the key is known."""
    node: Any = config
    found: list[Any] = []
    for step in path:
        if isinstance(node, dict):
            found += [node.get("class_path"), step]
        node = node[step]
    return tuple(found)


def renamed(config: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A copy in which the key at the end of ``path`` has another name."""
    config = copy.deepcopy(config)
    node: Any = config
    for step in path[:-1]:
        node = node[step]
    node[f"{path[-1]}_x"] = node.pop(path[-1])
    return config


def refusal(parser: Any, path: Path) -> str | None:
    """Why a config is refused; None if it is not."""
    try:
        parser.parse_args(["fit", "-c", str(path)])
    except UsageError as error:
        return str(error)
    return None


def test_there_are_configs() -> None:
    assert CONFIGS
    assert ABLATIONS


@every
def test_a_config_begins_with_its_question_and_the_command(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert any("?" in line for line in head), "the first comment asks what the experiment asks"
    command = [line for line in head if "vidiff " in line]
    assert any(str(path.relative_to(ROOT)) in line for line in command), "and says how to run it"


@shipped
def test_a_config_leaves_the_precision_to_the_machine(path: Path) -> None:
    trainer = yaml.safe_load(path.read_text(encoding="utf-8")).get("trainer") or {}
    assert trainer.get("precision", "auto") == "auto"


@shipped
def test_a_config_parses_and_prints_what_it_was_made_from(
    parser: Any, path: Path, tmp_path: Path
) -> None:
    fit = parser._subcommands_action.choices["fit"]
    once = fit.dump(parser.parse_args(["fit", "-c", str(path)]).fit, skip_unset=False)
    (tmp_path / "printed.yaml").write_text(once)
    again = parser.parse_args(["fit", "-c", str(tmp_path / "printed.yaml")]).fit
    assert fit.dump(again, skip_unset=False) == once


@shipped
def test_each_key_of_a_config_is_refused_if_it_is_misspelt(
    parser: Any, path: Path, tmp_path: Path, refused: set[Any]
) -> None:
    """Once of each key of a class: most stand in many configs, and a parse takes half a second."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    misspelt = tmp_path / "misspelt.yaml"
    for key in keys(config):
        if (place := classes(config, key)) in refused:
            continue
        refused.add(place)
        misspelt.write_text(yaml.safe_dump(renamed(config, key)))
        error = refusal(parser, misspelt)
        assert error is not None, f"accepted without {key}"
        assert "\n" not in error
        assert str(key[-1]) in error, key


@ablations
def test_an_ablation_has_three_seeds_and_every_run_of_it_builds(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vidiff.ablation.ask.cells import make_runs
    from vidiff.ablation.ask.file import read_ablation
    from vidiff.ablation.check.preparation import Preparation

    # As if called where ablations are, from which their paths begin, with a model of the same kind
    # in place of weights that a user fetches first.
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for folder in re.findall(r"folder: (\S+minilm)", path.read_text(encoding="utf-8")):
        small_encoders.save(tmp_path / folder, "bert")
    monkeypatch.chdir(tmp_path)
    preparation = Preparation(read_ablation(path.relative_to(ROOT)))
    assert len(preparation.ablation.seeds) >= 3
    runs = make_runs(preparation.cells, preparation.base, preparation.ablation.seeds)
    checked = [(run.name, preparation.checker.examine(run.config)) for run in runs]
    assert [(name, said) for name, said in checked if isinstance(said, str)] == []
    options = preparation.ablation.samples, preparation.ablation.evaluation
    assert preparation.checker.check_measuring(*options, preparation.base) == []


@pytest.mark.slow
@shipped
def test_a_config_runs_for_two_steps(path: Path, tmp_path: Path) -> None:
    from vidiff.__main__ import main

    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    short = ["--trainer.max_steps=2", "--trainer.limit_val_batches=1", "--data.batch_size=2"]
    words = ["fit", "-c", str(path), *short, f"--trainer.default_root_dir={tmp_path}"]
    if "class_path: trained" in path.read_text():
        first, folder = path.with_name("autoencoder.yaml"), tmp_path / "autoencoder"
        assert main(["fit", "-c", str(first), *short, f"--trainer.default_root_dir={folder}"]) == 0
        words += [f"--model.autoencoder.checkpoint={folder}/checkpoints/last.ckpt"]
    if "plugins" in path.relative_to(ROOT).parts:
        words += ["--plugins", str(next(path.parent.glob("vidiff_*")))]
    if config["data"]["dataset"].get("class_path") == "video_folder":
        videos = ROOT.parent / "shared" / "videos" / "clips"
        if not videos.is_dir():
            pytest.skip("no video files at hand")
        words += [f"--data.dataset.root={videos}"]
    assert main(words) == 0
    assert (tmp_path / "config.yaml").exists()
