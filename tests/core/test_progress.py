"""The bar: on a terminal and in a notebook, and nowhere else."""

import io
import subprocess
import sys
import types

import pytest

from cyclax.core import progress
from cyclax.core.progress import in_notebook, progress_bar, progress_line

SHELL = types.SimpleNamespace(config={"IPKernelApp": {}})


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: SHELL))


def is_shown(**looks) -> bool:
    with progress_bar(total=3, **looks) as bar:
        return not bar.disable


def test_a_terminal_shows_it(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_shown(shown=True)
    assert not is_shown(shown=False)


def test_a_file_does_not(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_shown(shown=True)
    monkeypatch.setattr(sys, "stderr", None)  # as pythonw has it
    assert not is_shown(shown=True)


@pytest.mark.usefixtures("notebook")
def test_a_notebook_shows_it(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert in_notebook()
    assert is_shown(shown=True)
    assert not is_shown(shown=False)


def test_a_line_is_shown_at_once_and_goes_at_the_end(monkeypatch):
    """What is printed next begins at the left of an empty line."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress_line(shown=True) as say:
        say("this takes long")
        assert terminal.getvalue().endswith("\rthis takes long")
    *_, last, end = terminal.getvalue().split("\r")
    assert last == len("this takes long") * " "
    assert end == ""


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace(config={}), types.SimpleNamespace()])
def test_other_shells_are_no_notebooks(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert not in_notebook()


def test_a_notebook_without_ipywidgets_gets_the_plain_bar_and_no_warning():
    program = (
        "import sys, types, warnings\n"
        "warnings.simplefilter('error')\n"
        "sys.modules['ipywidgets'] = None\n"
        "shell = types.SimpleNamespace(config={'IPKernelApp': {}})\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: shell)\n"
        "from cyclax.core.progress import progress_bar\n"
        "bar = progress_bar(total=3, shown=True)\n"
        "assert not bar.disable\n"
        "assert type(bar).__mro__[-2].__module__.startswith('tqdm'), type(bar).__mro__\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_verb_asks_here(monkeypatch):
    """Each shows its bar where it was asked to, and hides it where not."""
    import numpy as np

    import cyclax as cx
    from cyclax.core import workers
    from cyclax.lyapunov import spectrum
    from cyclax.proofs import certify
    from cyclax.search import driver
    from cyclax.training import fit

    asked = []

    def recorded(*arguments, shown, **looks):
        asked.append(shown)
        return progress_bar(*arguments, shown=False, **looks)

    for module in (progress, workers, certify, driver, spectrum, fit):
        monkeypatch.setattr(module, "progress_bar", recorded)
    tent, few = cx.TentMap(1.9), cx.SCYFI(starts=16)
    series = cx.simulate(tent, [0.3], 20)
    for shown in (True, False):
        cycles = cx.find_cycles(tent, 1, key=0, finder=few, progress=shown)
        cx.certify(tent, cycles, progress=shown)
        cx.enumerate_cycles(tent, 1, progress=shown)
        cx.attractors(tent, 10, key=0, progress=shown)
        cx.scan(tent, {"slope": np.array([1.2, 1.9])}, 1, key=0, starts=16, progress=shown)
        cx.lyapunov_spectrum(tent, [0.3], steps=20, warmup=0, progress=shown)
        cx.fit(cx.TentMap(1.5), series, forcing=cx.FreeRunning(), steps=2, batch=2, length=3, key=0, progress=shown)
        assert len(asked) >= 7
        assert set(asked) == {shown}
        asked.clear()
