"""How a reduction is called: the options that every reduction takes, each declared once.

`reduce` in `methods.py` acts on them; signatures and docstrings of all reductions are made from the
table.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import ArgumentError, did_you_mean, expected

OPTIONS: dict[str, Option] = {}


@dataclass(frozen=True)
class Option:
    """One option of all reductions, given by keyword.

    Attributes
    ----------
    name : str
        The keyword.
    default : object
        Its value where it is not given.
    doc : str
        Its type, and on the next lines what it means.
    """

    name: str
    default: Any
    doc: str

    def __post_init__(self) -> None:
        OPTIONS[self.name] = self


Option("backend", None, "str, optional\n    Name of a backend; None is the option in force.")
Option("n_threads", None, "int, optional\n    Threads, counted as scikit-learn's ``n_jobs``.")
Option(
    "ranges",
    None,
    "Ranges, or tuple of six integer arrays, optional\n    Blocks that alone are reduced, see"
    " `Ranges`; None is the tensor's own ``ranges``.",
)


def check_options(given: Iterable[str], name: str) -> None:
    """Raise for an option that the reduction `name` does not have."""
    for option in given:
        if option not in OPTIONS:
            what = f"an option of {name} among {list(OPTIONS)}"
            raise ArgumentError(expected(what, repr(option), did_you_mean(option, OPTIONS)))


def signature(*leading: inspect.Parameter) -> inspect.Signature:
    """Return the signature of a method that takes some arguments, then the options."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [inspect.Parameter(o.name, keyword, default=o.default) for o in OPTIONS.values()]
    return inspect.Signature([*leading, *options])


def options_doc() -> str:
    """Return what a docstring says of the options."""
    return "\n".join(f"{o.name} : {o.doc}" for o in OPTIONS.values())
