"""The declaration of parameters."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from georeduce.apps import common
from georeduce.apps.common import ParameterError, Rule, check_parameters, one_of, running
from georeduce.engine import GeoreduceError

ACCEPTED = [
    (
        common.POSITIVE_INTEGER,
        [1, np.int8(3), np.array(2)],
        [0, -1, 1.0, "1", None, True, np.True_],
    ),
    (common.POSITIVE_REAL, [1, 0.5, np.float32(2)], [0, -0.5, float("nan"), "1", None, True, 1j]),
    (common.N_JOBS, [1, -1, np.int64(4)], [0, None, 1.5, False]),
    (common.NONE, [None], [0, "", False]),
    (common.CALLABLE, [len], ["len", None]),
    (common.DICT, [{}, {"a": 1}], [[], None]),
    (common.BACKEND, ["auto", "numpy"], ["cpu", None, 1]),
    (one_of("a", "b"), ["a", "b"], ["c", None, ["a"], np.array("a")]),
    (one_of("a") | common.NONE, ["a", None], ["c", 0]),
    (common.NON_NEGATIVE_REAL, [0, 0.5], [-1, float("nan"), "0", True]),
    (common.BOOLEAN, [True, np.False_], [0, 1, None]),
    (common.VERBOSE, [True, 0, 2], [-1, 0.5, None]),
    (common.RANDOM_STATE, [None, 0, np.random.RandomState(0)], [-1, 0.5, "0", np.random]),
]


@pytest.mark.parametrize(("rule", "good", "bad"), ACCEPTED, ids=[r.what[:20] for r, *_ in ACCEPTED])
def test_rules(rule: Rule, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        rule.check("x", value)
    for value in bad:
        with pytest.raises(ParameterError, match="Expected x to be "):
            rule.check("x", value)


def test_weights_of_samples() -> None:
    assert common.checked_weights(None, 3) is None
    for given in ([0, 1, 2], np.array([0, 1, 2], np.float32)):
        found = common.checked_weights(given, 3)
        assert found is not None
        assert found.dtype == np.float64
        assert found.tolist() == [0, 1, 2]
    assert np.array_equal(common.checked_weights(2, 3), [2, 2, 2])
    wrong: list[tuple[Any, str]] = [
        ([1, 2], "Expected sample_weight of shape (3,), one for each sample, but got shape (2,)."),
        ([1, -2, 3], "Expected sample_weight >= 0, but got -2.0 for sample 1."),
        (0, "Expected a positive sample_weight, but got weights that are all zero."),
    ]
    for given, sentence in wrong:
        with pytest.raises(ParameterError) as caught:
            common.checked_weights(given, 3)
        assert str(caught.value) == sentence


def test_sentences() -> None:
    assert one_of("alpha").what == "'alpha'"
    rule = one_of("alpha", "beta", "gamma", cure="Choose.") | common.NONE
    assert rule.what == "'alpha', 'beta' or 'gamma' or None"
    for value, cure in (("alpa", "Did you mean 'alpha'?"), ("xxx", "Choose."), (3, "Choose.")):
        with pytest.raises(ParameterError) as caught:
            rule.check("letter", value)
        sentence = f"Expected letter to be {rule.what}, but got {value!r}. {cure}"
        assert str(caught.value) == sentence
    with pytest.raises(ParameterError) as caught:
        rule.check("letter", [np.zeros(3)] * 100)
    assert len(str(caught.value)) < 2 * common.SHOWN


def test_the_first_wrong_parameter_is_told() -> None:
    rules = {"a": common.POSITIVE_INTEGER, "b": common.DICT}
    check_parameters(SimpleNamespace(a=1, b={}), rules)
    with pytest.raises(ParameterError, match="Expected b to be a dict of keywords, but got 3"):
        check_parameters(SimpleNamespace(a=1, b=3), rules)
    with pytest.raises(ParameterError, match="Expected a to be"):
        check_parameters(SimpleNamespace(a=0, b=3), rules)


def test_errors_are_of_every_kind_that_a_user_may_expect() -> None:
    assert issubclass(ParameterError, GeoreduceError)
    assert issubclass(ParameterError, ValueError)
    assert issubclass(ParameterError, TypeError)


def test_auto_leaves_the_choice_to_the_options() -> None:
    assert running(SimpleNamespace(backend="auto", n_jobs=None)) == {
        "backend": None,
        "n_threads": None,
    }
    assert running(SimpleNamespace(backend="numpy", n_jobs=-1)) == {
        "backend": "numpy",
        "n_threads": -1,
    }
