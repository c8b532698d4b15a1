"""The regions of an arrangement of planes: which gates can be open together.

Gates whose borders are parallel are not independent: along their common direction the borders cut a line into
intervals, and only the patterns of those intervals exist. A *symbol* is one choice of an interval for every direction;
a clipped network of H hidden units has at most 3^H of them instead of 4^H. Where there are more directions than
dimensions most of these choices do not exist either: then a symbol is a region, of which G borders make at most
sum_(i <= M) C(G, i).
"""

import fractions
import itertools
import math

import flint
import numpy as np

from cyclax.maps.affine import AffineForm, lengths_of, proportional

_EPS = np.finfo(np.float64).eps
# Parallel units agree to this, up to sign.
_AGREE = 1e-12
# Regions are listed from at most so many corners, each with up to 2 to this power regions around it.
_MOST_CORNERS, _MEETING = 2**14, 6
# A corner is known where its planes are this far from parallel; other planes part from it where that is clear.
_PARALLEL, _CLEAR = 1e-8, 64.0


def settled(bounds: AffineForm) -> np.ndarray:
    """Give the gates `(G,)` that are open everywhere: their preactivation is a positive constant."""
    return np.all(bounds.gradients == 0, axis=1) & (bounds.offsets > 0)


def parallel(gradients: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group gradients `(G, M)`, none zero, by the line they lie on, exactly: indices, and lengths along it (signed)."""
    units = gradients / lengths_of(gradients)[:, None]
    # Units that agree up to sign lie equally far along any direction: only those next to each other are compared.
    far = np.abs(units @ np.cos(1.0 + np.arange(units.shape[1])))
    order = np.argsort(far, kind="stable")
    cuts = np.flatnonzero(np.diff(far[order]) > 2 * _AGREE * units.shape[1]) + 1
    groups: list[list[int]] = []
    for block in np.split(order, cuts):
        own: list[list[int]] = []
        for gate in np.sort(block).tolist():
            leaders = units[[group[0] for group in own]]
            apart = np.minimum(*(np.max(np.abs(leaders - turned), axis=1) for turned in (units[gate], -units[gate])))
            near = (own[n] for n in np.flatnonzero(apart < _AGREE))
            known = next((group for group in near if proportional(gradients[group[0]], gradients[gate])), None)
            if known is None:
                own.append([gate])
            else:
                known.append(gate)
        groups += own
    groups.sort()
    return [(np.array(group), gradients[group] @ units[group[0]]) for group in groups]


def patterns_of(bounds: AffineForm) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group the gates that matter by direction: their indices, and the patterns `(n, gates)` that occur along it."""
    effective = np.flatnonzero(bounds.effective)
    patterns = []
    for group, slopes in parallel(bounds.gradients[effective]):
        gates = effective[group]
        # Places along the line, exactly: however thin an interval is, a point may lie in it.
        pivot = int(np.argmax(np.abs(bounds.gradients[gates[0]])))
        ratios = zip(bounds.offsets[gates].tolist(), bounds.gradients[gates, pivot].tolist(), strict=True)
        places = [-fractions.Fraction(offset) / fractions.Fraction(slope) for offset, slope in ratios]
        different = sorted(set(places))
        rank = np.array([different.index(place) for place in places])
        # Interval i lies above the i lowest places.
        below = rank[None] < np.arange(len(different) + 1)[:, None]
        along = slopes * np.sign(bounds.gradients[gates[0], pivot]) > 0
        patterns.append((gates, np.unique(below == along, axis=0)))
    return patterns


def number_of(patterns: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Count the symbols: one pattern of each direction."""
    return math.prod(len(rows) for _, rows in patterns)


def alphabet(bounds: AffineForm) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give the patterns of each direction, or those of all gates at once, where regions are told apart and fewer."""
    patterns = patterns_of(bounds)
    regions = regions_of(bounds, patterns)
    if regions is None or len(regions) >= number_of(patterns):
        return patterns
    return [(np.flatnonzero(bounds.effective), regions)]


def regions_of(bounds: AffineForm, patterns) -> np.ndarray | None:
    """List gates `(n, G')`, of those that matter, among which are those of every region; None where that is not known.

    With as many independent planes as dimensions every region has a corner in its closure, where so many planes meet:
    on the others it lies as its corner does. What rounding leaves open of a corner is taken both ways.
    """
    gradients, levels = bounds.gradients[bounds.effective], bounds.offsets[bounds.effective]
    lengths = lengths_of(gradients)
    planes, offsets = gradients / lengths[:, None], levels / lengths
    size = planes.shape[1]
    # Of directions no more than dimensions all patterns exist.
    if len(patterns) <= size or size < 2 or math.comb(len(planes), size) > _MOST_CORNERS:
        return None
    effective, direction = np.flatnonzero(bounds.effective), np.zeros(len(planes), int)
    columns = [np.searchsorted(effective, gates) for gates, _ in patterns]
    for i, some in enumerate(columns):
        direction[some] = i
    corners = _not_parallel(size, direction)
    inverses = planes[corners]
    if not np.all(np.abs(np.linalg.det(inverses)) > _PARALLEL):
        return None
    inverses = np.linalg.inv(inverses)
    points = -(inverses @ offsets[corners][..., None])[..., 0]
    heights = points @ planes.T + offsets
    # Rounding in a corner, and in the height of a plane there.
    far = np.linalg.norm(points, axis=1) + np.linalg.norm(offsets[corners], axis=1)
    wrong = size * _EPS * np.linalg.norm(inverses, axis=(1, 2)) * far
    near = np.abs(heights) <= _CLEAR * (wrong[:, None] + size * _EPS * (far[:, None] + np.abs(offsets)))
    near[np.arange(len(corners))[:, None], corners] = True
    if not np.all(np.isfinite(heights)):
        return None
    # The same planes meet in one corner only.
    _, first = np.unique(np.packbits(near, axis=1), axis=0, return_index=True)
    counts = np.sum(near, axis=1)
    found = []
    for some in (counts == count for count in range(size, _MEETING + 1)):
        found += _on_all_sides(heights[some] > 0, near[some])
    for corner in first[counts[first] > _MEETING].tolist():
        meeting = near[corner]
        cones = _cones(planes[meeting], direction[meeting])
        if cones is None or not _meet(gradients[meeting], levels[meeting]):
            return None
        around = np.tile(heights[corner] > 0, (len(cones), 1))
        around[:, meeting] = cones
        found.append(np.packbits(around, axis=1))
    regions = np.unpackbits(np.unique(np.concatenate(found), axis=0), axis=1, count=len(planes)).astype(bool)
    for (_, rows), some in zip(patterns, columns, strict=True):
        if len(some) > 1:  # of parallel planes it is known which patterns exist
            regions = regions[np.any(np.all(regions[:, None, some] == rows, axis=2), axis=1)]
    return regions


def _not_parallel(number: int, direction: np.ndarray) -> np.ndarray:
    """Choose so many planes, of different directions, in all ways: indices `(n, number)`."""
    chosen = np.array(list(itertools.combinations(range(len(direction)), number)))
    apart = np.sort(direction[chosen], axis=1)
    return chosen[np.all(apart[:, 1:] != apart[:, :-1], axis=1)]


def _on_all_sides(sides: np.ndarray, near: np.ndarray) -> list[np.ndarray]:
    """Take every row of sides `(n, P)` with all sides of the planes that are near, as many in each row: packed."""
    if not len(sides):
        return []
    meeting = np.nonzero(near)[1].reshape(len(near), -1)
    found = []
    for chosen in itertools.product([False, True], repeat=meeting.shape[1]):
        around = sides.copy()
        np.put_along_axis(around, meeting, np.array(chosen)[None], axis=1)
        found.append(np.packbits(around, axis=1))
    return found


def _cones(planes: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
    """List the sides `(n, P)` of planes through one point that regions around it can lie on; None where not known.

    Such a region is a cone: it has a ray in its closure, where all but one of as many independent planes as dimensions
    meet, and lies as the ray does on the others.
    """
    chosen = _not_parallel(planes.shape[1] - 1, direction)
    _, values, axes = np.linalg.svd(planes[chosen])
    if not np.all(values[:, -1] > _PARALLEL):
        return None
    heights = axes[:, -1] @ planes.T
    near = np.abs(heights) <= _CLEAR * planes.shape[1] * _EPS / values[:, -1:]
    near[np.arange(len(chosen))[:, None], chosen] = True
    heights, near = np.concatenate([heights, -heights]), np.tile(near, (2, 1))
    counts = np.sum(near, axis=1)
    if np.max(counts) > _MEETING:
        return None
    found = [
        part
        for count in np.unique(counts)
        for part in _on_all_sides(heights[counts == count] > 0, near[counts == count])
    ]
    return np.unpackbits(np.unique(np.concatenate(found), axis=0), axis=1, count=len(planes)).astype(bool)


def _meet(gradients: np.ndarray, offsets: np.ndarray) -> bool:
    """Whether planes have a point in common, exactly: offsets add nothing to the rank of the gradients."""
    ranks = (
        flint.fmpq_mat([[flint.fmpq(*x.as_integer_ratio()) for x in row] for row in rows.tolist()]).rank()
        for rows in (gradients, np.column_stack([gradients, offsets]))
    )
    return len(set(ranks)) == 1
