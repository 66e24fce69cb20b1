"""Ask the real postmap, postalias and newaliases everything in cases.py: `python -m tests.compat.postmap.record`.

Needs Debian's postfix, postfix-lmdb and postfix-pcre. Writes recorded.json; nothing outside a temporary folder changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.compat.postmap.cases import CASES, File

RECORDED = Path(__file__).with_name("recorded.json")
MAIN_CF = "compatibility_level = 3.6\nalias_database = hash:FOLDER/aliases\ndefault_database_type = hash\n"


def main() -> None:
    answers: dict[str, list[dict[str, object]]] = {}
    for name, steps in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "main.cf").write_text(MAIN_CF.replace("FOLDER", folder))
            Path(folder, "master.cf").write_text("")
            answers[name] = []
            for step in steps:
                if isinstance(step, File):
                    Path(folder, step.name).write_bytes(step.content)
                    continue
                done = subprocess.run(
                    step.words,
                    input=step.stdin,
                    capture_output=True,
                    cwd=folder,
                    env={**os.environ, "MAIL_CONFIG": folder},
                    check=False,
                )
                answers[name].append(
                    {
                        "words": step.words,
                        "status": done.returncode,
                        "stdout": done.stdout.decode("utf-8", "backslashreplace"),
                        "stderr": done.stderr.decode("utf-8", "backslashreplace").replace(folder, "FOLDER"),
                    }
                )
    RECORDED.write_text(json.dumps(answers, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
