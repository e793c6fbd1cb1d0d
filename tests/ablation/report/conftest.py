"""Results for tests of reports."""

from __future__ import annotations

import pytest
from made_results import make_results

from vidiff.ablation.judge.schema import Results


@pytest.fixture
def results() -> Results:
    return make_results()
