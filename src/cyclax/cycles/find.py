"""`find_cycles`: the verb. Orders, starts and rounds are driven here; the report is written here."""

import dataclasses
import hashlib
import operator
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool
from tqdm import tqdm

from cyclax.cycles.accept import Accepted, accept, accept_families
from cyclax.cycles.index import degrees, index_of
from cyclax.cycles.linear import UNROLLED_SIZE
from cyclax.cycles.result import Cycles
from cyclax.cycles.search import POOL, Fate, Rounds, default_lanes
from cyclax.cycles.solve import Borders, borders
from cyclax.cycles.starts import drawn_starts, given_starts
from cyclax.cycles.word import WordKey
from cyclax.maps.base import AbstractPiecewiseLinearMap
from cyclax.version import __version__

_LARGEST_ORDER = 100_000
# Words on which I - P is singular are looked at one by one; no more than this many of one order.
_MOST_FAMILIES = 32


@dataclasses.dataclass(frozen=True)
class SCYFI:
    """The search of Eisenmann, Monfared, Goering and Durstewitz (NeurIPS 2023), in batches and with a stopping rule.

    Starts are numbered 0, 1, 2, ..; each moves from word to word until it hits a cycle, repeats a word, or has moved
    `moves` times. An order is done when at most a share `unseen` of its starts can lead to a cycle not yet met (95 %
    bound), or when `starts` are used up. Where the index sum then proves that something is missing, the
    search goes on up to four times as far.

    **Arguments:**

    - `unseen`: the tolerated share of starts that lead elsewhere. The verdict "likely" asks for more: the same bound
      for the converging starts alone.
    - `starts`: most starts for each order.
    - `moves`: most moves of one start; each is one solve.
    - `lanes`: starts that move together; chosen for the cache by default. The result does not depend on it.
    - `seconds`: time budget of the whole call; what has been found by then is returned, marked so.
    """

    unseen: float = 1e-3
    starts: int = 32_768
    moves: int = 64
    lanes: int | None = None
    seconds: float | None = None

    def __post_init__(self):
        for name in ("starts", "moves"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"SCYFI: {name} must be a positive int, got {value!r}.")
        if self.lanes is not None and (
            isinstance(self.lanes, bool) or not isinstance(self.lanes, int) or self.lanes < 1
        ):
            raise ValueError(f"SCYFI: lanes must be None or a positive int, got {self.lanes!r}.")
        if not 0 < self.unseen < 1:
            raise ValueError(f"SCYFI: unseen must lie between 0 and 1, got {self.unseen!r}.")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"SCYFI: seconds must be None or positive, got {self.seconds!r}.")


def find_cycles(
    model: AbstractPiecewiseLinearMap,
    orders: int | Iterable[int],
    *,
    key: Array | int,
    finder: SCYFI = SCYFI(),
    words: Iterable[Bool[Any, "k G"]] = (),
    progress: bool = True,
) -> Cycles:
    """Find the cycles of a piecewise-linear map.

    **Arguments:**

    - `model`: any map of cyclax.
    - `orders`: an int K means 1..K; a sequence means exactly these minimal periods (their divisors are searched too,
      for the index sum, and not returned).
    - `key`: a JAX random key, or an int seed. Equal keys give equal results, whatever the number of lanes.
    - `finder`: how to search.
    - `words`: gate words `(k, G)` to start from as well, such as the gates of cycles of a neighbouring network. They
      do not enter the estimate of what is unseen.
    - `progress`: show a bar on a terminal when the search takes longer than a second.

    **Returns:** `Cycles`. Ctrl-C and `finder.seconds` return what has been found so far, and the report says so.

    **Raises:** `TypeError` and `ValueError` that name the argument and the remedy.
    """
    began = time.perf_counter()
    wanted = checked_orders(orders)
    model = checked_model(model)
    given = checked_words(words, model.num_gates)
    key = checked_key(key)
    with jax.enable_x64(True):
        # On the device once, not at every call of a kernel.
        search = _Search(jax.tree.map(jax.device_put, model), key, finder, began)
        interrupted = search.run(wanted, given, progress)
        search.seconds = time.perf_counter() - began
        return search.result(wanted, interrupted)


