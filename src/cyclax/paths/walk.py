"""The walk along paths: a kernel that takes many of them from region to region, one piece at a time.

A path is the set E(x) = (1 - t) g0 in (x, t) (Katzenelson 1965; the global Newton homotopy of Keller and of Smale;
Allgower and Georg 2003, "Introduction to Numerical Continuation Methods"). In a region, with gates D and derivative
S_D = S - sum_D a_g c_g^T, it is a straight piece: dx/dt = v = -S_D^-1 g0. Where gate g flips (sigma = 1 where it
opens), S_D changes by -sigma a_g c_g^T; with w = S_D^-1 a_g and den = 1 - sigma c_g . w, by Sherman and Morrison,

    S_D^-1 += (sigma / den) w (c_g^T S_D^-1),    v += (sigma / den) (c_g . v) w,    det S_D *= den.

The gate goes on to its new side, so t turns round exactly where den < 0; sign(det S_D) sign(dt) is constant along a
path. Every crossing of t = 1 is a zero of E. For one g0 a region is met at most once: a path that comes back to the
region it began in has closed.

Where den = 0 the new region is singular, with null vector w: x moves along it while t rests, to the next gate h. The
inverse is then taken through h first and through g next, so that it is never formed where it does not exist.
"""

import enum
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt64

from cyclax.paths.system import System

# Pieces between two visits of the lanes, where those that have ended take up new paths and drift is corrected.
CHUNK = 16
# A region is singular where den is this small; where it is only small, the inverse has lost digits and is made anew.
_SINGULAR, _INEXACT = 1e-11, 1e-5
# Above this condition number (in the largest entry) a path cannot begin in a region.
_CONDITION = 1e13
# Where a correction moves x or v by more than this share, the inverse is made anew.
_DRIFT = 1e-6
# A gate on the wrong side by more than this share of the states: the path has been lost.
_WRONG_SIDE = 1e-5


class Fate(enum.IntEnum):
    """What became of one way along a path."""

    WALKING = 0
    RAY = 1  # to infinity, without a border ahead
    CLOSED = 2  # back in the region it began in
    LIMIT = 3  # the allowed number of pieces is used up
    SINGULAR = 4  # it begins in a singular region, or comes to the end of one
    LOST = 5  # rounding or a degenerate crossing: gates do not agree, or a region was met twice


class Pool(NamedTuple):
    """Paths that wait, by their starts."""

    x: Float[Any, "B n"]
    t: Float[Any, " B"]
    defect: Float[Any, "B n"]  # g0
    inverse: Float[Any, "B n n"]
    open: Bool[Any, "B N"]
    singular: Bool[Any, " B"]


class Lanes(NamedTuple):
    """What the lanes carry; a lane goes one way along a path, and then the other way."""

    x: Float[Any, "L n"]
    v: Float[Any, "L n"]  # dx/dt
    across: Float[Any, "L n"]  # the null vector of the singular region that is crossed
    inverse: Float[Any, "L n n"]
    y: Float[Any, "L N"]
    open: Bool[Any, "L N"]
    t: Float[Any, " L"]
    sign: Float[Any, " L"]  # of dt
    defect: Float[Any, "L n"]  # g0
    word: UInt64[Any, " L"]
    home: UInt64[Any, " L"]
    mark: UInt64[Any, " L"]  # the word at the last power of two of pieces (Brent's loop detection)
    pieces: Int[Any, " L"]
    crossing: Int[Any, " L"]  # a singular region: 0 is not crossed, 1 is being crossed, 2 has been
    pending: Int[Any, " L"]  # the gate through which it was entered
    fate: Int[Any, " L"]
    inexact: Bool[Any, " L"]  # waits for a new inverse
    start: Int[Any, " L"]  # in the pool; -1: idle
    back: Bool[Any, " L"]  # the second way


class Log(NamedTuple):
    """What happened, chunk by chunk."""

    start: Int[Any, "C L"]
    back: Bool[Any, "C L"]
    open: Bool[Any, "C L N"]  # at the beginning of the chunk
    fate: Int[Any, "C L"]  # at its end
    pieces: Int[Any, "C L"]
    flip: Int[Any, "C T L"]  # gate that was flipped after each piece, or -1
    hit: Int[Any, "C T L"]  # sign of dt where a piece crosses t = 1, else 0; 2 where a path begins on a solution
    word: UInt64[Any, "C T L"]  # of each piece


