"""We do what Postfix did: every recorded case, played against us and compared with the record."""

import os
import shutil

import pytest
from tests.compat.case import Case, cases
from tests.compat.record import ours_against_record

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root, for namespaces"),
]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_same_as_postfix(case: Case) -> None:
    differs = ours_against_record(case)
    if differs:
        # The difference alone, whole: a traceback says nothing more.
        pytest.fail(f"{case.path}: {case.rule}\n{differs}".encode(errors="backslashreplace").decode(), pytrace=False)
