"""The kernel that moves lanes through a round against single moves: run by JAX on a CPU, as what it is on a GPU."""

import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest
from conftest import slow

import cyclax as cx
from cyclax.core.numerics import numerics
from cyclax.maps.affine import affine_form
from cyclax.search import fused, lanes
from cyclax.search.lanes import Fate, Lanes, Pool, advance, arrived, initial_search, last_bits, moves_are_fused
from cyclax.search.newton import newton_step

LANES = 37  # that no power of two divides


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    monkeypatch.setattr(fused, "INTERPRETED", jax.default_backend() == "cpu")
    monkeypatch.setattr(lanes, "FUSED_MOVES", True)
    with numerics():
        yield


def lanes_of(z):
    empty = initial_search(1, len(z), 1, z.shape[-1]).lanes
    rest = (np.asarray(part)[0] for part in empty[1:])
    return Lanes(z[:, None], *rest)._replace(fate=np.zeros(z.shape[-1], np.int32))


@jax.jit
def moved_once(model, order, lanes, loops, most_moves):
    """Move as on other devices."""
    step = _, word, _ = newton_step(model, lanes.z, order)
    return arrived(lanes, step, most_moves, loop=loops[last_bits(word)] == word)


def moved_singly(model, order, lanes, loops, most_moves, length):
    for _ in range(length):
        lanes = moved_once(model, order, lanes, loops, most_moves)
    return jax.tree.map(np.asarray, lanes)


def assert_same(found, wanted):
    for name in Lanes._fields[1:]:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
    np.testing.assert_allclose(found.z, wanted.z, rtol=1e-8, atol=1e-8)


MODELS = {
    "tent": lambda: cx.TentMap(1.9),
    "lozi": lambda: cx.LoziMap(1.7, 0.5),
    "shallow": lambda: cx.ShallowPLRNN.random(2, 5, key=4, gain=2.0),
    "centered": lambda: cx.MeanCenteredPLRNN.random(3, key=6, gain=2.0),
    "linear": lambda: cx.AlmostLinearRNN.random(3, 2, key=1, gain=1.5),
    "plrnn": lambda: cx.PLRNN.random(5, key=6, gain=1.8),
}


@pytest.mark.parametrize("name", ["lozi", "shallow", *map(slow, ["tent", "centered", "linear", "plrnn"])])
def test_a_round_is_its_moves_one_by_one(name):
    model = MODELS[name]()
    num_states = model.num_states
    z = 2 * np.random.default_rng(0).normal(size=(num_states, LANES))
    z[:, 0] = 0  # on borders
    begun = lanes_of(z)
    round_ = jax.jit(fused.moved)
    none, fates = np.zeros(256, np.uint64), set()
    for order, most_moves, length in ((1, 64, 1), (3, 64, 4), (11, 64, 8), (11, 5, 8), (16, 64, 0)):
        wanted = moved_singly(model, order, begun, none, most_moves, length)
        assert_same(round_(model, order, begun, none, most_moves, length), wanted)
        fates |= set(wanted.fate.tolist())
        # Words on loops are known, where there were any.
        known = none.copy()
        known[last_bits(wanted.word).astype(int)] = wanted.word
        wanted = moved_singly(model, order, begun, known, most_moves, length)
        assert_same(round_(model, order, begun, known, most_moves, length), wanted)
        fates |= set(wanted.fate.tolist())
    assert fates >= {Fate.MOVING, Fate.HIT}
    assert fates & {Fate.LOOP, Fate.TIRED}


def test_rows_are_exchanged():
    """Where I - P begins with 0: rows must be exchanged where both gates are open, and I - P is singular elsewhere."""
    model = cx.PLRNN(A=[1.0, 0.5], W=[[0.0, 0.2], [0.1, 0.0]], h=[-0.4, 0.3])
    begun = lanes_of(np.random.default_rng(0).normal(size=(2, LANES)))
    wanted = moved_singly(model, 1, begun, np.zeros(256, np.uint64), 64, 4)
    assert_same(jax.jit(fused.moved)(model, 1, begun, np.zeros(256, np.uint64), 64, 4), wanted)
    assert set(wanted.fate.tolist()) == {Fate.HIT, Fate.SINGULAR}


