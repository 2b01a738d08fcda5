"""Scikit-learn's own checks of every estimator, with no expected failures, and every example."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

import georeduce.apps
from georeduce.engine import options


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(georeduce.apps.__path__, "georeduce.apps."):
        yield importlib.import_module(found.name)


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def found_estimators() -> list[Any]:
    """Return one of each public estimator below georeduce.apps."""
    classes = {
        cls
        for module in modules()
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, BaseEstimator)
        if cls.__module__.startswith("georeduce.") and is_public(f"{cls.__module__}.{cls.__name__}")
    }
    return [cls() for cls in sorted(classes, key=lambda cls: cls.__name__)]


def test_estimators_are_found() -> None:
    names = {type(estimator).__name__ for estimator in found_estimators()}
    assert {"KNeighborsClassifier", "KNeighborsRegressor", "NearestNeighbors"} <= names
    assert {"KMeans", "KernelDensity"} <= names


# checks fit fewer distinct samples than there are clusters by default
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(found_estimators())
def test_scikit_learns_checks(estimator: Any, check: Any, backend: str) -> None:
    with options(backend=backend):
        check(estimator)


@pytest.mark.parametrize("estimator", found_estimators(), ids=lambda e: type(e).__name__)
def test_every_parameter_is_documented_and_has_a_rule(estimator: Any) -> None:
    doc = inspect.getdoc(estimator) or ""
    for name in estimator.get_params():
        assert f"\n{name} : " in doc
    for section in ("Parameters", "Attributes", "Examples"):
        assert f"{section}\n{'-' * len(section)}\n" in doc
    assert set(estimator._rules) == set(estimator.get_params())


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: m.__name__)
def test_examples_run(module: ModuleType) -> None:
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for module in modules() for test in finder.find(module) if test.examples]
    assert len(examples) >= 5
