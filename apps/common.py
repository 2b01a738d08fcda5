"""What all estimators share: parameters checked from a declaration, and the types of numbers.

Knows scikit-learn's public interface and the engine's; knows no estimator.
"""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array

from georeduce.engine import ArgumentError, options
from georeduce.engine.arrays import library_of, to_numpy
from georeduce.engine.backends import backend_names
from georeduce.engine.errors import did_you_mean, expected

Array = npt.NDArray[Any]

SHOWN = 300
"""Characters of a wrong value that a sentence shows; of longer ones the beginning."""
FLOATS = [np.float64, np.float32]
"""For ``validate_data(dtype=FLOATS)``: both are kept as they are, all else becomes the first."""


class ParameterError(ArgumentError, TypeError):
    """A parameter of an estimator outside of what it accepts.

    Both a ValueError and a TypeError, as scikit-learn's own error for parameters is.
    """


@dataclass(frozen=True)
class Rule:
    """What a parameter may be.

    Attributes
    ----------
    what : str
        The rule as the end of the sentence "Expected n_neighbors to be ...".
    accepts : callable
        Whether a value follows it.
    cure : callable
        From a value that does not, a sentence that helps, or "".
    """

    what: str
    accepts: Callable[[Any], bool]
    cure: Callable[[Any], str] = lambda value: ""

    def check(self, name: str, value: Any) -> None:
        """Raise the sentence if `value` does not follow the rule."""
        if not self.accepts(value):
            got = repr(value)
            got = got if len(got) <= SHOWN else reprlib.repr(value)
            raise ParameterError(expected(f"{name} to be {self.what}", got, self.cure(value)))

    def __or__(self, other: Rule) -> Rule:
        """Return the rule that one of the two is followed."""
        return Rule(
            f"{self.what} or {other.what}",
            lambda value: self.accepts(value) or other.accepts(value),
            lambda value: self.cure(value) or other.cure(value),
        )


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer of any library; a bool is not."""
    if isinstance(value, bool | np.bool_):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_real(value: Any) -> bool:
    """Return whether a value is a real number of any library; a bool is not."""
    if isinstance(value, bool | np.bool_):
        return False
    return isinstance(value, int | float | np.integer | np.floating)


def is_array_like(value: Any) -> bool:
    """Return whether a value is a list or an array of any library."""
    return hasattr(value, "__len__") and not isinstance(value, str)


def one_of(*names: str, cure: str = "") -> Rule:
    """Return the rule that a parameter is one of these strings."""
    *others, last = map(repr, names)
    what = " or ".join([", ".join(others), last] if others else [last])

    def help_with(value: Any) -> str:
        guess = did_you_mean(value, names) if isinstance(value, str) else ""
        return guess or cure

    return Rule(what, lambda value: isinstance(value, str) and value in names, help_with)


NONE = Rule("None", lambda value: value is None)
CALLABLE = Rule("a function", callable)
DICT = Rule("a dict of keywords", lambda value: isinstance(value, dict))
POSITIVE_INTEGER = Rule("a positive integer", lambda value: is_integer(value) and value >= 1)
POSITIVE_REAL = Rule("a positive number", lambda value: is_real(value) and value > 0)
NON_NEGATIVE_REAL = Rule("a number >= 0", lambda value: is_real(value) and value >= 0)
BOOLEAN = Rule("True or False", lambda value: isinstance(value, bool | np.bool_))
RANDOM_STATE = Rule(
    "None, a non-negative integer or a RandomState",
    lambda value: (
        value is None
        or isinstance(value, np.random.RandomState)
        or (is_integer(value) and value >= 0)
    ),
)
VERBOSE = Rule(
    "a bool or an integer >= 0",
    lambda value: isinstance(value, bool | np.bool_) or (is_integer(value) and value >= 0),
)
N_JOBS = Rule(
    "a positive integer, a negative one (-1: all processors)",
    lambda value: is_integer(value) and value != 0,
)
BACKEND = one_of("auto", *backend_names())


def check_parameters(estimator: Any, rules: Mapping[str, Rule]) -> None:
    """Raise the sentence of the first parameter of an estimator that breaks its rule.

    Parameters
    ----------
    estimator : estimator
        Whose attributes are read.
    rules : dict of str to Rule
        One for each parameter, by name.
    """
    for name, rule in rules.items():
        rule.check(name, getattr(estimator, name))


def running(estimator: Any) -> dict[str, Any]:
    """Return the keywords of a reduction that honour an estimator's ``backend`` and ``n_jobs``.

    ``backend="auto"`` and ``n_jobs=None`` leave both to the engine's options.
    """
    backend = None if estimator.backend == "auto" else estimator.backend
    return {"backend": backend, "n_threads": estimator.n_jobs}


def running_as(estimator: Any) -> AbstractContextManager[Any]:
    """Return a block in which all reductions honour an estimator's ``backend`` and ``n_jobs``."""
    return options(**{name: value for name, value in running(estimator).items() if value})


def to_host(x: Any) -> Any:
    """Return an array of PyTorch or CuPy as one of NumPy, and anything else as it is."""
    return to_numpy(x) if library_of(x) in ("torch", "cupy") else x


def checked_weights(
    sample_weight: Any, n_samples: int, name: str = "sample_weight"
) -> Array | None:
    """Return the weights of samples in float64, None if there are none.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), number or None
        As the user passed it, of any library: there is one number for each sample.
    n_samples : int
        How many samples there are.
    name : str
        The user's word for it.

    Returns
    -------
    ndarray of shape (n_samples,) or None
        All of them >= 0, not all of them 0.
    """
    if sample_weight is None:
        return None
    if is_real(sample_weight):
        sample_weight = np.full(n_samples, sample_weight)
    weights: Array = check_array(
        to_host(sample_weight), dtype=np.float64, ensure_2d=False, input_name=name
    )
    if weights.shape != (n_samples,):
        what = f"{name} of shape ({n_samples},), one for each sample"
        raise ParameterError(expected(what, f"shape {weights.shape}"))
    if weights.min() < 0:
        row = int(weights.argmin())
        raise ParameterError(expected(f"{name} >= 0", f"{weights[row]} for sample {row}"))
    if not weights.any():
        raise ParameterError(expected(f"a positive {name}", "weights that are all zero"))
    return weights
