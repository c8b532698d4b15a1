"""Functions run operation by operation, each as a rule says."""

from collections.abc import Callable, Iterable
from typing import Any

import jax.extend.core as core

# Primitives that call what stands in one of their parameters. A rule of their own for derivatives has done its work
# where a function is run so: it is not meant to be differentiated.
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def called(equation: Any) -> Any:
    """Give the closed jaxpr that an equation calls, or None."""
    name = equation.primitive.name
    return equation.params.get(_CALLS[name]) if name in _CALLS else None


def evaluated(
    closed: Any, arguments: Iterable[Any], rule: Callable[[Any, list[Any]], list[Any]], lifted: Callable[[Any], Any]
) -> list[Any]:
    """Run a closed jaxpr.

    **Arguments:** `arguments`: its values, flat, in whatever form the rule takes them; `rule(equation, inputs)`: gives
    the results of an equation that calls nothing; `lifted`: brings constants into that form.

    **Returns:** the results.
    """
    jaxpr, values = closed.jaxpr, {}

    def read(variable: Any) -> Any:
        return lifted(variable.val) if isinstance(variable, core.Literal) else values[variable]

    values.update(zip(jaxpr.constvars, map(lifted, closed.consts), strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))
    for equation in jaxpr.eqns:
        inputs, inner = [read(variable) for variable in equation.invars], called(equation)
        results = rule(equation, inputs) if inner is None else evaluated(inner, inputs, rule, lifted)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]
