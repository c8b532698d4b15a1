"""The command line: arguments -> one verb -> a file. Nothing is decided here.

Results go to stdout, everything else to stderr. Exit codes: 0; 2 with one line `cyclax: error: ..`; 130 after Ctrl-C,
with what had been found; 141 where the reader of stdout left.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from cyclax.core.interruption import to_work
from cyclax.core.options import INT_FROM_0, POSITIVE, POSITIVE_INT, number_or_all, numbers, orders
from cyclax.core.version import __version__

# The library itself is imported by the commands, so that --version and --help need not wait for JAX.

_PICTURES = (".pdf", ".png", ".svg")
_MODEL = "a network or checkpoint: ours, or of PyTorch, Keras, Flax, NumPy, MATLAB, Julia (docs/checkpoints.md)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    **Arguments:** `argv`: the words after `cyclax`; those of the process by default.

    **Returns:** the exit code. `--help` and `--version` raise `SystemExit(0)`, as argparse does.
    """
    try:
        arguments = _parser().parse_args(argv)
        if not arguments.no_cache:
            _keep_compiled()
        return arguments.command(arguments)
    except KeyboardInterrupt:
        print("cyclax: interrupted before anything was found", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"cyclax: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    """Reports what is wrong in one line, as the library does, and leaves the usage to --help."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} ({self.prog} --help shows the arguments)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cyclax",
        description="Find all cycles of ReLU recurrent networks, and their Lyapunov exponents.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cyclax {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    cycles = _add_command(
        commands,
        "cycles",
        _cycles,
        "find fixed points and cycles",
        "Find the fixed points and cycles of a network, and say how sure it is that none is missing.",
    )
    cycles.add_argument("model", metavar="MODEL", help=_MODEL)
    which = "27 means 1 to 27; 8,16 means exactly these; all (with --exact) means every order there is"
    cycles.add_argument("--orders", required=True, type=orders, help=which)
    cycles.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    cycles.add_argument("--plot", type=Path, metavar="FILE", help=f"draw the cycles ({', '.join(_PICTURES)})")
    cycles.add_argument("--save", type=Path, metavar="FILE", help="save the cycles (.npz, read by cyclax.Cycles.load)")
    cycles.add_argument("--seed", type=INT_FROM_0, default=0, help="seed of the random starts (default: 0)")
    cycles.add_argument("--seconds", type=POSITIVE, metavar="S", help="stop after S seconds with what has been found")
    cycles.add_argument("--starts", type=POSITIVE_INT, metavar="N", help="most starts for each order")
    cycles.add_argument("--exact", action="store_true", help="enumerate, with a proof that none is missing")
    cycles.add_argument("--box", type=POSITIVE, metavar="B", help="with --exact: cycles with all |z_i| <= B")
    cycles.add_argument("--certify", action="store_true", help="prove each cycle in ball arithmetic")
    _add_checkpoint(cycles)
    _add_report(commands)
    inspect = _add_command(
        commands,
        "inspect",
        _inspect,
        "say what is in a file",
        "Say what is in a file, which network it would be, and what is missing.",
    )
    inspect.add_argument("model", metavar="FILE", help=_MODEL)
    _add_checkpoint(inspect)
    scan = _add_command(
        commands,
        "scan",
        _scan,
        "find the cycles in every cell of a grid of parameters",
        "Find the cycles in every cell of a grid of parameters, as a TOML file says (docs/scanning.md). With a store "
        "in its [output], a scan that was stopped goes on where it was.",
    )
    scan.add_argument("plan", metavar="SCAN.toml", help="model, orders, parameters, settings and output")
    train = _add_command(
        commands,
        "train",
        _train,
        "train a network on a time series",
        "Train a network on a time series, as a TOML file says (docs/training.md). Training that was stopped goes on "
        "where it was when the same file is given again.",
    )
    train.add_argument("plan", metavar="TRAIN.toml", help="data, model, forcing, optimizer, training and output")
    train.add_argument("--plot", type=Path, metavar="FILE", help=f"draw the training ({', '.join(_PICTURES)})")
    _add_lyapunov(commands)
    return parser


def _add_command(commands: Any, name: str, run: Any, what: str, description: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=what, description=description, allow_abbrev=False)
    command.add_argument("--no-cache", action="store_true", help="do not keep compiled programs for the next call")
    command.set_defaults(command=run)
    return command


