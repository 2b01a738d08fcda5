"""What the parameters of `PoincareEmbedding` may be."""

from __future__ import annotations

from pathlib import Path

from ..common import (
    BACKEND,
    BOOLEAN,
    N_JOBS,
    NON_NEGATIVE_REAL,
    NONE,
    POSITIVE_INTEGER,
    POSITIVE_REAL,
    RANDOM_STATE,
    VERBOSE,
    Rule,
    is_real,
    one_of,
)
from ._graphs import KINDS
from ._optimizers import OPTIMIZERS
from ._schedule import SCHEDULES
from ._setup import MODELS

RELATIONAL = ("softmax", "negative_sampling")
SHARE = Rule("a number from 0 to 1", lambda value: is_real(value) and 0 <= value <= 1)
RADIUS = Rule("a number > 0, at most 25", lambda value: is_real(value) and 0 < value <= 25)
PATH = Rule("a path", lambda value: isinstance(value, str | Path))
INIT = Rule(
    "an array of points", lambda value: hasattr(value, "__len__") and not isinstance(value, str)
)

RULES: dict[str, Rule] = {
    "n_components": POSITIVE_INTEGER,
    "input": one_of("auto", *KINDS),
    "loss": one_of("auto", *RELATIONAL, "stress"),
    "closure": BOOLEAN,
    "model": one_of(*MODELS),
    "optimizer": one_of(*OPTIMIZERS),
    "learning_rate": POSITIVE_REAL,
    "batch_size": one_of("auto") | POSITIVE_INTEGER,
    "max_iter": POSITIVE_INTEGER,
    "burn_in": SHARE,
    "schedule": one_of(*SCHEDULES),
    "max_radius": RADIUS,
    "growth": SHARE,
    "n_negatives": POSITIVE_INTEGER,
    "scale": one_of("auto") | POSITIVE_REAL,
    "tol": NON_NEGATIVE_REAL,
    "n_iter_no_change": POSITIVE_INTEGER,
    "init": one_of("uniform") | INIT,
    "warm_start": BOOLEAN,
    "checkpoint": PATH | NONE,
    "checkpoint_interval": POSITIVE_INTEGER,
    "verbose": VERBOSE,
    "random_state": RANDOM_STATE,
    "n_jobs": N_JOBS | NONE,
    "backend": BACKEND,
}