@dataclasses.dataclass
class _OrderState:
    """What is known of one order so far."""

    order: int
    starts: int = 0
    solves: int = 0
    fates: Counter = dataclasses.field(default_factory=Counter)
    seen: Counter = dataclasses.field(default_factory=Counter)  # solution -> converging starts that led to it
    solution_of: dict[int, Any] = dataclasses.field(default_factory=dict)  # word hash -> WordKey, or what it is instead
    accepted: Accepted = dataclasses.field(default_factory=Accepted)
    complete_look: bool = False

    @property
    def hits(self) -> int:
        return sum(self.seen.values())

    @property
    def unseen_mass(self) -> float:
        """Good-Turing: the share of converging starts that lead to solutions not met yet (1 where none converged)."""
        return sum(number == 1 for number in self.seen.values()) / self.hits if self.hits else 1.0

    @property
    def unseen_limit(self) -> float:
        """A 95 % bound on the number of starts that led to solutions met once or never: 3 where none was met once.

        The Poisson limit by Wilson and Hilferty (1931), with Good-Turing's reading of what was met once.
        """
        once = 1 + sum(number == 1 for number in self.seen.values())
        return once * (1 - 1 / (9 * once) + 1.645 / (3 * once**0.5)) ** 3 if once > 1 else 3.0

    @property
    def unseen_bound(self) -> float:
        """A 95 % bound on the share of converging starts that lead elsewhere."""
        return min(1.0, self.unseen_limit / self.hits) if self.hits else 1.0


