"""Hyperbolic geometry, and learning in the Poincaré ball.

`PoincareBall`, `Hyperboloid` and `HalfSpace` are the models: distances (of arrays, or as formulas
of two LazyTensors), maps, geodesics, means. Samples of `HyperbolicKMeans` and
`RiemannianGaussianMixture` are points of them. Votes of neighbors need nothing of their own: they
are ``georeduce.apps.knn.KNeighborsClassifier(metric="poincare")``, whose formula is the ball's.
`ranks` and `ranking` tell how well distances tell relations; `draw_disk` is a picture of two
dimensions.
"""

from __future__ import annotations

from .ball import PoincareBall
from .disk import draw_disk
from .embedding import PoincareEmbedding
from .evaluation import Ranking, ranking, ranks
from .half_space import HalfSpace
from .hyperboloid import Hyperboloid
from .interop import from_geomstats, to_geomstats
from .kmeans import HyperbolicKMeans
from .mixture import RiemannianGaussianMixture

__all__ = [
    "HalfSpace",
    "HyperbolicKMeans",
    "Hyperboloid",
    "PoincareBall",
    "PoincareEmbedding",
    "Ranking",
    "RiemannianGaussianMixture",
    "draw_disk",
    "from_geomstats",
    "ranking",
    "ranks",
    "to_geomstats",
]