def _keep_compiled() -> None:
    from cyclax.core.kept import keep_compiled

    # A home that is read-only, or none: nothing is kept.
    with contextlib.suppress(OSError, RuntimeError):
        keep_compiled()


def _add_checkpoint(command: argparse.ArgumentParser) -> None:
    checkpoint = command.add_argument_group("what the weights of a checkpoint do not tell")
    gated = "gated states of an almost-linear RNN, or all"
    checkpoint.add_argument("--num-gated", type=number_or_all, metavar="P", help=gated)
    checkpoint.add_argument(
        "--clipped", action="store_true", default=None, help="a shallow or dendritic PLRNN is clipped"
    )
    share = "of a leaky integrator, dt / tau (1 for none); numbers with commas, one for each unit"
    checkpoint.add_argument("--alpha", type=numbers, metavar="A", help=share)
    forms = ("rate", "current", "rectified")
    checkpoint.add_argument("--form", choices=forms, help="of a leaky integrator: where its ReLU stands")
    checkpoint.add_argument(
        "--input", type=numbers, metavar="U", help="a constant input: numbers with commas (--input=-1,2)"
    )
    checkpoint.add_argument("--prefix", metavar="NAME", help="of several networks, take the one below this name")
    checkpoint.add_argument("--ignore", action="append", metavar="NAME", help="leave out this entry (may be repeated)")
    checkpoint.add_argument("--index", type=int, metavar="I", help="of a sequence of models, take number I (from 0)")


def _add_report(commands: Any) -> None:
    what = "write one page with all that is found out of a network"
    long = (
        "Find out what a network does and write one page of HTML: cycles, and how sure it is that none is missing, "
        "attractors and their shares, Lyapunov exponents, the nearest bifurcations, with pictures."
    )
    report = _add_command(commands, "report", _report, what, long)
    report.add_argument("model", metavar="MODEL", help=_MODEL)
    report.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="the page (.html)")
    report.add_argument("--orders", default=8, type=orders, help="27 means 1 to 27; 8,16 means exactly these")
    samples = "initial states that are followed to their attractors (default: 1000)"
    report.add_argument("--samples", type=POSITIVE_INT, default=1000, metavar="N", help=samples)
    counted = "steps that count for Lyapunov exponents (default: 20000)"
    report.add_argument("--steps", type=POSITIVE_INT, default=20_000, metavar="N", help=counted)
    near = "stable cycles of which the nearest bifurcation is looked for (default: 4)"
    report.add_argument("--bifurcations", type=INT_FROM_0, default=4, metavar="N", help=near)
    report.add_argument("--seed", type=INT_FROM_0, default=0, help="seed of the starts and initial states (default: 0)")
    report.add_argument("--seconds", type=POSITIVE, metavar="S", help="stop the search for cycles after S seconds")
    report.add_argument("--starts", type=POSITIVE_INT, metavar="N", help="most starts of the search for each order")
    _add_checkpoint(report)


def _add_lyapunov(commands: Any) -> None:
    lyapunov = _add_command(
        commands,
        "lyapunov",
        _lyapunov,
        "compute Lyapunov exponents",
        "Compute the Lyapunov exponents of a network along an orbit, or of several, with standard errors. An orbit "
        "begins at a random state, standard normal from the seed, and is warmed up.",
    )
    lyapunov.add_argument("model", metavar="MODEL", help=_MODEL)
    counted, before = "steps that count (default: 100000)", "steps before (default: 10000)"
    lyapunov.add_argument("--steps", type=POSITIVE_INT, default=100_000, metavar="N", help=counted)
    lyapunov.add_argument("--warmup", type=INT_FROM_0, default=10_000, metavar="N", help=before)
    longer = "double the steps until the exponents have converged, to N at most"
    lyapunov.add_argument("--most-steps", type=POSITIVE_INT, metavar="N", help=longer)
    lyapunov.add_argument("--exponents", type=POSITIVE_INT, metavar="N", help="how many, largest first (default: all)")
    lyapunov.add_argument("--starts", type=POSITIVE_INT, metavar="B", help="this many orbits, from random states")
    lyapunov.add_argument("--seed", type=INT_FROM_0, default=0, help="seed of the random states (default: 0)")
    lyapunov.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    lyapunov.add_argument("--plot", type=Path, metavar="FILE", help=f"draw the exponents ({', '.join(_PICTURES)})")
    lyapunov.add_argument("--save", type=Path, metavar="FILE", help="save them (.npz, read by cyclax.Spectrum.load)")
    _add_checkpoint(lyapunov)


