"""What README shows is true of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from vidiff.plugins import load_builtin
from vidiff.registry import get_kind, list_kinds

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_block_of_readme_keeps_the_promises_of_its_kind(tmp_path):
    (block,) = re.findall(r'```python\n("""my_block\.py.*?)```', README, flags=re.DOTALL)
    (tmp_path / "my_block.py").write_text(block, encoding="utf-8")
    check = (
        "from vidiff.plugins import load_plugins; load_plugins(['my_block.py']); "
        "from vidiff.testing import check_component; check_component('attention', 'gated')"
    )
    subprocess.run([sys.executable, "-c", check], cwd=tmp_path, check=True, timeout=300)


def test_the_table_of_readme_lists_what_is_registered():
    load_builtin()
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", README, flags=re.MULTILINE)
    assert len(rows) > 10
    for kinds, names in rows:
        for kind, listed in zip(kinds.split(", "), names.split("; "), strict=True):
            components = get_kind(kind.strip("`")).components.values()
            ours = {c.name for c in components if c.package == "vidiff"}
            assert set(re.findall(r"`(\w+)`", listed)) == ours, kind
    shown = {kind.strip("`") for kinds, _ in rows for kind in kinds.split(", ")}
    ours = {
        kind.name
        for kind in list_kinds()
        if any(c.package == "vidiff" for c in kind.components.values())
    }
    assert shown == ours - {"command"}  # what one types, not a part
