"""The names under which weights are found, and the models that they make. `docs/checkpoints.md` has the same table."""

import dataclasses
from collections.abc import Callable

import numpy as np

from cyclax.maps.io.registry import MODELS, array_fields

Arrays = dict[str, np.ndarray]


def _unchanged(entries: Arrays, input: np.ndarray | None) -> Arrays:
    return entries


@dataclasses.dataclass(frozen=True)
class Layout:
    """A set of names with their dimensions (as jaxtyping writes them), and the class that they make."""

    model: str
    needs: dict[str, str]
    may_have: dict[str, str] = dataclasses.field(default_factory=dict)
    # From the entries of one model, and a constant input, to the fields of the class.
    fields: Callable[[Arrays, np.ndarray | None], Arrays] = _unchanged
    # The entry that says how an input enters.
    input_weights: str | None = None

    @property
    def dimensions(self) -> dict[str, str]:
        """All names, with their dimensions."""
        return self.needs | self.may_have

    def __str__(self) -> str:
        return f"{{{', '.join(self.needs)}}} ({self.model})"


def _own() -> list[Layout]:
    """Give the fields of our classes; where several share them, those of the first.

    Not the textbooks' maps, which are all numbers: an entry called `slope` may be anything.
    """
    layouts: dict[frozenset[str], Layout] = {}
    for model in MODELS:
        fields = array_fields(model)
        if any(fields.values()):
            layouts.setdefault(frozenset(fields), Layout(model, fields))
    return list(layouts.values())


def _split_combined(entries: Arrays, input: np.ndarray | None) -> Arrays:
    """Take A off the diagonal of AW; dendrites are published with the thresholds' signs turned."""
    AW = entries["AW"]
    if AW.shape[0] != AW.shape[1]:
        raise ValueError(f"AW must be square, got shape {AW.shape}.")
    fields = {"A": np.diagonal(AW), "W": np.where(np.eye(*AW.shape, dtype=bool), 0, AW), "h": entries["h"]}
    if "alphas" in entries:
        fields |= {"alpha": entries["alphas"], "thresholds": -entries["thetas"]}
    return fields


def _torch_rnn(suffix: str) -> Layout:
    """Give the names of `torch.nn.RNN` ("_l0": its first layer) or of `torch.nn.RNNCell` ("").

    Cells of other libraries have the latter names, and one bias: in a plain RNN there is one place for it.
    """
    hidden, weights = f"weight_hh{suffix}", f"weight_ih{suffix}"
    biases = {f"bias_ih{suffix}": "M", f"bias_hh{suffix}": "M"} | ({} if suffix else {"bias": "M"})

    def fields(entries: Arrays, input: np.ndarray | None) -> Arrays:
        rows = {name: len(array) for name, array in entries.items()}
        if len(set(rows.values())) > 1:
            raise ValueError(f"the weights must have equally many rows, got {rows}.")
        there = [name for name in biases if name in entries]
        if "bias" in there and len(there) > 1:
            raise ValueError(f"of {', '.join(there)}, which is the bias? Leave the others out by ignore=.")
        bias = sum((entries[name] for name in there), start=np.zeros(len(entries[hidden])))
        return {"W": entries[hidden], "b": bias if input is None else bias + entries[weights] @ input}

    return Layout("ReLURNN", {hidden: "M M", weights: "M I"}, biases, fields, input_weights=weights)


LAYOUTS = (
    *_own(),
    Layout("PLRNN", {"AW": "M M", "h": "M"}, fields=_split_combined),
    Layout("DendriticPLRNN", {"AW": "M M", "h": "M", "alphas": "B", "thetas": "M B"}, fields=_split_combined),
    _torch_rnn("_l0"),
    _torch_rnn(""),
)
NAMES = frozenset(name for layout in LAYOUTS for name in layout.dimensions)


def best_layout(names: set[str]) -> Layout | None:
    """Give the layout that needs the most of these names, and no other."""
    return max((x for x in LAYOUTS if x.needs.keys() <= names), key=lambda x: len(x.needs), default=None)