def read(system: System, x):
    """c_g . x for all gates."""
    return x @ system.c.T if len(system.c) else x


def hashed(system: System, open_):
    """Hash words."""
    return jax.lax.reduce(jnp.where(open_, system.salts, jnp.uint64(0)), jnp.uint64(0), jax.lax.bitwise_xor, (1,))


def value(system: System, x, open_):
    """E(x) with gates held, and the preactivations."""
    y = read(system, x) + system.b
    return x @ system.S.T - system.r - jnp.where(open_, y, 0) @ system.a, y


def entered(system: System, x: np.ndarray, t: np.ndarray, defect: np.ndarray, room: int) -> Pool:
    """Prepare paths on the host; where t is 0 the defect is that of x itself, else the one that is given."""
    (number, n), gates = x.shape, len(system.b)
    with np.errstate(all="ignore"):
        y = read(system, x) + system.b
        own = x @ system.S.T - system.r - np.maximum(y, 0) @ system.a
        pool = Pool(
            *(np.zeros((room, n)), np.zeros(room), np.zeros((room, n)), np.zeros((room, n, n))),
            *(np.zeros((room, gates), bool), np.zeros(room, bool)),
        )
        pool.x[:number], pool.t[:number], pool.open[:number] = x, t, y > 0
        pool.defect[:number] = np.where(t[:, None] == 0, own, defect)
        c, matrix = system.c if len(system.c) else np.eye(n), np.empty((n, n))
        for i in range(number):
            np.subtract(system.S, system.a.T @ (pool.open[i, :, None] * c), out=matrix)
            try:
                pool.inverse[i] = np.linalg.inv(matrix)
            except np.linalg.LinAlgError:
                pool.singular[i] = True
                continue
            largest = np.max(np.abs(pool.inverse[i])) * np.max(np.abs(matrix))
            pool.singular[i] = not largest < _CONDITION  # nor where it is no number
    return pool


def idle(lanes: int, n: int, gates: int) -> Lanes:
    """Make lanes that have nothing to do, on the host: to compile nothing."""
    vector, scalar, number = np.zeros((lanes, n)), np.zeros(lanes), np.zeros(lanes, np.int32)
    word, switch, many = np.zeros(lanes, np.uint64), np.zeros(lanes, bool), np.zeros((lanes, gates))
    return Lanes(
        *(vector, vector, vector, np.zeros((lanes, n, n)), many, many > 0, scalar, scalar, vector),
        *(word, word, word, number, number, number, number + np.int32(Fate.RAY), switch, number - 1, ~switch),
    )


def refilled(system: System, lanes: Lanes, pool: Pool, following, size) -> tuple[Lanes, Int[Array, ""]]:
    """Turn lanes that have ended to the other way, or to the next path of the pool."""
    ended = lanes.fate != Fate.WALKING
    other = ended & ~lanes.back & (lanes.fate != Fate.CLOSED) & (lanes.start >= 0)
    free = ended & ~other
    taken = following - 1 + jnp.cumsum(free, dtype=jnp.int32)
    fresh = free & (taken < size)
    start = jnp.where(fresh, taken, jnp.where(free, -1, lanes.start))
    anew, at = fresh | other, jnp.maximum(start, 0)
    pick = lambda new, old: jnp.where(anew.reshape(-1, *[1] * (old.ndim - 1)), new, old)  # noqa: E731
    open_, defect = pool.open[at], pool.defect[at]
    word, zero = hashed(system, open_), jnp.int32(0)
    fate = jnp.where(pool.singular[at], jnp.int32(Fate.SINGULAR), jnp.int32(Fate.WALKING))
    inverse = pool.inverse[at]
    new = lanes._replace(
        x=pick(pool.x[at], lanes.x),
        v=pick(-jnp.einsum("lij,lj->li", inverse, defect), lanes.v),
        inverse=pick(inverse, lanes.inverse),
        open=pick(open_, lanes.open),
        t=pick(pool.t[at], lanes.t),
        sign=pick(jnp.where(other, -1.0, 1.0), lanes.sign),
        defect=pick(defect, lanes.defect),
        word=pick(word, lanes.word),
        home=pick(word, lanes.home),
        mark=pick(word, lanes.mark),
        pieces=pick(zero, lanes.pieces),
        crossing=pick(zero, lanes.crossing),
        fate=pick(fate, lanes.fate),
        inexact=lanes.inexact & ~anew,
        start=start,
        back=jnp.where(anew, other, lanes.back),
    )
    return new, jnp.minimum(following + jnp.sum(free, dtype=jnp.int32), size)


