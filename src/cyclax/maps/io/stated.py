"""What stands beside recognized weights and may make another map of them: it agrees, or is refused by name.

A file that says tanh, a leak or a mask is not of the map that its weights alone make; neither is one with an array that
could be a bias and is not used.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from cyclax.maps.io.groups import Groups
from cyclax.maps.io.layouts import NAMES, Arrays, Layout
from cyclax.maps.io.registry import numbers

# Entries that `from_arrays` looks for itself.
_HEARD = ("model", "num_gated", "P", "clipped")
# Words, as parts of a name ("tau_m", "leakRate"), and what they speak of.
_WORDS = {
    **dict.fromkeys(("activation", "act", "nonlinearity", "nonlin", "nonlinear"), "nonlinearity"),
    **dict.fromkeys(("tau", "taus", "timeconstant", "timeconstants"), "tau"),
    **dict.fromkeys(("dt", "deltat", "timestep"), "dt"),
    **dict.fromkeys(("leak", "leaky", "leaking", "leakage"), "leak"),
    **dict.fromkeys(("mask", "masks"), "mask"),
    **dict.fromkeys(("dale", "dales"), "dale"),
    **{word: word for word in ("alpha", "bias", "decay", "slope")},
}
# Settings of training, and of the regularizers in it, say nothing of the map.
_OF_TRAINING = ("weight_decay", "lr_decay", "learning_rate_decay")
# Where settings stand beside a network, and the words that speak of its map there; the others may be of training.
_SETTINGS = re.compile(r"^(model_?)?(config\w*|cfg|args|h(yper_?)?param\w*|settings|options)$", re.IGNORECASE)
_OF_THE_MAP = ("nonlinearity", "tau", "leak", "dale")
_RELU = ("relu", "rectifiedlinear", "rectifier")


class _Reading(NamedTuple):
    """What the weights were read as."""

    layout: Layout
    entries: Arrays
    num_states: int
    # Of a sequence of models.
    models: int | None
    # The share that was read, of a leaky integrator.
    alpha: np.ndarray | None

    @property
    def recurrent(self) -> np.ndarray | None:
        """The weights from states to states, where they are one matrix."""
        square = [name for name, axes in self.layout.dimensions.items() if axes.split() == ["M", "M"]]
        return self.entries[square[0]] if square else None

    def vector_or_matrix(self, value: np.ndarray) -> bool:
        """Whether an array has the shape of a bias or of recurrent weights, of one model or of each of a sequence."""
        if self.num_states == 1:
            return value.shape in ((1,), (1, 1))
        # MATLAB writes a vector as a matrix of one row or column.
        shape = [size for size in value.shape if size != 1]
        states = [self.num_states]
        return shape in (states, 2 * states) or (
            self.models is not None and shape in ([self.models, *states], [self.models, *states, *states])
        )


def unheard(
    groups: Groups, above: str, layout: Layout, entries: Arrays, alpha: np.ndarray | None = None
) -> dict[str, str]:
    """Give what speaks of another map than the one that was read, and what of it is said.

    **Arguments:** `groups`: entries by what stands above them; `above`: where the weights are; `layout`, `entries`: as
    what they were read; `alpha`: the share with which, of a leaky integrator.

    **Returns:** {full name: the value, in words}.
    """
    # Every layout begins with a matrix that has a row for each state (of low rank: for each unit).
    letter = next((axes[0] for axes in layout.needs.values() if len(axes.split()) == 2), "M")
    of_states = [
        array for name, array in entries.items() if layout.dimensions[name].startswith(f"{letter} ") and array.ndim > 1
    ]
    if not of_states:
        return {}  # a shape is wrong, which is said elsewhere
    count = next((len(array) for array in of_states if array.ndim > 2), None)
    reading = _Reading(layout, entries, of_states[0].shape[-2], count, alpha)
    used = {*layout.dimensions, *layout.beside, *_HEARD}
    used |= {"B", "C"} if {"A", "AW"} & layout.needs.keys() else set()
    found: dict[str, str] = {}
    for place, words in _places(groups, above):
        group = groups[place]
        for name, value in group.items():
            if place == above and (name in used or _of_a_readout(name)):
                continue
            word = _word(name)
            if word is not None and word in words:
                refused = not _AGREES[word](name, value, reading, group)
            elif place == above:
                array = _numeric(value)
                number = array is not None and array.size == 1 and reading.num_states != 1
                refused = (name in NAMES and not number) or (array is not None and reading.vector_or_matrix(array))
            else:
                refused = False
            if refused:
                found[f"{place}.{name}".lstrip(".")] = _said(value)
    return found


def _places(groups: Groups, above: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give where to look, with the words that count there: beside the weights, above them, and in settings."""
    parts = above.split(".") if above else []
    over = [".".join(parts[:i]) for i in range(len(parts), -1, -1)]
    for place in groups:
        if place in over:
            yield place, tuple(_AGREES)
            continue
        owner, _, last = place.rpartition(".")
        if owner in over and _SETTINGS.match(last):
            yield place, _OF_THE_MAP


def _parts(name: str) -> list[str]:
    """Give the words of a name: of "W_out", "leakRate", "b_rec"."""
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def _word(name: str) -> str | None:
    if name.lower() in _OF_TRAINING:
        return None
    parts = _parts(name)
    pairs = [one + other for one, other in itertools.pairwise(parts)]
    return next((_WORDS[part] for part in (*pairs, *parts) if part in _WORDS), None)