class _Search:
    """One call of `find_cycles`."""

    def __init__(self, model, key, finder: SCYFI, began: float):
        self.model, self.key, self.finder, self.began = model, key, finder, began
        self.bounds: Borders = borders(model)
        self.scale = _state_scale(model, self.bounds)
        lanes = finder.lanes or default_lanes(model.num_states)
        self.rounds = Rounds(lanes, finder.moves)
        # Batched LAPACK calls deadlock when two threads make them (jaxlib 0.10.2), and use all cores anyway.
        self.threads = min(os.cpu_count() or 1, 8) if model.num_states <= UNROLLED_SIZE else 1
        self.halt = threading.Event()
        self.states: dict[int, _OrderState] = {}
        self.degrees: dict[int, int | None] = {}
        self.seconds = 0.0

    # -- driving ------------------------------------------------------------------------------------------------------

    def run(self, wanted: list[int], given: dict[int, np.ndarray], progress: bool) -> str | None:
        """Search all orders; return why it stopped early, if it did."""
        searched = sorted({divisor for order in wanted for divisor in range(1, order + 1) if order % divisor == 0})
        self.states = {order: _OrderState(order) for order in searched}
        self.degrees = degrees(self.bounds, searched)
        try:
            for order, words in given.items():
                if order in self.states:
                    for begin in range(0, len(words), POOL):
                        outcome = self._given(order, words[begin : begin + POOL])
                        self._absorb(self.states[order], outcome, counted=False)
            self._in_parallel(searched, 1, progress)
            # A wrong sum can be the fault of a divisor: those are searched again too.
            for effort in (2, 4):
                suspects = {order for order in searched if self._contradicted(order, self._index_sum(order))}
                again = sorted({d for order in suspects for d in searched if order % d == 0})
                if not again or self._time_left() <= 0:
                    break
                self._in_parallel(again, effort, progress)
        except KeyboardInterrupt:
            self.halt.set()
            return "interrupted by Ctrl-C; this is what had been found"
        if self._time_left() <= 0:
            return f"the time budget of {self.finder.seconds:g} s ran out; this is what had been found"
        return None

    def _time_left(self) -> float:
        budget = self.finder.seconds
        return float("inf") if budget is None else budget - (time.perf_counter() - self.began)

    def _stop(self) -> bool:
        return self.halt.is_set() or self._time_left() <= 0

    def _in_parallel(self, orders: list[int], effort: int, progress: bool) -> None:
        """Search orders side by side: the host's work on one overlaps the kernel's on another."""
        bar = tqdm(
            total=sum(orders), desc="cycles", unit="order", delay=1, disable=None if progress else True, leave=False
        )
        # Low orders first: they are what a user who interrupts wants most.
        pool = ThreadPoolExecutor(self.threads)
        try:
            # The first order goes alone: it compiles what all need, which threads side by side would do twice.
            pending = {pool.submit(self._search_order, self.states[orders[0]], effort)}
            waiting = orders[1:]
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    bar.update(future.result())
                    pending |= {pool.submit(self._search_order, self.states[order], effort) for order in waiting}
                    waiting = []
        except BaseException:
            self.halt.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            bar.close()

    def _search_order(self, state: _OrderState, effort: int) -> int:
        state.complete_look = False
        with jax.enable_x64(True):
            while not self._stop():
                number = min(POOL, effort * self.finder.starts - state.starts)
                if number <= 0:
                    break
                z, word = self._drawn(state.order, state.starts)
                outcome = self.rounds.run(self.model, state.order, z[:, :number], word[:number], self._stop)
                state.starts += number
                self._absorb(state, outcome, counted=True)
                if effort == 1 and self._enough(state):
                    break
            state.complete_look = not self._stop()
        return state.order

    def _enough(self, state: _OrderState) -> bool:
        """Where most starts converge, wait for the bound on those alone; where few do, for that on all starts."""
        reference = state.hits if 2 * state.hits > state.starts else state.starts
        return state.unseen_limit < self.finder.unseen * reference

    # -- starts and outcomes ------------------------------------------------------------------------------------------

    def _drawn(self, order: int, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a pool: the starts from number `first` on."""
        key = jax.random.fold_in(self.key, order)
        z, word = drawn_starts(self.model, order, key, first, self.scale, POOL, self.rounds.lanes)
        return np.asarray(z), np.asarray(word)

    def _given(self, order: int, words: np.ndarray):
        z, word = (np.array(part) for part in given_starts(self.model, order, np.moveaxis(words, 0, -1)))
        usable = np.flatnonzero(np.all(np.isfinite(z), axis=0))
        return self.rounds.run(self.model, order, z[:, usable], word[usable], self._stop)

    def _absorb(self, state: _OrderState, outcome, *, counted: bool) -> None:
        """Take in what became of a block of starts: new words are solved and checked, known ones are counted."""
        state.solves += int(outcome.moves.sum())
        fates, numbers = np.unique(outcome.fate, return_counts=True)
        if counted:
            state.fates.update(dict(zip(fates.tolist(), numbers.tolist(), strict=True)))
        hit = np.flatnonzero(outcome.fate == Fate.HIT)
        hashes, first, numbers = np.unique(outcome.word[hit], return_index=True, return_counts=True)
        new = np.array([h not in state.solution_of for h in hashes.tolist()], bool)
        if np.any(new):
            states = outcome.z[:, hit[first[new]]].T
            found = accept(self.model, self.bounds, states, state.order, state.accepted)
            state.solution_of.update(zip(hashes[new].tolist(), found, strict=True))
        if counted:
            for h, number in zip(hashes.tolist(), numbers.tolist(), strict=True):
                solution = state.solution_of[h]
                if solution is not None:
                    state.seen[solution] += number
        singular = np.flatnonzero(outcome.fate == Fate.SINGULAR)
        room = _MOST_FAMILIES - len(state.accepted.families)
        if len(singular) and room > 0:
            _, first = np.unique(outcome.word[singular], return_index=True)
            states = outcome.z[:, singular[np.sort(first)[:room]]].T
            accept_families(self.model, self.bounds, states, state.order, state.accepted)

    # -- the report ---------------------------------------------------------------------------------------------------

    def _known(self) -> dict[WordKey, Any]:
        """All cycles found, at whatever order the search was."""
        return {key: cycle for state in self.states.values() for key, cycle in state.accepted.cycles.items()}

    def _index_sum(self, order: int) -> int | None:
        total = 0
        for divisor, state in self.states.items():
            if order % divisor == 0 and (state.accepted.families or state.accepted.borders):
                return None
        for key, cycle in self._known().items():
            if order % key.order == 0:
                index = index_of(cycle.multipliers, order // key.order)
                if index is None:
                    return None
                total += key.order * index
        return total

    def _contradicted(self, order: int, index_sum: int | None) -> bool:
        degree = self.degrees[order]
        return index_sum is not None and degree is not None and index_sum != degree

    def _verdict(self, order: int, index_sum: int | None) -> tuple[str, str]:
        state = self.states[order]
        share, bound = state.unseen_mass, state.unseen_bound
        if self._contradicted(order, index_sum):
            reason = f"the index sum is {index_sum}, and would be {self.degrees[order]} were nothing missing"
            return "proved incomplete", reason
        if not state.complete_look:
            return "unknown", "the search was stopped early"
        if not state.hits:
            return "unknown", f"none of {state.starts} starts converged"
        if bound < self.finder.unseen:
            return "likely", f"at most {bound:.2g} of the starts that converge can lead elsewhere (95 %)"
        if share:
            return "unknown", f"cycles met only once: {share:.2g} of the starts that converge lead to ones not met yet"
        return "unknown", f"only {state.hits} of {state.starts} starts converged, too few to say more"

    def result(self, wanted: list[int], interrupted: str | None) -> Cycles:
        entries = {}
        for order in wanted:
            state = self.states[order]
            index_sum = self._index_sum(order)
            verdict, reason = self._verdict(order, index_sum)
            entries[str(order)] = {
                "verdict": verdict,
                "reason": reason,
                "starts": state.starts,
                "solves": state.solves,
                "hits": state.hits,
                "loops": state.fates[Fate.LOOP],
                "singular": state.fates[Fate.SINGULAR],
                "lost": state.fates[Fate.LOST],
                "tired": state.fates[Fate.TIRED],
                "rejected": state.accepted.rejected,
                "index_sum": index_sum,
                "degree": self.degrees[order],
                "unseen_mass": state.unseen_mass if state.hits else None,
                "unseen_bound": state.unseen_bound if state.hits else None,
            }
        report = {"orders": entries, "precision": "float64", "seconds": self.seconds, "version": __version__}
        if interrupted:
            report["interrupted"] = interrupted
        known = self._known()
        cycles = tuple(known[key] for key in sorted(known) if key.order in wanted)
        degenerate = {}
        for order in wanted:
            state = self.states[order]
            for key, entry in (*state.accepted.families.items(), *state.accepted.borders.items()):
                if entry.order in wanted:
                    degenerate.setdefault((entry.kind, key), entry)
        provenance = {
            "model": model_hash(self.model),
            "version": __version__,
            "key": np.asarray(jax.random.key_data(self.key)).tolist(),
            "settings": dataclasses.asdict(self.finder),
        }
        return Cycles(cycles, tuple(wanted), report, tuple(degenerate.values()), provenance)


def _state_scale(model, bounds: Borders) -> float:
    """The size of the states that matter: what the map adds at 0, or how far the borders are from 0."""
    with np.errstate(all="ignore"):
        away = np.abs(bounds.offsets) / np.linalg.norm(bounds.gradients, axis=1)
    away = away[bounds.effective & np.isfinite(away)]
    image = np.asarray(model(np.zeros(model.num_states)))
    scale = max(float(np.max(np.abs(image))), float(np.median(away)) if len(away) else 0.0)
    return scale if 0 < scale < np.inf else 1.0


def model_hash(model: AbstractPiecewiseLinearMap) -> str:
    """Give a hash of class, settings and weights."""
    leaves, structure = jax.tree.flatten(model)
    digest = hashlib.sha256(f"{type(model).__name__} {structure}".encode())
    for leaf in leaves:
        array = np.asarray(leaf, np.float64)
        digest.update(str(array.shape).encode() + array.tobytes())
    return digest.hexdigest()[:16]


# -- arguments -----------------------------------------------------------------------------------------------------


def checked_orders(orders: int | Iterable[int]) -> list[int]:
    """Turn `orders` into a sorted list: an int K means 1..K."""
    if isinstance(orders, (str, bytes)):
        raise TypeError(f"orders: expected an int or a sequence of ints, got the text {orders!r}.")
    values: Sequence[Any] = list(orders) if isinstance(orders, Iterable) else [orders]
    checked = []
    for value in values:
        try:
            checked.append(operator.index(value))
        except TypeError:
            raise TypeError(f"orders: {value!r} is not an integer; orders are the periods 1, 2, 3, ..") from None
        if isinstance(value, bool) or checked[-1] < 1:
            raise ValueError(f"orders: {value!r} is not a period; the smallest order is 1 (fixed points).")
        if checked[-1] > _LARGEST_ORDER:
            raise ValueError(f"orders: {value!r} is beyond {_LARGEST_ORDER}, the largest order that is searched.")
    if not checked:
        raise ValueError(
            "orders: an empty sequence asks for nothing; give an int K for 1..K, or periods such as [8, 16]."
        )
    return list(range(1, checked[0] + 1)) if not isinstance(orders, Iterable) else sorted(set(checked))


def checked_model(model: Any) -> AbstractPiecewiseLinearMap:
    """Give the model with NumPy float64 leaves, once all of them are finite."""
    if not isinstance(model, AbstractPiecewiseLinearMap):
        raise TypeError(
            f"model: expected a map of cyclax (PLRNN, ShallowPLRNN, ..), got {type(model).__name__}; "
            "a file is read by cyclax.load(path)."
        )
    # Models put together by tree operations (a stacked batch, say) have not passed their own check.
    getattr(model, "__check_init__", lambda: None)()
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        if eqx.is_array_like(leaf) and not np.all(np.isfinite(np.asarray(leaf))):
            name = jax.tree_util.keystr(path).lstrip(".")
            where = np.argwhere(~np.isfinite(np.asarray(leaf)))[0].tolist()
            raise ValueError(f"model: {name} holds NaN or inf (first at {where}); did the training diverge?")
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)


def checked_key(key: Any) -> Array:
    """Turn an int seed into a key; pass keys through."""
    if isinstance(key, jax.Array) and (jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape == (2,)):
        return key
    try:
        seed = operator.index(key)
    except TypeError:
        raise TypeError(f"key: expected a JAX random key or an int seed, got {key!r}.") from None
    if not 0 <= seed < 2**63:
        raise ValueError(f"key: a seed lies between 0 and 2^63 - 1, got {seed}.")
    with jax.enable_x64(True):  # all 64 bits of the seed count, whatever the global setting
        return jax.random.key(seed)


def checked_words(words: Iterable[Any], num_gates: int) -> dict[int, np.ndarray]:
    """Group given words by their length: `(n, k, G)` for each k."""
    groups: dict[int, list[np.ndarray]] = {}
    for word in words:
        word = np.asarray(word)
        if word.ndim != 2 or word.shape[1] != num_gates or not len(word):
            raise ValueError(f"words: expected gates of shape (k, {num_gates}), got {word.shape}.")
        groups.setdefault(len(word), []).append(word.astype(bool))
    return {order: np.stack(group) for order, group in groups.items()}
