"""What can go wrong, as exceptions and warnings, and the sentences they speak in.

Every message reads "Expected *the rule*, but got *what was given*." followed by the cure when
there is one. Knows nothing of formulas, arrays or machines.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

__all__ = [
    "ArgumentError",
    "BackendError",
    "CacheWarning",
    "CompileError",
    "ConvergenceWarning",
    "DTypeError",
    "ForkWarning",
    "GeoreduceError",
    "GeoreduceWarning",
    "NoCompilerWarning",
    "NotPositiveDefiniteError",
    "ShapeError",
]


class GeoreduceError(Exception):
    """Base of every exception that georeduce raises on purpose."""


class ShapeError(GeoreduceError, ValueError):
    """Sizes or dimensions that disagree."""


class DTypeError(GeoreduceError, TypeError):
    """A type of numbers that is not supported, or two that disagree."""


class ArgumentError(GeoreduceError, ValueError):
    """A value or a name outside of what an argument accepts."""


class NotPositiveDefiniteError(ArgumentError, ArithmeticError):
    """A matrix that conjugate gradients cannot solve with."""


class BackendError(GeoreduceError, RuntimeError):
    """A backend that is missing, or cannot do what was asked of it."""


class CompileError(GeoreduceError, RuntimeError):
    """A compiler that failed: its first error, and where the source was kept.

    Parameters
    ----------
    command : sequence of str
        The command that failed.
    stderr : str
        All that the compiler said.
    source_path : str
        Where the source was kept; empty if it could not be.
    reason : str
        What happened, for the first sentence; by default the compiler's first error line.
    """

    def __init__(
        self, command: Sequence[str], stderr: str, source_path: str, reason: str = ""
    ) -> None:
        self.command = tuple(command)
        self.stderr = stderr
        self.source_path = source_path
        self.reason = reason or first_error(stderr) or "it failed without a message"
        kept = f"The source was kept in {source_path}." if source_path else ""
        compiler = self.command[0] if self.command else "the compiler"
        message = expected(f"{compiler} to compile a kernel", self.reason, kept)
        super().__init__(message)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Rebuild from the fields, so that the exception crosses processes."""
        return type(self), (self.command, self.stderr, self.source_path, self.reason)


class GeoreduceWarning(UserWarning):
    """Base of every warning that georeduce gives."""


class NoCompilerWarning(GeoreduceWarning):
    """No compiler works: formulas are run by NumPy, which is slower."""


class CacheWarning(GeoreduceWarning):
    """Compiled kernels cannot be kept from one process to the next."""


class ForkWarning(GeoreduceWarning):
    """A forked process runs its kernels with one thread."""


class ConvergenceWarning(GeoreduceWarning):
    """A solver stopped before it was as near as it was asked to be."""


def expected(what: str, got: str, cure: str = "") -> str:
    """Return the sentence of an error: the rule, what was given, the cure."""
    sentence = f"Expected {what}, but got {got}"
    if not sentence.endswith("."):
        sentence += "."
    return f"{sentence} {cure}" if cure else sentence


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'sqrt'?" for the known name closest to `name`, else ""."""
    import difflib  # imported late: only wanted when something is wrong

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def first_error(stderr: str) -> str:
    """Return the line in which a compiler first names an error, else its first line."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    # What the driver says of its linker names no cause; the linker has said that before.
    empty = ("ld returned", "linker command failed")
    lines = [line for line in said if not any(words in line for words in empty)] or said
    for mark in ("error:", "undefined reference", "error", "failed"):
        for line in lines:
            if mark in line.lower():
                return line
    return lines[0] if lines else ""


def user_frame() -> FrameType:
    """Return the innermost frame outside georeduce: the line a user can change.

    PyTorch's frames are not the user's either: it calls us back.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__", "")).split(".")[0] not in ("georeduce", "torch"):
            break
        frame = frame.f_back
    return frame


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the user's line rather than at ours."""
    frame = user_frame()
    # Not `warnings.warn(stacklevel=...)`: it counts frames in its own way (it skips importlib's).
    warnings.warn_explicit(
        message,
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=str(frame.f_globals.get("__name__", "<string>")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
