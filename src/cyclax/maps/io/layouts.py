"""The names under which weights are found, and the models that they make. `docs/checkpoints.md` has the same table."""

import dataclasses
from collections.abc import Callable

import numpy as np

from cyclax.maps.io.registry import MODELS, array_fields

Arrays = dict[str, np.ndarray]

# The forms of a leaky integrator: their classes, and what they do.
FORMS = {"rate": "RateRNN", "current": "CurrentRNN", "rectified": "RectifiedRNN"}
EQUATIONS = {
    "rate": "z' = (1 - alpha) z + alpha relu(W z + b)",
    "current": "z' = (1 - alpha) z + alpha (W relu(z) + b)",
    "rectified": "z' = relu((1 - alpha) z + alpha (W z + b))",
}


def _unchanged(entries: Arrays) -> Arrays:
    return entries


@dataclasses.dataclass(frozen=True)
class Layout:
    """A set of names with their dimensions (as jaxtyping writes them), and the class that they make.

    - `fields`: from the entries of one model to the fields of the class, and perhaps C, the input weights, `(M, I)`.
    - `input_weights`: the entry that says how an input enters, and `input_to`: the field that it is added to (the bias,
      where it is not said).
    - `leaky`: "always" a leaky integrator, or "if asked", or "no"; `form`: which, where the names tell.
    - `beside`: names that stand beside the weights and are no part of the map.
    """

    model: str
    needs: dict[str, str]
    may_have: dict[str, str] = dataclasses.field(default_factory=dict)
    fields: Callable[[Arrays], Arrays] = _unchanged
    input_weights: str | None = None
    input_to: str | None = None
    leaky: str = "no"
    form: str | None = None
    beside: frozenset[str] = frozenset()

    @property
    def dimensions(self) -> dict[str, str]:
        """All names, with their dimensions."""
        return self.needs | self.may_have

    def __str__(self) -> str:
        model = "a leaky integrator" if self.leaky == "always" and self.form is None else self.model
        return f"{{{', '.join(self.needs)}}} ({model})"


def _own() -> list[Layout]:
    """Give the fields of our classes; where several share them, those of the first.

    Not the textbooks' maps, which are all numbers: an entry called `slope` may be anything. Nor the leaky integrators,
    of which the fields do not tell the form. C are input weights, where it has a row for each state.
    """
    layouts: dict[frozenset[str], Layout] = {}
    for model, cls in MODELS.items():
        fields = array_fields(model)
        if any(fields.values()) and cls.input_matrix is None and model != "ReLURNN":
            may_have = {} if cls.input_leaf is None else {"C": "M I"}
            layouts.setdefault(frozenset(fields), Layout(model, fields, may_have, input_weights="C"))
    return list(layouts.values())


def _split_combined(entries: Arrays) -> Arrays:
    """Take A off the diagonal of AW; dendrites are published with the thresholds' signs turned."""
    AW = entries["AW"]
    if AW.shape[0] != AW.shape[1]:
        raise ValueError(f"AW must be square, got shape {AW.shape}.")
    fields = {"A": np.diagonal(AW), "W": np.where(np.eye(*AW.shape, dtype=bool), 0, AW), "h": entries["h"]}
    if "C" in entries:
        fields |= {"C": entries["C"]}
    if "alphas" in entries:
        fields |= {"alpha": entries["alphas"], "thresholds": -entries["thetas"]}
    return fields


