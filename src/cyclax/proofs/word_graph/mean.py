"""No cycle of any order, by one linear program: the mean of a cycle would solve the relaxation of a fixed point.

Along a cycle z_{t+1} = closed z_t + shift + sum_g u_g p_{t,g} and p_{t,g} - n_{t,g} = gradient_g z_t + offset_g; taking
the mean over the cycle removes the time, whatever the order. Of p n = 0 the mean keeps what is convex: p, n >= 0, and
the triangle above p and n that the box gives. Where not even that has a solution, there is no cycle in the box.
"""

from cyclax.core.budget import Budget
from cyclax.maps.affine import AffineForm
from cyclax.proofs.branch_and_bound.relaxation import Simplex, exclusion, relax
from cyclax.proofs.candidates import Box


def no_cycle_in_the_mean(bounds: AffineForm, box: Box, budget: Budget | None = None) -> bool:
    """Whether that is proved (numerically: see `relaxation`). Bounds are those of the box: they hold at every point.

    **Raises:** `SpentError` where the budget runs out.
    """
    budget = budget or Budget()
    try:
        program = relax(bounds, 1, box, triangles=True, check=budget.check)
        simplex = Simplex(program, budget.spent)
    except (ImportError, ValueError):  # no highspy; or a jump that does not vanish on its border
        return False
    _, ray = simplex.point(program.lower, program.upper)
    return ray is not None and exclusion(program, ray, program.lower, program.upper) is not None