def _of_a_readout(name: str) -> bool:
    """Whether a name says that it belongs to an output: with one output, its weights look like a bias."""
    return bool({"out", "output", "readout", "decoder"} & set(_parts(name)))


def _numeric(value: Any) -> np.ndarray | None:
    try:
        return None if value is None or isinstance(value, str) else numbers(value, "", "")
    except ValueError:
        return None


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, (bool, np.bool_)) and not value)


def _all(value: Any, number: float) -> bool:
    array = _numeric(value)
    return array is not None and array.size > 0 and bool(np.all(array == number))


def _nonlinearity(name: str, value: Any, reading: _Reading, group: dict[str, Any]) -> bool:
    array = _numeric(value)
    if array is not None and array.size > 1:
        return not reading.vector_or_matrix(array)  # recorded activations
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(getattr(value, "__name__", value))
    word = re.sub("[^a-z]", "", text.rpartition(".")[2].lower())
    return word in (("leakyrelu", "lrelu") if "slope" in reading.entries else _RELU)


def stated_alpha(groups: Groups, above: str) -> Any:
    """Give the share alpha = dt / tau that stands beside the weights, above them, or, as tau and dt, in settings."""
    for place, words in _places(groups, above):
        said = {name.lower(): value for name, value in groups[place].items() if _numeric(value) is not None}
        if "alpha" in said and "alpha" in words:
            return said["alpha"]
        if "tau" in said and "dt" in said:
            tau, dt = numbers(said["tau"], "tau", ""), numbers(said["dt"], "dt", "")
            return dt / tau if dt.size == 1 and np.all(tau != 0) else None
    return None


def _is_alpha(value: Any, reading: _Reading) -> bool:
    """Whether a number, or one for each unit, is the share that was read; to the digits of float32."""
    array = _numeric(value)
    if array is None or reading.alpha is None or array.size not in (1, reading.alpha.size) or not array.size:
        return False
    return bool(np.allclose(array.reshape(-1), reading.alpha.reshape(-1), rtol=1e-6, atol=0))


def _time(name: str, value: Any, reading: _Reading, group: dict[str, Any]) -> bool:
    """Whether tau and dt mean dt / tau = 1, or alpha; what is not given counts as 1."""
    given = {word: [v for name, v in group.items() if _word(name) == word] for word in ("tau", "dt")}
    steps = given["dt"] or [1.0]
    step = _numeric(steps[0])
    if step is None or step.size != 1:
        return False
    if reading.alpha is not None:
        taus = [_numeric(tau) for tau in given["tau"]]
        shares = [step / tau if tau is not None and np.all(tau != 0) else None for tau in taus]
        return len(steps) == 1 and bool(shares) and all(_is_alpha(share, reading) for share in shares)
    return all(_all(v, step.item()) for v in [*steps, *(given["tau"] or [1.0])])


def _alpha(name: str, value: Any, reading: _Reading, group: dict[str, Any]) -> bool:
    if reading.alpha is not None:
        return _is_alpha(value, reading)
    # Beside A, an array of this name is the weights of dendrites.
    return _all(value, 1) and (np.size(value) == 1 or "A" not in reading.layout.needs)


def _leak(name: str, value: Any, reading: _Reading, group: dict[str, Any]) -> bool:
    # Of a leak alone, 1 may be all or nothing.
    return _absent(value) or ("rate" in name.lower() and not isinstance(value, bool) and _all(value, 1))


def _mask(name: str, value: Any, reading: _Reading, group: dict[str, Any]) -> bool:
    """Whether a mask changes nothing: it is all ones, or the weights are 0 already where it is."""
    if _absent(value) or _all(value, 1):
        return True
    mask, weights = _numeric(value), reading.recurrent
    if mask is None or weights is None or mask.shape != weights.shape[-2:] or not np.all((mask == 0) | (mask == 1)):
        return False
    return bool(np.all(weights[..., mask == 0] == 0))


def _bias(name: str, value: Any, reading: _Reading, group: dict[str, Any]) -> bool:
    if value is None:
        return True
    if isinstance(value, (bool, np.bool_)):
        axes = reading.layout.dimensions
        biases = [array for entry, array in reading.entries.items() if axes[entry] == "M"]
        return bool(biases) if value else not any(np.any(array) for array in biases)
    array = _numeric(value)
    if array is None or (array.size > 1 and not reading.vector_or_matrix(array)):
        return True  # that of a read-out
    return _all(value, 0)


def _slope(name: str, value: Any, reading: _Reading, group: dict[str, Any]) -> bool:
    slope = reading.entries.get("slope")
    return _all(value, 0) if slope is None else slope.size == 1 and _all(value, slope.item())


_AGREES: dict[str, Callable[[str, Any, _Reading, dict[str, Any]], bool]] = {
    "nonlinearity": _nonlinearity,
    "tau": _time,
    "dt": _time,
    "alpha": _alpha,
    "leak": _leak,
    "mask": _mask,
    "bias": _bias,
    "slope": _slope,
    "decay": lambda name, value, *_: _absent(value),
    "dale": lambda name, value, *_: _absent(value),
}


def _said(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape != ():
        return f"{tuple(shape)}"
    array = _numeric(value)
    if array is not None and array.ndim:
        return f"{array.shape}"
    text = repr(value.item() if isinstance(value, (np.ndarray, np.generic)) else value)
    return f"= {text if len(text) <= 40 else text[:40] + '..'}"
