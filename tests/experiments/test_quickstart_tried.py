"""The rows of what was tried for the demo: each is a config that parses, of the recipe it names."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from scripts import EXPERIMENTS, load_script

QUICKSTART = EXPERIMENTS / "quickstart"


@pytest.fixture(scope="module")
def tried() -> ModuleType:
    return load_script("quickstart/tried.py")


@pytest.fixture(scope="module")
def parser() -> Any:
    from vidiff.cli.model import make_parser

    return make_parser()


def model_of(parser: Any, config: Path, options: str) -> dict[str, Any]:
    parsed = parser.parse_args(["fit", "-c", str(config), *options.split()])
    dumped = yaml.safe_load(parser.dump(parsed, skip_validation=True))["fit"]
    return dumped["model"]["init_args"] | {"steps": dumped["trainer"]["max_steps"]}


@pytest.mark.slow
def test_every_row_is_a_config(tried: ModuleType, parser: Any) -> None:
    for options in tried.AUTOENCODERS.values():
        model_of(parser, QUICKSTART / "autoencoder.yaml", options)
    for name, (autoencoder, options) in tried.ROWS.items():
        assert autoencoder in tried.AUTOENCODERS
        assert model_of(parser, tried.DENOISER, options)["steps"] > 0, name


def test_the_row_of_the_demo_is_the_demo(tried: ModuleType, parser: Any) -> None:
    """What README gives figures of is what is shipped."""
    shipped = model_of(parser, QUICKSTART / "latent.yaml", "")
    tried_as = model_of(parser, tried.DENOISER, tried.ROWS["demo"][1])
    assert {k: v for k, v in tried_as.items() if k != "autoencoder"} == {
        k: v for k, v in shipped.items() if k != "autoencoder"
    }
    autoencoder = QUICKSTART / "autoencoder.yaml"
    assert tried.ROWS["demo"][0] == "demo"
    assert model_of(parser, autoencoder, tried.AUTOENCODERS["demo"]) == model_of(
        parser, autoencoder, ""
    )
