"""All that `import cyclax as cx` offers: `cx.find_cycles` is `cyclax.api.find_cycles`, and so on."""

from cyclax.bifurcations.compare import compare
from cyclax.bifurcations.continue_cycle import Continued, continue_cycle
from cyclax.bifurcations.curve import Curve
from cyclax.bifurcations.distance import Distance, distance_to_bifurcation
from cyclax.bifurcations.event import Event
from cyclax.bifurcations.input_diagram import InputDiagram
from cyclax.bifurcations.inputs import follow_input
from cyclax.bifurcations.regularizer import AwayFromBifurcations
from cyclax.bifurcations.trace import trace
from cyclax.core.budget import Budget, TooExpensiveError
from cyclax.core.kept import keep_compiled
from cyclax.core.version import __version__
from cyclax.cycles.cycle import Cycle, Degenerate, NearMiss, Proof
from cyclax.cycles.result import Cycles
from cyclax.data.simulate import simulate
from cyclax.grids.boundaries import Boundaries
from cyclax.grids.map import BifurcationMap
from cyclax.grids.orbit_layers import attractor_points
from cyclax.grids.scan import scan
from cyclax.grids.trace_all import Curves, trace_all
from cyclax.lyapunov.cells import ReLUCell, StateFirst, TanhCell
from cyclax.lyapunov.covariant import CovariantVectors, covariant_vectors
from cyclax.lyapunov.flows import Flow
from cyclax.lyapunov.frames import CholeskyQR, GramSchmidt, Householder
from cyclax.lyapunov.kernel import lyapunov_exponents
from cyclax.lyapunov.result import Spectrum, forcing_interval
from cyclax.lyapunov.spectrum import lyapunov_spectrum
from cyclax.maps.almost_linear import AlmostLinearRNN
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.maps.classic import BorderCollisionNormalForm, LoziMap, SkewTentMap, TentMap
from cyclax.maps.dendritic import ClippedDendriticPLRNN, DendriticPLRNN
from cyclax.maps.io.checkpoints import from_arrays
from cyclax.maps.io.files import inspect, load, save
from cyclax.maps.leaky import CurrentRNN, LowRankRNN, RateRNN, RectifiedRNN
from cyclax.maps.parameter import Parameter
from cyclax.maps.plrnn import PLRNN, LowRankPLRNN, MeanCenteredPLRNN
from cyclax.maps.relu_rnn import LeakyReLURNN, ReLURNN
from cyclax.maps.shallow import ClippedShallowPLRNN, ShallowPLRNN
from cyclax.proofs.certify import certify
from cyclax.proofs.enumerate import enumerate_cycles
from cyclax.proofs.methods import BranchAndBound, Exhaustive, WordGraph
from cyclax.reports.report import report
from cyclax.reports.result import Report
from cyclax.search.attractors import attractors
from cyclax.search.combined import Combined
from cyclax.search.destinations import Attractor, Attractors
from cyclax.search.find import find_cycles
from cyclax.search.path_following import PathFollowing
from cyclax.search.scyfi import SCYFI
from cyclax.tracking.loss_jumps import Jump, JumpRule
from cyclax.tracking.result import Track
from cyclax.tracking.track import track
from cyclax.tracking.tracker import Tracker
from cyclax.training.fit import fit
from cyclax.training.forcing import Adaptive, Annealed, FreeRunning, GeneralizedForcing, Scheduled, SparseForcing
from cyclax.training.jacobians import GeometricMeanNorm, ProductNorm, WeightBound
from cyclax.training.model import Affine, Identity, LatentModel
from cyclax.training.optimizers import RAdam
from cyclax.training.regularizers import L2, ConditionNumber, ManifoldAttractor
from cyclax.training.result import Fit

__all__ = [  # noqa: RUF022 - grouped as in the documentation
    # Models
    "AbstractPiecewiseLinearMap",
    "PLRNN",
    "MeanCenteredPLRNN",
    "ShallowPLRNN",
    "ClippedShallowPLRNN",
    "DendriticPLRNN",
    "ClippedDendriticPLRNN",
    "AlmostLinearRNN",
    "LowRankPLRNN",
    "ReLURNN",
    "LeakyReLURNN",
    "RateRNN",
    "CurrentRNN",
    "RectifiedRNN",
    "LowRankRNN",
    "TentMap",
    "SkewTentMap",
    "LoziMap",
    "BorderCollisionNormalForm",
    # Cells and flows
    "TanhCell",
    "ReLUCell",
    "StateFirst",
    "Flow",
    # Verbs
    "find_cycles",
    "Combined",
    "SCYFI",
    "PathFollowing",
    "enumerate_cycles",
    "Exhaustive",
    "WordGraph",
    "BranchAndBound",
    "Budget",
    "TooExpensiveError",
    "certify",
    "attractors",
    "scan",
    "Parameter",
    "compare",
    "follow_input",
    "trace",
    "trace_all",
    "continue_cycle",
    "distance_to_bifurcation",
    "track",
    "Tracker",
    "JumpRule",
    "attractor_points",
    "simulate",
    "report",
    "fit",
    "FreeRunning",
    "SparseForcing",
    "GeneralizedForcing",
    "Adaptive",
    "Annealed",
    "Scheduled",
    "GeometricMeanNorm",
    "ProductNorm",
    "WeightBound",
    "RAdam",
    "ManifoldAttractor",
    "L2",
    "AwayFromBifurcations",
    "ConditionNumber",
    "LatentModel",
    "Identity",
    "Affine",
    "lyapunov_spectrum",
    "lyapunov_exponents",
    "covariant_vectors",
    "forcing_interval",
    "GramSchmidt",
    "CholeskyQR",
    "Householder",
    "load",
    "inspect",
    "save",
    "from_arrays",
    "keep_compiled",
    # Results
    "Cycles",
    "Cycle",
    "Degenerate",
    "NearMiss",
    "Proof",
    "Attractors",
    "Attractor",
    "BifurcationMap",
    "Boundaries",
    "Event",
    "InputDiagram",
    "Curve",
    "Curves",
    "Continued",
    "Distance",
    "Track",
    "Jump",
    "Report",
    "Fit",
    "Spectrum",
    "CovariantVectors",
    "__version__",
]
