"""Run every case against the installed Postfix and keep what it says.

python tests/compat/postconf/record.py [case ...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import cases

PROGRAM = "/usr/sbin/postconf"


def record(case: cases.Case) -> None:
    for run in case.runs:
        kept = {name: text for name, text in run.said.items() if name.startswith("ours ")}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            case.write_files(folder)
            done = subprocess.run([PROGRAM, *run.words], cwd=folder, capture_output=True, check=False)
            run.said = {}
            for what, raw in (("stdout", done.stdout), ("stderr", done.stderr)):
                text = raw.decode("utf-8", "surrogateescape")
                text = cases.tidy_stderr(text, PROGRAM) if what == "stderr" else text
                if text:
                    run.said[what] = text
            if done.returncode:
                run.said[f"status {done.returncode}"] = ""
            for file, before in case.files.items():
                after = (folder / "conf" / file).read_bytes().decode("utf-8", "surrogateescape")
                if after != before:
                    run.said[f"after {file}"] = after
            run.said |= kept
    cases.write(case)


if __name__ == "__main__":
    for path in sorted(cases.FOLDER.glob("*.case")):
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            record(cases.read(path))
            print(f"recorded {path.name}")