def corrected(system: System, lanes: Lanes) -> Lanes:
    """Bring x back onto the path and v into it, by their residuals; judge the inverse and the gates by these."""
    apply = lambda residual: jnp.einsum("lij,lj->li", lanes.inverse, residual)  # noqa: E731
    off, _ = value(system, lanes.x, lanes.open)
    dx = apply((1 - lanes.t)[:, None] * lanes.defect - off)
    bent = lanes.v @ system.S.T - jnp.where(lanes.open, read(system, lanes.v), 0) @ system.a
    dv = apply(-lanes.defect - bent)
    largest = lambda part: jnp.max(jnp.abs(part), axis=1)  # noqa: E731
    x, v = lanes.x + dx, lanes.v + dv
    size = largest(x)
    y = read(system, x) + system.b
    wrong = jnp.max(jnp.where(lanes.open, -y, y), axis=1) > _WRONG_SIDE * (1 + size)
    walking = (lanes.fate == Fate.WALKING) & ~lanes.inexact & (lanes.crossing == 0)
    drifted = ~((largest(dx) <= _DRIFT * (1 + size)) & (largest(dv) <= _DRIFT * largest(v)))
    drifted = drifted | ~jnp.all(jnp.isfinite(x) & jnp.isfinite(v), axis=1)
    some = (walking & ~drifted)[:, None]
    return lanes._replace(
        x=jnp.where(some, x, lanes.x),
        v=jnp.where(some, v, lanes.v),
        y=read(system, jnp.where(some, x, lanes.x)) + system.b,
        inexact=lanes.inexact | (walking & drifted),
        fate=jnp.where(walking & ~drifted & wrong, jnp.int32(Fate.LOST), lanes.fate),
    )


def ahead(system: System, lanes: Lanes):
    """Find the next border: its gate, how far it is (in t, or along the null vector), and in which sense to go."""
    across = lanes.crossing == 1
    direction = jnp.where(across[:, None], lanes.across, lanes.v)
    sense = jnp.where(across, 1.0, lanes.sign)
    speed = sense[:, None] * read(system, direction)
    toward = jnp.where(lanes.open, speed < 0, speed > 0)
    distance = jnp.where(toward, jnp.maximum(-lanes.y / jnp.where(toward, speed, 1), 0), jnp.inf)
    gate = jnp.argmin(distance, axis=1).astype(jnp.int32)
    return gate, jnp.min(distance, axis=1), sense[:, None] * direction


def judged(lanes: Lanes, best, most):
    """Say what becomes of lanes whose next border is `best` ahead, and which cross t = 1 before it."""
    straight = lanes.crossing == 0
    at_home = straight & (lanes.pieces > 0) & (lanes.word == lanes.home)
    again = straight & (lanes.pieces > 0) & (lanes.word == lanes.mark) & ~at_home
    away = ~jnp.isfinite(best)
    fate = jnp.select(
        [at_home, again | jnp.isnan(lanes.t), away & straight, away, lanes.pieces >= most],
        [jnp.int32(f) for f in (Fate.CLOSED, Fate.LOST, Fate.RAY, Fate.SINGULAR, Fate.LIMIT)],
        jnp.int32(Fate.WALKING),
    )
    t, to = lanes.t, lanes.t + lanes.sign * best
    # Back in the first region t is still below where it began: nothing is crossed before that.
    crosses = jnp.where(lanes.sign > 0, (t < 1) & (to >= 1), (t > 1) & (to <= 1)) & straight & ~at_home & ~again
    return fate, crosses