def _recurrent(
    hidden: str,
    weights: str,
    biases: tuple[str, ...],
    *,
    transposed: bool = False,
    leaky: str = "always",
    form: str | None = None,
    beside: tuple[str, ...] = (),
    needs: tuple[str, ...] | None = None,
) -> Layout:
    """Give the names of a recurrent network: recurrent weights, input weights, and biases, which are added up.

    **Arguments:** `transposed`: weights act on states from the right, and stand so in the file; `needs`: besides the
    recurrent weights, by default the input weights.
    """

    def fields(entries: Arrays) -> Arrays:
        def turned(name):
            return entries[name].T if transposed else entries[name]

        rows = {name: entries[name].shape[-1 if transposed else 0] for name in entries}
        if len(set(rows.values())) > 1:
            raise ValueError(f"the weights must have equally many rows, got {rows}.")
        there = [name for name in biases if name in entries]
        if "bias" in there and len(there) > 1:
            raise ValueError(f"of {', '.join(there)}, which is the bias? Leave the others out by ignore=.")
        bias = sum((entries[name] for name in there), start=np.zeros(len(entries[hidden])))
        return {"W": turned(hidden), "b": bias} | ({"C": turned(weights)} if weights in entries else {})

    others = {weights: "I M" if transposed else "M I"} | dict.fromkeys(biases, "M")
    needed = {hidden: "M M"} | {name: others.pop(name) for name in (needs or (weights,))}
    return Layout(
        FORMS[form or "rate"] if leaky == "always" else "ReLURNN",
        needed,
        others,
        fields,
        input_weights=weights,
        leaky=leaky,
        form=form,
        beside=frozenset(beside),
    )


def _psychrnn(entries: Arrays) -> Arrays:
    """Apply PsychRNN's masks, and Dale's law where it holds: weights that have been through it are not changed."""
    W, C = entries["W_rec"] * entries["rec_connectivity"], entries["W_in"]
    if "input_connectivity" in entries:
        C = C * entries["input_connectivity"]
    if "Dale_rec" in entries and not np.array_equal(entries["Dale_rec"], np.eye(len(W))):
        W, C = np.abs(W) @ entries["Dale_rec"], np.abs(C)
    return {"W": W, "b": entries.get("b_rec", np.zeros(len(W))), "C": C}


def _scaled_inputs(entries: Arrays) -> Arrays:
    """Give input weights `(N, I)` of `wi` `(I, N)`, which `si` `(I,)` scales."""
    if "wi" not in entries:
        return {"C": entries["C"]} if "C" in entries else {}
    return {"C": (entries["wi"] * entries["si"][:, None] if "si" in entries else entries["wi"]).T}


def _full_rank(entries: Arrays) -> Arrays:
    """Read x' = (1 - alpha) x + alpha (W relu(x + b) + C u) with the state x + b."""
    W = entries["wrec"]
    return {"W": W, "b": entries.get("b", np.zeros(len(W)))} | _scaled_inputs(entries)


def _low_rank(entries: Arrays) -> Arrays:
    bias = entries.get("b_rec", entries.get("b", np.zeros(len(entries["m"]))))
    return {"m": entries["m"], "n": entries["n"], "b": bias} | _scaled_inputs(entries)


def _latent(decay: str) -> Layout:
    """Give the names of a low-rank RNN as `vi_rnn` writes them: z' = decay z + n relu(m z - h + Wu u).

    What it calls `decay_param`, or `AW` before that, is log(-log(decay)). In one clipped, h has the other sign.
    """

    def fields(entries: Arrays, sign: float = -1.0) -> Arrays:
        rank, given = entries["m"].shape[1], entries[decay].reshape(-1)
        if given.size not in (1, rank):
            raise ValueError(f"{decay} must be one number, or {rank}, got shape {entries[decay].shape}.")
        kept = given if decay == "decay" else np.exp(-np.exp(given))
        inputs = {"C": entries["Wu"]} if "Wu" in entries else {}
        return {
            "A": np.broadcast_to(kept, (rank,)),
            "W1": entries["n"],
            "W2": entries["m"],
            "h1": np.zeros(rank),
            "h2": sign * entries["h"],
        } | inputs

    needs = {"m": "N R", "n": "R N", "h": "N", decay: "..."}
    return Layout("ShallowPLRNN", needs, {"Wu": "N I"}, fields, input_weights="Wu", input_to="h2")


