"""``vidiff doctor`` as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from vidiff.__main__ import main
from vidiff.commands.doctor import as_text, without_secrets
from vidiff.doctor import Check, Device, Finding
from vidiff.plugins import load_all
from vidiff.registry import Component, get_kind, list_components

load_all()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Component]:
    """The registered checks, to be replaced."""
    kind = get_kind("check")
    for name in list(kind.components):
        monkeypatch.delitem(kind.components, name)
    return kind.components


def fake(name: str, *findings: Finding | Exception) -> Component:
    def look(self: Any) -> list[Finding]:
        for one in findings:
            if isinstance(one, Exception):
                raise one
        return [one for one in findings if isinstance(one, Finding)]

    return Component("check", name, type(name, (Check,), {"look": look, "place": len(name)}))


def test_it_reports_on_this_machine_without_lightning() -> None:
    code = (
        "import sys; from vidiff.__main__ import main; code = main(['doctor', '--json']);"
        "print(code, [m for m in ('lightning', 'jsonargparse', 'torchmetrics', 'timm', 'ray')"
        " if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] in ("0 []", "1 []")
    found = json.loads(done.stdout)["checks"]
    assert set(found) == set(list_components("check"))
    assert next(iter(found)) == "device"
    assert {"I3D", "CLIP"} <= {line["name"] for line in found["evaluation_weights"]}
    for lines in found.values():
        for line in lines:
            assert (line["state"] == "ok") == (line["next_step"] == "")


def test_the_page_names_what_is_to_be_done(checks: dict[str, Component], capsys: Any) -> None:
    checks["two"] = fake("twice", Finding("b", "broken " * 20, "mend it", "wrong"))
    checks["one"] = fake("one", Finding("a", "fine"), Finding("c", "slow", "unset X", "optional"))
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["one", "  a  fine", "- c  slow", "     -> unset X"]
    assert lines[4:6] == ["twice", "! b  " + " ".join(["broken"] * 13)]
    assert lines[-3:] == ["     -> mend it", "", "1 to mend (!); 1 could be added or changed (-)."]
    assert as_text({"x": [Finding("a", "fine")]}).endswith(
        "Nothing is wrong; 0 could be added or changed (-)."
    )


def test_a_check_that_fails_does_not_stop_the_others(
    checks: dict[str, Component], capsys: Any
) -> None:
    checks["bad"] = fake("bad", RuntimeError("no such\nthing"))
    checks["good"] = fake("good", Finding("a", "fine"))
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["checks"]
    assert found["bad"][0]["found"] == "failed: RuntimeError: no such thing"
    assert found["good"][0]["found"] == "fine"


def test_secrets_are_not_printed(
    checks: dict[str, Component], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345678")
    said = "ImportError: 401 for sk-12345678 at https://me:word@index.org/simple, hf_abcdefgh"
    checks["bad"] = fake("bad", ImportError(said))
    for words in ([], ["--json"]):
        main(["doctor", *words])
        page = capsys.readouterr().out
        assert not any(secret in page for secret in ("sk-12345678", "word@", "hf_abcdefgh"))
        assert "https://***@index.org/simple" in page.replace("\n", "")
    monkeypatch.setenv("MY_PASSWORD", 'quoted"word')
    assert "word" not in without_secrets('{"said": "quoted\\"word"}')
    assert without_secrets("HF_HOME=/data") == "HF_HOME=/data"


def test_a_line_that_is_not_well_must_say_what_to_do() -> None:
    with pytest.raises(AssertionError, match="what is to be done"):
        Finding("x", "missing", state="optional")
    with pytest.raises(AssertionError, match="what is to be done"):
        Finding("x", "there", "do it")


def test_a_plugins_check_is_one_of_them(checks: dict[str, Component], capsys: Any) -> None:
    checks["device"] = Component("check", "device", Device)
    checks["mine"] = fake("mine", Finding("a", "fine"))
    main(["doctor", "--json"])
    assert list(json.loads(capsys.readouterr().out)["checks"]) == ["device", "mine"]
