from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from vidiff import __version__
from vidiff.__main__ import main
from vidiff.plugins import load_all
from vidiff.registry import list_components, list_kinds

load_all()


def test_every_component_has_one_line_with_its_kind_package_and_summary(capsys: Any) -> None:
    assert main(["components"]) == 0
    rows = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    listed = {(row[0], row[1]) for row in rows if row[0] not in ("callback", "logger")}
    assert listed == {(k.name, name) for k in list_kinds() for name in list_components(k.name)}
    rows = [row for row in rows if (row[0], row[1]) in listed]
    assert len(rows) == len(listed)
    assert all(len(row) == 4 for row in rows)
    assert ["denoiser", "dit", "vidiff"] in [row[:3] for row in rows]


def test_one_kind_and_json(capsys: Any) -> None:
    assert main(["components", "schedule", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list_components("schedule")
    assert {row["kind"] for row in rows} == {"schedule"}


def test_show_prints_arguments_types_defaults_docs_and_what_can_be_put_in(capsys: Any) -> None:
    assert main(["components", "show", "dit"]) == 0
    page = capsys.readouterr().out
    assert "denoiser dit: vidiff.denoisers.dit.DiT (vidiff)" in page
    assert "  mlp_ratio: float = 4.0\n      hidden width of a block's MLP, over ``width``." in page
    assert "  patchifier: MakePatchifier = tubelet" in page
    assert "one of: frame, tubelet" in page
    assert "Decided by neighbouring parts: in_channels, out_channels, signals" in page
    assert "Raises:" in page
    main(["components", "show", "denoiser.dit"])
    assert capsys.readouterr().out == page
    main(["components", "show", "causal_kl", "--json"])
    folds = json.loads(capsys.readouterr().out)["arguments"][1]
    assert (folds["name"], folds["default"]) == ("folds", "None")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["components", "show", "dti"], "unknown component 'dti', did you mean 'dit'?"),
        (["components", "show", "denoiser.dti"], "unknown denoiser 'dti', did you mean 'dit'?"),
        (
            ["components", "show", "attenton"],
            "'attenton', did you mean 'cross_attention' or the kind 'attention'?",
        ),
        (["components", "show", "SampleVideo"], "'SampleVideo', did you mean 'SampleVideos'?"),
        (["components", "show", "logger.CSV"], "'logger.CSV', did you mean 'CSVLogger'?"),
        (["components", "schedul"], "unknown kind 'schedul', did you mean 'schedule'?"),
        (["components", "--jsn"], "unknown option 'jsn', did you mean 'json'?"),
        (["component"], "unknown command 'component', did you mean 'components'?; known: fit,"),
        (["fitt"], "unknown command 'fitt', did you mean 'fit'?"),
        (["-c", "x.yaml", "fit"], "the command comes first"),
        (["components", "--plugins", "none.py"], "none.py' is not a file"),
    ],
)
def test_mistakes_are_one_line_with_the_nearest(words: list[str], said: str, capsys: Any) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("vidiff: error: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_name_of_several_kinds_asks_which(capsys: Any, monkeypatch: Any) -> None:
    from vidiff.registry import get_component, get_kind

    dit = get_component("denoiser", "dit")
    monkeypatch.setitem(get_kind("schedule").components, "dit", dit)
    assert main(["components", "show", "dit"]) == 2
    assert "several kinds have a component 'dit'" in capsys.readouterr().err


def test_help_lists_all_commands_with_one_line_each(capsys: Any) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    for name in ["fit", "validate", "test", "sample", *list_components("command")]:
        assert any(
            line.split()[:1] == [name] and len(line.split()) > 3 for line in page.splitlines()
        )
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vidiff {__version__}\n"


@pytest.fixture(scope="module")
def light() -> dict[str, Any]:
    """Exit statuses of light commands in one process, and the modules that were imported."""
    code = (
        "import sys, torch, json; torchs = len(sys.modules); from vidiff.__main__ import main;"
        "codes = [main(['components'])]; listing = list(sys.modules);"
        "codes += [main(words) for words in (['--help'], ['--version'], ['components', 'show', "
        "'dit'])]; print(json.dumps(dict(torchs=torchs, listing=listing, codes=codes, "
        "all=list(sys.modules))), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return dict(json.loads(done.stderr.splitlines()[-1]))


def test_light_commands_import_neither_lightning_nor_jsonargparse(light: dict[str, Any]) -> None:
    assert light["codes"] == [0, 0, 0, 0]
    assert not {"lightning", "jsonargparse", "torchmetrics", "timm"} & set(light["all"])


def test_listing_components_imports_little_beside_torch(light: dict[str, Any]) -> None:
    """So that it is nearly as quick; in modules, as seconds depend on what else a machine does."""
    names = light["listing"][light["torchs"] :]
    packages = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    packages = {name for name in packages if not name.startswith("_")}
    assert packages <= {"vidiff", "vidiff_eval", "einops", "safetensors", "av", "PIL"}
    assert len(light["listing"]) < 1.5 * light["torchs"]
