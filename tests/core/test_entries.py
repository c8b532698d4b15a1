"""Functions computed entry by entry give what they give."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cyclax as cx
from cyclax.core.entries import entrywise, operations
from cyclax.core.numerics import numerics

LANES = 7
MATRIX = np.random.default_rng(1).normal(size=(2, 3))
CUBE = np.random.default_rng(2).normal(size=(2, 3, 4))


def over_lanes(function):
    return jax.vmap(function, -1, -1)


# Functions of (x (3,), y (3, 4), n () integer) of one lane, and the operations that they take there.
FUNCTIONS = {
    "elementwise": (lambda x, y, n: jnp.where(x > 0, jnp.tanh(x) / (1 + x**2), -jnp.exp(x)) * n, None),
    "product with what lanes share": (lambda x, y, n: MATRIX @ x, 2 * 2 * 3),
    "products of lanes": (lambda x, y, n: (y.T @ x, y @ y.T, jnp.outer(x, y[0])), 2 * (4 * 3 + 9 * 4) + 12),
    "batched product": (lambda x, y, n: jnp.einsum("aij,ij->ai", CUBE, y), 2 * 2 * 3 * 4),
    "sums": (lambda x, y, n: (jnp.sum(y, axis=0), jnp.max(y), jnp.all(y > -1, axis=1), jnp.prod(x)), 51),
    "moves": (lambda x, y, n: jnp.concatenate([y[::-1, 1:].T, jnp.stack([x, x[::-1]]), jnp.eye(3)[:1]]), None),
    "parts": (
        lambda x, y, n: [*jnp.split(y, 2, axis=1), jnp.pad(x, (1, 2), constant_values=x[0]), y.reshape(2, 6)],
        None,
    ),
    "integers": (lambda x, y, n: (n * 3 + 1) // 2, None),
    "a scalar": (lambda x, y, n: jnp.sqrt(x[0] ** 2 + y[1, 2] ** 2), None),
    "what is called": (lambda x, y, n: jax.nn.relu(x) + jax.nn.gelu(x) + jax.nn.sigmoid(x), None),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_are_those_of_the_function(name):
    function, wanted = FUNCTIONS[name][0], FUNCTIONS[name][1]
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(3, LANES)), rng.normal(size=(3, 4, LANES)), rng.integers(-5, 5, LANES)
    with numerics():
        expected = over_lanes(function)(*arrays)
        count = operations(over_lanes(function), *arrays)
        found = jax.jit(entrywise(over_lanes(function)))(*arrays)
        text = str(jax.make_jaxpr(entrywise(over_lanes(function)))(*arrays))
    assert 0 <= count < 200
    assert wanted is None or count == wanted
    assert not any(word in text for word in ("dot_general", "reduce_", "while", "scan"))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(b, a, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["sort", "argmax", "solve", "loop", "sum of nothing", "product of nothing"])
def test_what_has_no_such_form_is_told(name):
    functions = {
        "sort": jnp.sort,
        "argmax": jnp.argmax,
        "solve": lambda x: jnp.linalg.solve(jnp.eye(3) + x[:, None], x),
        "sum of nothing": lambda x: jnp.sum(x[:0]),
        "product of nothing": lambda x: jnp.zeros((2, 0)) @ x[:0],
        "loop": lambda x: jax.lax.fori_loop(0, 3, lambda i, x: 2 * x, x),
    }
    assert operations(over_lanes(functions[name]), np.zeros((3, LANES))) == np.inf


MODELS = {
    "maps": lambda: (cx.PLRNN.random(3, key=jax.random.key(0), gain=0.5), None, (None, 0, None)),
    "maps with inputs": lambda: (cx.PLRNN.random(2, key=jax.random.key(0), gain=0.5), (201, 2), (None, 0, None)),
    "maps with inputs of their own": lambda: (
        cx.PLRNN.random(2, key=jax.random.key(0), gain=0.5),
        (5, 201, 2),
        (None, 0, 0),
    ),
    "maps of their own": lambda: (
        [cx.LoziMap(0.2 + 0.05 * i, 0.3 + 0.01 * i) for i in range(5)],
        None,
        (0, None, None),
    ),
    "cells": lambda: (eqx.nn.GRUCell(2, 2, key=jax.random.key(1)), (201, 2), (None, 0, None)),
}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_spectra_of_many_orbits_are_the_same(monkeypatch, name, every):
    model, shape, in_axes = MODELS[name]()
    rng = np.random.default_rng(0)
    inputs = None if shape is None else 0.1 * rng.normal(size=shape)
    size = 3 if name == "maps" else 2
    states = 0.1 * rng.normal(size=(5, size) if in_axes[1] == 0 else size)

    def exponents(by_entries: bool):
        called = []
        monkeypatch.setattr("cyclax.lyapunov.spectrum.is_worth_compiling", lambda *_: by_entries)
        monkeypatch.setattr("cyclax.lyapunov.kernel.entrywise", lambda f: called.append(f) or entrywise(f))
        options = dict(steps=150, warmup=51, in_axes=in_axes, orthonormalize_every=every)
        found = cx.lyapunov_spectrum(model, states, inputs, repeat_inputs=shape is not None, progress=False, **options)
        assert bool(called) == by_entries
        return found.exponents

    wanted, found = exponents(False), exponents(True)
    assert wanted.shape[0] == 5
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
