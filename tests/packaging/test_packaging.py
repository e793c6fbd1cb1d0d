"""vidiff and its example plugin, built as wheels and used from outside the checkout."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "vidiff-sink"
SMALL = [
    *("--trainer.max_steps=2", "--trainer.limit_val_batches=1", "--data.batch_size=2"),
    *("--model.denoiser.width=16", "--model.denoiser.depth=1", "--model.denoiser.num_heads=2"),
]
Run = Callable[..., subprocess.CompletedProcess[str]]


def build(source: Path, folder: Path) -> Path:
    """The wheel of a copy of ``source``, made with what is installed."""
    copy = folder / f"source-{source.name}"
    ignored = (".git", ".venv", ".*_cache", "__pycache__", "runs", "build", "dist", "*.ckpt")
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*ignored))
    # The licence and the readme of the project are not what is tested here.
    for name in ("README.md", "LICENSE"):
        (copy / name).touch()
    code = "import hatchling.build; print(hatchling.build.build_wheel('out'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return copy / "out" / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A fresh environment with both wheels, which borrows all other packages; no download."""
    folder = tmp_path_factory.mktemp("outside")
    venv.create(folder / "env", with_pip=False)
    purelib = next((folder / "env" / "lib").glob("python*")) / "site-packages"
    for built in (wheel, build(PLUGIN, folder)):
        with zipfile.ZipFile(built) as archive:
            archive.extractall(purelib)
    # Last on the path, and not as a site folder: the editable vidiff of these tests stays out.
    borrowed = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (purelib / "borrowed.pth").write_text("\n".join(borrowed) + "\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return subprocess.run(
            [str(folder / "env" / "bin" / "python"), *words],
            capture_output=True, text=True, cwd=folder, timeout=300,
            env=environment | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return run


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vidiff", "vidiff_eval"}
    assert {"vidiff/__main__.py", "vidiff/constraints.txt"} <= set(names)
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "vidiff").rglob("*.py")}
    assert modules <= set(names)


def test_an_installed_plugin_is_found_outside_the_checkout(outside: Run) -> None:
    where = outside(
        "-c", "import vidiff, vidiff_sink; print(vidiff.__file__, vidiff_sink.__file__)"
    )
    assert str(ROOT) not in where.stdout
    assert where.stdout.count("site-packages") == 2
    done = outside("-m", "vidiff", "components", "attention")
    assert done.returncode == 0, done.stderr
    rows = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert ["attention", "sink", "vidiff_sink"] in [row[:3] for row in rows]
    assert ["attention", "full", "vidiff"] in [row[:3] for row in rows]
    assert "left out" not in done.stderr


def test_its_config_prints_and_trains_outside_the_checkout(outside: Run, tmp_path: Path) -> None:
    folder = f"--trainer.default_root_dir={tmp_path}"
    config = ["-m", "vidiff", "fit", "-c", str(PLUGIN / "sink.yaml"), folder]
    done = outside(*config, *SMALL)
    assert done.returncode == 0, done.stderr
    saved = yaml.safe_load((tmp_path / "config.yaml").read_text())
    attention = saved["model"]["init_args"]["denoiser"]["init_args"]["attention"]
    assert attention["class_path"] == "vidiff_sink.Sink"
    assert saved["plugins"] is None  # installed: nothing has to be named
    printed = outside(*config, "--print_config")
    assert "class_path: vidiff_sink.Sink" in printed.stdout


@pytest.mark.slow
def test_an_installed_plugin_trains_in_two_processes(outside: Run, tmp_path: Path) -> None:
    done = outside(
        "-m", "vidiff", "fit", "-c", str(PLUGIN / "sink.yaml"), *SMALL,
        f"--trainer.default_root_dir={tmp_path}", "--trainer.devices=2", "--trainer.strategy=ddp",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "MEMBER: 2/2" in done.stderr