_DENDRITES = {"AW": "M M", "h": "M", "alphas": "B", "thetas": "M B"}
_INPUTS = {"wi": "I N", "si": "I"}
_OF_VALENTE = frozenset(("h0", "so", "wo"))

LAYOUTS = (
    *_own(),
    _recurrent("W", "C", ("b",), leaky="if asked", needs=("b",)),
    Layout("PLRNN", {"AW": "M M", "h": "M"}, {"C": "M I"}, _split_combined, "C"),
    Layout("DendriticPLRNN", _DENDRITES, {"C": "M I"}, _split_combined, "C"),
    # torch.nn.RNN and torch.nn.RNNCell; cells of other libraries have the latter names, and one bias.
    _recurrent("weight_hh_l0", "weight_ih_l0", ("bias_ih_l0", "bias_hh_l0"), leaky="if asked"),
    _recurrent("weight_hh", "weight_ih", ("bias_ih", "bias_hh", "bias"), leaky="if asked"),
    # Keras, and Flax.
    _recurrent("recurrent_kernel", "kernel", ("bias",), transposed=True, leaky="if asked"),
    _recurrent("h.kernel", "i.kernel", ("h.bias", "i.bias"), transposed=True, leaky="if asked"),
    _recurrent("dense_h.kernel", "dense_i.kernel", ("dense_h.bias", "dense_i.bias"), transposed=True, leaky="if asked"),
    # Two linear layers of PyTorch: neurogym and its tutorials; nn4n; trainRNNbrain and latent circuits.
    _recurrent("h2h.weight", "input2h.weight", ("h2h.bias", "input2h.bias")),
    _recurrent("h2h.weight", "i2h.weight", ("h2h.bias", "i2h.bias")),
    _recurrent(
        "hidden_layer.weight",
        "input_layer.weight",
        ("hidden_layer.bias", "input_layer.bias"),
        form="current",
        beside=("hidden_state",),
    ),
    _recurrent("recurrent_layer.weight", "input_layer.weight", ("recurrent_layer.bias", "input_layer.bias")),
    # Matrices by name.
    _recurrent("W_rec", "W_in", ("b_rec",)),
    _recurrent("W_rec", "W_inp", ("b_rec", "bias_rec"), beside=("y_init",)),
    _recurrent("w_rec", "w_inp", ("b_rec",)),
    Layout(
        "CurrentRNN",
        {"W_rec": "M M", "W_in": "M I", "rec_connectivity": "M M"},
        {"b_rec": "M", "input_connectivity": "M I", "Dale_rec": "M M"},
        _psychrnn,
        "W_in",
        leaky="always",
        form="current",
        beside=frozenset(("init_state", "Dale_out", "dale_ratio")),
    ),
    # The low-rank networks of Dubreuil, Valente et al., and their full ones.
    Layout(
        "CurrentRNN",
        {"wrec": "N N"},
        {"b": "N", **_INPUTS},
        _full_rank,
        "wi",
        leaky="always",
        form="current",
        beside=_OF_VALENTE,
    ),
    *(
        Layout(
            "LowRankRNN",
            {"m": "N R", "n": "N R", bias: "N"},
            {**_INPUTS, "C": "N I"},
            _low_rank,
            "wi",
            leaky="always",
            form="current",
            beside=_OF_VALENTE,
        )
        for bias in ("b", "b_rec")
    ),
    _latent("AW"),
    _latent("decay"),
    _latent("decay_param"),
)
NAMES = frozenset(name for layout in LAYOUTS for name in layout.dimensions)
# Names of two parts: `h2h.weight` belongs to what is above `h2h`.
DOTTED = frozenset(name for name in NAMES if "." in name)


def best_layout(names: set[str]) -> Layout | None:
    """Give the layout that needs the most of these names, and no other."""
    return max((x for x in LAYOUTS if x.needs.keys() <= names), key=lambda x: len(x.needs), default=None)
