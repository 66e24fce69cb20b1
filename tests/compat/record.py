"""Record what Postfix does, and compare what we do. Needs root and Debian's postfix.

    python -m tests.compat.record [--only PATTERN] [--keep] [--ours]

Every case is played against Postfix; its record is written anew (`--keep`: left as it is, differences are shown). Then
it is played against us, and differences are shown. Exit status 1 if there is any.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.compat.case import Case, cases
from tests.compat.stage import play


def difference(case: Case, expected: str, observed: str) -> str:
    lines = difflib.unified_diff(
        expected.splitlines(),
        observed.splitlines(),
        f"{case.name}: postfix",
        f"{case.name}: estafeta",
        lineterm="",
        n=2,
    )
    return "\n".join(lines)


def ours_against_record(case: Case) -> str:
    """How we differ from the record; empty if we do not.

    What differs is played once more: on a loaded machine, processes may overtake one another, in Postfix as in ours.
    """
    recorded = case.recorded.read_text(errors="surrogateescape")
    return difference(case, recorded, play(case, "estafeta")) and difference(case, recorded, play(case, "estafeta"))


def compare(case: Case, *, keep: bool, ours_only: bool) -> str:
    try:
        if not ours_only:
            theirs = play(case, "postfix")
            if keep and case.recorded.exists() and theirs != case.recorded.read_text(errors="surrogateescape"):
                return f"{case.name}: Postfix says something else than recorded\n" + difference(
                    case, case.recorded.read_text(errors="surrogateescape"), theirs
                )
            case.recorded.write_text(theirs, errors="surrogateescape")
            differs = ours_against_record(case)
            if not differs:
                return ""
            # Perhaps it was Postfix's turn to be overtaken when the record was made.
            case.recorded.write_text(play(case, "postfix"), errors="surrogateescape")
        return ours_against_record(case)
    except Exception as error:
        return f"{case.name}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name matches this pattern")
    parser.add_argument("--keep", action="store_true", help="do not write records anew, show where Postfix differs")
    parser.add_argument("--ours", action="store_true", help="compare us with the records, without running Postfix")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        print("compat needs root, for namespaces and for Postfix", file=sys.stderr)
        return 1
    wanted = [case for case in cases() if re.search(chosen.only, case.name)]
    differing: list[Case] = []
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        results = pool.map(lambda case: compare(case, keep=chosen.keep, ours_only=chosen.ours), wanted)
        for number, (case, result) in enumerate(zip(wanted, results, strict=True), 1):
            if result:
                differing.append(case)
            print(f"[{number}/{len(wanted)}] {case.name}: {'differs' if result else 'same'}", flush=True)
    # Once more, one at a time: a machine that is busy with the others can reorder what two processes log.
    failed = 0
    for case in differing:
        result = compare(case, keep=chosen.keep, ours_only=chosen.ours)
        failed += bool(result)
        print(f"once more: {case.name}: {'differs' if result else 'same'}\n{result}", flush=True)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
