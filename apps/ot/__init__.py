"""Optimal transport without a plan in memory."""

from __future__ import annotations

from .problem import Problem
from .result import Transport
from .solver import solve

__all__ = ["Problem", "Transport", "solve"]
