"""`python -m sanitize [NAME ...]`: the agreement suite under each sanitizer; `make sanitize`."""

from __future__ import annotations

import sys
import time

from sanitize.sanitizers import SANITIZERS, SUITE, TESTS

PYTEST = ("-m", "pytest", "-n0", "-q", "-p", "sanitize.plugin", "-m", "compiler", "--maxfail=5")
CACHES = TESTS.parent / "build" / "sanitize"


def main(names: list[str]) -> int:
    """Run the suite under the sanitizers named, or all; return 1 if one found something."""
    wrong = 0
    for name in names or SANITIZERS:
        sanitizer = SANITIZERS[name]
        if why := sanitizer.missing():
            print(f"{name}: not run, as it {why}", flush=True)
            wrong = 1
            continue
        began = time.monotonic()
        command = [sys.executable, *PYTEST, *SUITE]
        done = sanitizer.run(command, CACHES / name, show=True)
        said = "clean" if done.returncode == 0 else f"ended with status {done.returncode}"
        print(f"{name}: {said} in {time.monotonic() - began:.0f} s", flush=True)
        wrong = wrong or done.returncode
    return int(wrong != 0)


sys.exit(main(sys.argv[1:]))
