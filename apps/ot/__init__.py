"""Optimal transport without a plan in memory."""

from __future__ import annotations

from .barycenter import Barycenter, barycenter
from .conditional import Conditional
from .costs import Cost, power
from .divergence import sinkhorn_divergence, transport_value
from .hausdorff import hausdorff
from .mmd import squared_mmd
from .pairwise import TransportKernel
from .plan import Plan
from .problem import Problem
from .result import Parts, Transport
from .solver import solve
from .transport import SinkhornTransport

__all__ = [
    "Barycenter",
    "Conditional",
    "Cost",
    "Parts",
    "Plan",
    "Problem",
    "SinkhornTransport",
    "Transport",
    "TransportKernel",
    "barycenter",
    "hausdorff",
    "power",
    "sinkhorn_divergence",
    "solve",
    "squared_mmd",
    "transport_value",
]
