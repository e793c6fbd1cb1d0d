from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vidiff.plugins import PluginError, load_plugins, requested_plugins, without_plugins
from vidiff.registry import get_component, list_components

pytestmark = pytest.mark.usefixtures("forget_plugins")


def test_plugins_are_found_in_the_flag_and_in_configs_before_the_parser_is_built(
    tmp_path: Path,
) -> None:
    one, text, bad = tmp_path / "one.yaml", tmp_path / "text.yaml", tmp_path / "bad.yaml"
    one.write_text("plugins: [b.py, c.module]\nmodel: x\n")
    text.write_text("plugins: d.py\n")
    bad.write_text("plugins: [\n")
    argv = ["fit", "--plugins", "a.py,b.py", "-c", str(one), f"--config={text}", "-c", str(bad)]
    argv += ["--plugins=[e.py, 'f.py']", "-c", str(tmp_path / "none.yaml"), "--model.x", "1"]
    here, there = Path.cwd(), tmp_path
    assert requested_plugins(argv) == [
        f"{here}/a.py", f"{here}/b.py", f"{there}/b.py", "c.module", f"{there}/d.py",
        f"{here}/e.py", f"{here}/f.py",
    ]  # fmt: skip
    rest = ["fit", "-c", str(one), f"--config={text}", "-c", str(bad)]
    assert without_plugins(argv) == [*rest, "-c", str(tmp_path / "none.yaml"), "--model.x", "1"]


def test_a_file_becomes_an_importable_module_of_its_own_name(block_file: Path) -> None:
    (module,) = load_plugins([str(block_file)])
    component = get_component("attention", "loose")
    assert component.cls.__module__ == component.package == module.__name__ == "loose_block"
    assert load_plugins([str(block_file)]) == [module]
    assert __import__("loose_block") is module


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("absent.py", None, "is not a file"),
        ("json.py", "", "would hide the module 'json'"),
        ("two-words.py", "", "needs a name that Python can import"),
        ("broken_one.py", "x = 1\nraise RuntimeError('boom')\n", r"RuntimeError: boom .*line 2"),
        ("broken_two.py", "def f(:\n", r"SyntaxError: .*broken_two.py, line 1"),
        ("broken_three.py", "import nothing_like_it\n", "No module named 'nothing_like_it'"),
        ("broken_four.py", "raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_plugin_that_was_asked_for_and_fails_is_one_line(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(PluginError, match=said) as error:
        load_plugins([str(tmp_path / name)])
    assert "\n" not in str(error.value)


def test_a_plugin_that_fails_halfway_leaves_nothing_registered(block_file: Path) -> None:
    block_file.write_text(block_file.read_text() + "\nraise ValueError('late')\n")
    with pytest.raises(PluginError, match="late"):
        load_plugins([str(block_file)])
    assert "loose" not in list_components("attention")
    block_file.write_text(block_file.read_text().replace("raise ValueError('late')", ""))
    load_plugins([str(block_file)])
    assert "loose" in list_components("attention")


@pytest.fixture
def broken_installed(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH that holds an installed plugin which cannot be imported."""
    site = tmp_path / "site"
    info = site / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vidiff.plugins]\nbroken = broken_plugin\n")
    (site / "broken_plugin.py").write_text("raise RuntimeError('boom')\n")
    return site


def test_a_broken_installed_plugin_is_isolated_warned_about_once_and_listed(
    vidiff: Any, broken_installed: Path
) -> None:
    done = vidiff("components", "attention", path=broken_installed)
    assert done.returncode == 0
    assert "full" in done.stdout
    assert "plugin left out: broken (from broken 1.0): RuntimeError: boom" in done.stdout
    assert done.stderr.count("plugin left out: broken") == 1
    assert "Traceback" not in done.stderr


def test_an_unknown_name_names_the_plugins_that_were_left_out(
    vidiff: Any, broken_installed: Path
) -> None:
    done = vidiff(
        "fit", "--model=DiffusionTask", "--model.denoiser.attention=sinkk", path=broken_installed
    )
    error = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert "unknown attention 'sinkk'" in error
    assert "known: alternating, full" in error
    assert "plugin left out: broken (from broken 1.0): RuntimeError: boom" in error


def test_a_broken_installed_plugin_that_is_asked_for_is_an_error(
    vidiff: Any, broken_installed: Path
) -> None:
    done = vidiff("components", "--plugins", "broken_plugin", path=broken_installed)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "vidiff: error: plugin 'broken_plugin' failed to load: RuntimeError: boom"
    )


def test_a_loose_file_is_listed_with_its_name(vidiff: Any, block_file: Path) -> None:
    done = vidiff("--plugins", "blocks/loose_block.py", "components", "attention")
    assert done.returncode == 0, done.stderr
    assert any(
        line.split(maxsplit=3)
        == ["attention", "loose", "loose_block", "Full attention under another name."]
        for line in done.stdout.splitlines()
    )
