"""Print what the engine found on this machine: ``python -m georeduce.engine [--json]``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from georeduce.engine.config import config, show_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report, as text or as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m georeduce.engine", description="Print what the engine found here."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if parser.parse_args(arguments).json:
        print(json.dumps(config(), indent=2))
    else:
        show_config()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