def piece(system: System, most, lanes: Lanes):
    """Take every lane through one region and across its border.

    **Returns:** the lanes; the gates flipped (-1: none), the crossings of t = 1, and the words of the pieces.
    """
    L = jnp.arange(len(lanes.t))
    walking = (lanes.fate == Fate.WALKING) & ~lanes.inexact
    straight, across, behind = (lanes.crossing == i for i in range(3))
    gate, best, direction = ahead(system, lanes)
    gate, best = jnp.where(behind, lanes.pending, gate), jnp.where(behind, 0, best)
    fate, crosses = judged(lanes, best, most)
    goes = walking & (fate == Fate.WALKING)
    step = jnp.where(goes, best, 0)
    x = lanes.x + step[:, None] * direction
    t = lanes.t + jnp.where(straight, lanes.sign * step, 0)
    one = gate[:, None] == jnp.arange(len(system.b))
    y = jnp.where(one & ~behind[:, None], 0, read(system, x) + system.b)

    # The gate that was pending is on its new side already.
    sigma = jnp.where(lanes.open[L, gate] ^ behind, -1.0, 1.0)
    w = jnp.einsum("lij,lj->li", lanes.inverse, system.a[gate])
    if len(system.c):
        c = system.c[gate]
        row, cw, cv = jnp.einsum("li,lij->lj", c, lanes.inverse), jnp.sum(c * w, 1), jnp.sum(c * lanes.v, 1)
    else:
        row, cw, cv = lanes.inverse[L, gate], w[L, gate], lanes.v[L, gate]
    den = 1 - sigma * cw
    small = jnp.abs(den) <= _SINGULAR * (1 + jnp.abs(cw))
    into = goes & small & straight  # a singular region
    passes = goes & ~small
    factor = jnp.where(passes, sigma / jnp.where(passes, den, 1), 0)
    flips = goes & ~behind
    word = jnp.where(flips, lanes.word ^ system.salts[gate], lanes.word)
    after = lanes._replace(
        x=x,
        v=lanes.v + (factor * cv)[:, None] * w,
        across=jnp.where(into[:, None], w, lanes.across),
        inverse=lanes.inverse + (factor[:, None] * w)[:, :, None] * row[:, None, :],
        y=y,
        open=lanes.open ^ (one & flips[:, None]),
        t=t,
        sign=jnp.where(passes & (den < 0), -lanes.sign, lanes.sign),
        word=word,
        mark=jnp.where(flips & (lanes.pieces & (lanes.pieces - 1) == 0), lanes.word, lanes.mark),
        pieces=lanes.pieces + flips,
        crossing=jnp.where(into, 1, jnp.where(goes, jnp.where(across, 2, 0), lanes.crossing)),
        pending=jnp.where(into, gate, lanes.pending),
        fate=jnp.where(walking, jnp.where(goes & small & ~straight, jnp.int32(Fate.LOST), fate), lanes.fate),
        inexact=lanes.inexact | (passes & ~across & (jnp.abs(den) < _INEXACT * (1 + jnp.abs(cw)))),
    )
    own = walking & (lanes.pieces == 0) & (lanes.t == 1) & ~lanes.back
    hit = jnp.where(own, 2, jnp.where(walking & crosses, lanes.sign, 0)).astype(jnp.int8)
    return after, (jnp.where(flips, gate, -1), hit, lanes.word)


@functools.partial(jax.jit, static_argnames="chunks")
def advance(system: System, lanes: Lanes, pool: Pool, following, size, most, *, chunks: int):
    """Walk `chunks` times `CHUNK` pieces at most, until nothing is left to do or a lane needs a new inverse.

    A kernel: pure, of fixed shape. **Returns:** lanes, the next path of the pool to take, the log, and its length.
    """
    shape, gates = lanes.t.shape[0], len(system.b)
    blank = lambda kind, *more: jnp.zeros((chunks, *more), kind)  # noqa: E731
    numbers, switches = blank(jnp.int32, shape), blank(bool, shape)
    each = lambda kind: blank(kind, CHUNK, shape)  # noqa: E731
    log = Log(
        *(numbers, switches, blank(bool, shape, gates), numbers, numbers),
        *(each(jnp.int32), each(jnp.int8), each(jnp.uint64)),
    )

    def busy(carry):
        i, lanes, following, _ = carry
        left = jnp.any(lanes.fate == Fate.WALKING) | (following < size)
        left = left | jnp.any((lanes.start >= 0) & ~lanes.back & (lanes.fate != Fate.CLOSED))
        return (i < chunks) & left & ~jnp.any(lanes.inexact & (lanes.fate == Fate.WALKING))

    def chunk(carry):
        i, lanes, following, log = carry
        lanes, following = refilled(system, lanes, pool, following, size)
        lanes = corrected(system, lanes)
        before = lanes.open
        lanes, happened = jax.lax.scan(lambda lanes, _: piece(system, most, lanes), lanes, None, length=CHUNK)
        new = Log(lanes.start, lanes.back, before, lanes.fate, lanes.pieces, *happened)
        return i + 1, lanes, following, Log(*(all_.at[i].set(one) for all_, one in zip(log, new, strict=True)))

    i, lanes, following, log = jax.lax.while_loop(busy, chunk, (jnp.int32(0), lanes, following, log))
    return lanes, following, log, i