def test_singular_and_overflowing_lanes():
    """Where z_1 > 0 its slope is 1, or powers of it overflow; and candidates can be too far out."""
    z = np.random.default_rng(0).normal(size=(2, LANES))
    none, round_ = np.zeros(256, np.uint64), jax.jit(fused.moved)
    fates = []
    for slope, bias, order in ((1.0, -0.1, 1), (1.0, -0.1, 6), (1e60, -0.1, 8), (0.5, 1e130, 2)):
        model = cx.PLRNN(A=[0.25, 0.5], W=[[slope - 0.25, 0.0], [0.1, 0.2]], h=[bias, 0.3])
        wanted = moved_singly(model, order, lanes_of(z), none, 64, 3)
        found = round_(model, order, lanes_of(z), none, 64, 3)
        np.testing.assert_array_equal(found.fate, wanted.fate)
        if slope <= 1 and bias < 1:  # else words are those of states that are no numbers
            assert_same(found, wanted)
        fates.append(set(wanted.fate.tolist()))
    assert fates == [{Fate.HIT, Fate.SINGULAR}] * 3 + [{Fate.LOST}]


@pytest.mark.parametrize(
    "model",
    [
        *(make() for make in MODELS.values()),
        cx.ClippedShallowPLRNN.random(2, 7, key=1),
        cx.ClippedDendriticPLRNN.random(3, 2, key=1),
        cx.LeakyReLURNN.random(4, key=1, slope=0.1),
        cx.LowRankRNN.random(2, 20, key=1),
        # Gates that are constant: one open, one closed.
        cx.ReLURNN(W=[[0.0, 0.0, 0.0], [0.3, -2.0, 0.1], [0.0, 0.0, 0.0]], b=[0.7, 0.2, -0.4]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_table_is_the_map(model):
    table, form = jax.jit(fused.table_of)(model), affine_form(model)
    number = len(form.offsets)
    np.testing.assert_allclose(table.gradients[:number], form.gradients, atol=1e-14)
    np.testing.assert_allclose(table.offsets, np.append(form.offsets, np.zeros(model.num_states)), atol=1e-14)
    for z in np.random.default_rng(0).normal(size=(20, model.num_states)):
        met = table.gradients @ z + table.offsets
        opened = (met > 0) | (np.arange(len(met)) >= number)
        np.testing.assert_allclose(table.shift + np.where(opened, met, 0) @ table.weights, model(z), atol=1e-13)
        jacobian = np.einsum("g,gi,gj->ij", opened, table.weights, table.gradients)
        np.testing.assert_allclose(jacobian, form.jacobians(opened[None, :number])[0], atol=1e-13)


# From JAX 0.12 on.
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
@pytest.mark.parametrize("M", [2, slow(10)])
def test_rounds_are_exported_for_nvidia_gpus(monkeypatch, M):
    """With one kernel of Triton, and nothing of a library, on a machine that has none of them."""
    monkeypatch.setattr(fused, "INTERPRETED", False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    models = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), cx.PLRNN.random(M, key=0))
    assert moves_are_fused(M, 1, M)
    pool = Pool(np.zeros((2, M, 1, 64)), np.zeros((2, 64), np.uint64), np.full(2, 64, np.int32))
    target = "__gpu$xla.gpu.triton"
    device = jax.sharding.AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    mesh = jax.sharding.AbstractMesh((1,), ("x",), (jax.sharding.AxisType.Auto,), abstract_device=device)
    advance.clear_cache()
    with jax.sharding.use_abstract_mesh(mesh):
        exported = jax.export.export(
            advance, platforms=["cuda"], disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(target)]
        )(models, 8, initial_search(2, M, 1, LANES), pool, 64, 16)
    advance.clear_cache()  # or others would be given what was traced for a GPU
    program = str(exported.mlir_module())
    assert program.count("stablehlo.custom_call @") == program.count(target) == 1


def test_which_moves_are_fused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert not moves_are_fused(2, 1, 2)
    for device, fits in (("gpu", True), ("tpu", False)):
        monkeypatch.setattr(jax, "default_backend", lambda device=device: device)
        assert moves_are_fused(10, 1, 512) == fits
        assert not any(moves_are_fused(*sizes) for sizes in ((11, 1, 11), (2, 2, 2), (2, 1, 513)))
    monkeypatch.setattr(lanes, "FUSED_MOVES", False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not moves_are_fused(2, 1, 2)


def test_cpus_do_not_import_what_the_kernel_needs():
    program = (
        "import sys, cyclax\n"
        "cyclax.find_cycles(cyclax.TentMap(2.0), 2, key=0, finder=cyclax.SCYFI(starts=64), progress=False)\n"
        "assert not {'cyclax.search.fused', 'jax.experimental.pallas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
