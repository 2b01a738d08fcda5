"""Optimal transport without a plan in memory."""

from __future__ import annotations

from .conditional import Conditional
from .costs import Cost, power
from .pairwise import TransportKernel
from .plan import Plan
from .problem import Problem
from .result import Parts, Transport
from .solver import solve
from .transport import SinkhornTransport

__all__ = [
    "Conditional",
    "Cost",
    "Parts",
    "Plan",
    "Problem",
    "SinkhornTransport",
    "Transport",
    "TransportKernel",
    "power",
    "solve",
]
