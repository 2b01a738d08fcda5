"""The names that POT's users call arguments by."""

from __future__ import annotations

import functools
from typing import Any

POTS_NAMES = {
    "fit": {"Xs": "X", "ys": "y"},
    "transform": {"Xs": "X"},
    "fit_transform": {"Xs": "X", "ys": "y"},
    "inverse_transform": {"Xt": "X"},
}
"""Of arguments of methods, and ours."""


def called_as_pots(cls: Any) -> Any:
    """Let methods be called by POT's names too: a decorator of a finished class.

    scikit-learn's own wrapper of methods, which it puts on as a class is made, wants X by place.
    """

    def renamed(method: Any, names: dict[str, str]) -> Any:
        @functools.wraps(method)
        def called(self: Any, *args: Any, **given: Any) -> Any:
            ours = {name: given.pop(name) for name in names if name in given}
            if "X" not in given and (first := next(iter(names))) in ours:
                args = (ours.pop(first), *args)
            return method(self, *args, **given, **{names[name]: v for name, v in ours.items()})

        return called

    for name, names in POTS_NAMES.items():
        setattr(cls, name, renamed(getattr(cls, name), names))
    return cls