def _cycles(arguments: argparse.Namespace) -> int:
    import cyclax as cx

    # What would fail after the search is tried before it: the search may take hours.
    model, ax = _prepare(arguments)
    # What the work needs is imported before Ctrl-C may raise.
    _ = cx.enumerate_cycles if arguments.exact else cx.find_cycles
    to_work()

    result = _exact(model, arguments) if arguments.exact else _search(model, arguments)
    if arguments.certify:
        result = cx.certify(model, result)

    read = _deliver(result, arguments, "cycles", ax)
    # A spent time budget, noted in the same place, was asked for: no failure.
    if "Ctrl-C" in result.report.get("interrupted", ""):
        return 130
    return 0 if read else 141


def _inspect(arguments: argparse.Namespace) -> int:
    import cyclax as cx

    return 0 if _print(str(cx.inspect(arguments.model, **_stated(arguments)))) else 141


def _stated(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give what is said of the weights of a checkpoint."""
    names = ("num_gated", "clipped", "alpha", "form", "input", "prefix", "ignore", "index")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if isinstance(given.get("input"), float):
        given["input"] = [given["input"]]
    return given


def _scan(arguments: argparse.Namespace) -> int:
    from cyclax import plot
    from cyclax.plot.style import new_axes
    from cyclax.recipes.scan import ScanPlan

    plan = ScanPlan.read(arguments.plan)
    picture = plan.output.get("plot")
    # What would fail after the scan is tried before it.
    ax = None if picture is None else new_axes(shown=False)
    for name in ("save", "netcdf", "plot"):
        if name in plan.output:
            _require_writable(plan.output[name], (plan.output[name].suffix,), f"[output] {name}")

    to_work()
    result = plan.run()
    read = _print(str(result))
    for path in plan.write(result):
        print(f"wrote {path}", file=sys.stderr)
    if picture is not None:
        _draw(picture, plot.scan_picture(result, ax, boundaries=plan.boundaries))
    if "Ctrl-C" in result.report.get("interrupted", ""):
        return 130
    return 0 if read else 141


def _train(arguments: argparse.Namespace) -> int:
    from cyclax import plot
    from cyclax.plot.style import new_axes
    from cyclax.recipes.train import train_from_toml

    if arguments.plot is not None:
        _require_writable(arguments.plot, _PICTURES, "--plot")
    ax = None if arguments.plot is None else new_axes(shown=False)
    to_work()
    try:
        result = train_from_toml(arguments.plan)
    except KeyboardInterrupt:
        print("cyclax: interrupted; the same command goes on from the last checkpoint, if any", file=sys.stderr)
        return 130
    fits = result if isinstance(result, tuple) else (result,)
    read = _print("\n".join(map(str, fits)))
    if arguments.plot is not None:
        _draw(arguments.plot, plot.training(fits[0], ax))
    if fits[0].report["interrupted"]:
        return 130
    return 0 if read else 141


def _lyapunov(arguments: argparse.Namespace) -> int:
    import numpy as np

    import cyclax as cx

    model, ax = _prepare(arguments)
    if arguments.exponents is not None and arguments.exponents > model.num_states:
        raise ValueError(f"--exponents: {arguments.exponents} of a network of {model.num_states} states.")
    to_work()
    shape = (model.num_states,) if arguments.starts is None else (arguments.starts, model.num_states)
    try:
        result = cx.lyapunov_spectrum(
            model,
            np.random.default_rng(arguments.seed).normal(size=shape),
            steps=arguments.steps,
            warmup=arguments.warmup,
            num_exponents=arguments.exponents,
            most_steps=arguments.most_steps,
            in_axes=(None, None if arguments.starts is None else 0, None),
        )
    except FloatingPointError as error:
        raise ValueError(f"{error} (try another --seed, or --starts 20)") from error
    read = _deliver(result, arguments, "spectrum", ax)
    if result.interrupted:
        return 130
    return 0 if read else 141


def _report(arguments: argparse.Namespace) -> int:
    import cyclax as cx

    model = cx.load(arguments.model, **_stated(arguments))
    _require_writable(arguments.output, (".html",), "--output")
    if arguments.orders == "all":
        raise ValueError("--orders all: a search cannot look at every order; give an order.")
    # What the work needs is imported before Ctrl-C may raise.
    finder, report = _finder(arguments), cx.report
    to_work()
    settings = {name: getattr(arguments, name) for name in ("samples", "steps", "bifurcations")}
    name = Path(arguments.model).name
    result = report(model, arguments.orders, key=arguments.seed, finder=finder, name=name, **settings)
    read = _print(str(result))
    result.save(arguments.output)
    print(f"wrote {arguments.output}", file=sys.stderr)
    if result.stopped:
        return 130
    return 0 if read else 141


def _prepare(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Read the network and see that what is asked for can be written; give the axes to draw in, if any."""
    import cyclax as cx

    model = cx.load(arguments.model, **_stated(arguments))
    ax = None
    if arguments.plot is not None:
        _require_writable(arguments.plot, _PICTURES, "--plot")
        from cyclax.plot.style import new_axes

        ax = new_axes(shown=False)
    if arguments.save is not None:
        _require_writable(arguments.save, (".npz",), "--save")
        if arguments.save.resolve() == Path(arguments.model).resolve():
            raise ValueError(f"--save: {arguments.save} is the network itself; choose another name.")
    return model, ax


def _deliver(result: Any, arguments: argparse.Namespace, draw: str, ax: Any) -> bool:
    """Print, save and draw, with the function `draw` of `cyclax.plot`; say whether anyone still reads."""
    # Printed first: should a file fail now (a full disk), the result is not lost.
    read = _print(json.dumps(result.to_dict(), allow_nan=False) if arguments.json else str(result))
    if arguments.save is not None:
        result.save(arguments.save)
        print(f"wrote {arguments.save}", file=sys.stderr)
    if arguments.plot is not None:
        from cyclax import plot

        _draw(arguments.plot, getattr(plot, draw)(result, ax))
    return read


def _draw(path: Path, ax: Any) -> None:
    from cyclax.core.storage import write_atomically

    figure, kind = ax.figure.figure, path.suffix.removeprefix(".")
    write_atomically(path, lambda stream: figure.savefig(stream, format=kind, dpi=200, bbox_inches="tight"))
    print(f"wrote {path}", file=sys.stderr)


def _search(model, arguments: argparse.Namespace) -> Any:
    import cyclax as cx

    if arguments.orders == "all":
        raise ValueError("--orders all: a search cannot look at every order; add --exact, or give an order.")
    if arguments.box is not None:
        raise ValueError("--box: a search needs no box; add --exact.")
    return cx.find_cycles(model, arguments.orders, key=arguments.seed, finder=_finder(arguments))


def _finder(arguments: argparse.Namespace) -> Any:
    import cyclax as cx

    starts = cx.SCYFI() if arguments.starts is None else cx.SCYFI(starts=arguments.starts)
    return cx.Combined(starts=starts, seconds=arguments.seconds)


def _exact(model, arguments: argparse.Namespace) -> Any:
    import cyclax as cx

    if arguments.starts is not None:
        raise ValueError("--starts: an enumeration has no starts; drop it, or --exact.")
    return cx.enumerate_cycles(model, arguments.orders, box=arguments.box, budget=arguments.seconds)


def _require_writable(path: Path, suffixes: tuple[str, ...], option: str) -> None:
    if path.suffix not in suffixes:
        raise ValueError(f"{option}: {path} must end in {' or '.join(suffixes)}.")
    if path.is_dir():
        raise IsADirectoryError(f"{option}: {path} is a folder; give the name of a file.")
    try:
        # Trying is the only sure way to know; permissions do not tell of a read-only disk.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        remedy = "choose a folder that exists and is writable"
        raise OSError(f"{option}: {path} cannot be written ({error.strerror or error}); {remedy}.") from error


def _print(text: str) -> bool:
    """Print; say whether anyone still reads."""
    try:
        print(text, flush=True)
        return True
    except BrokenPipeError:
        # As after `| head`. Python flushes stdout once more at exit: let that go nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return False
