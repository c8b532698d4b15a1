"""Ctrl-C of the command, from its first moment to its last: code 130 and one line, whatever is being imported."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cyclax.core.interruption import leave_at_once, to_work

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
NETWORK = str(Path(__file__).resolve().parents[2] / "examples" / "networks" / "plrnn_2d_order40.json")
# Minutes of work, on any machine.
SEARCH = ["cycles", NETWORK, "--orders", "400"]

# Ctrl-C at the moment at which a module is asked for, wherever that is: what is imported may be native code.
AT_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Press:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
from cyclax.__main__ import main
sys.argv[1:] = {words!r}
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["cyclax.cli", "argparse", "jax", "jaxlib._jax", "equinox", "cyclax.plot", "flint"])
def test_while_importing(name, tmp_path):
    words = [*SEARCH, "--plot", str(tmp_path / "picture.png")] if name == "cyclax.plot" else SEARCH
    program = AT_IMPORT.format(name=name, words=words)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "cyclax: interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0])
def test_at_any_time(delay):
    """Begun once the process runs our code; before that the interpreter starts, and answers in its own way."""
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from cyclax.__main__ import main\n"
        f"sys.argv[1:] = {SEARCH!r}\n"
        "print('begun', flush=True)\n"
        "sys.exit(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.count("\n") == 1 or "Ctrl-C" in out


def test_ctrl_c_raises_again_when_there_is_work():
    leave_at_once()
    assert signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_DFL)
    to_work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_garbage_is_collected_when_there_is_work_and_not_before():
    program = (
        "import gc, sys, cyclax\n"
        "load, find, seen, before = cyclax.load, cyclax.find_cycles, [], gc.get_freeze_count()\n"
        "def spied(verb):\n"
        "    def call(*some, **more):\n"
        "        seen.append((gc.isenabled(), gc.get_freeze_count()))\n"
        "        return verb(*some, **more)\n"
        "    return call\n"
        "cyclax.load, cyclax.find_cycles = spied(load), spied(find)\n"
        "from cyclax.__main__ import main\n"
        f"sys.argv[1:] = ['cycles', {NETWORK!r}, '--orders', '1']\n"
        "assert main() == 0\n"
        "(loading, none), (working, left_out) = seen\n"
        "assert not loading and working, seen\n"
        "assert none == before and left_out > before + 50_000, (seen, before)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    frozen = gc.get_freeze_count()
    to_work()  # where it never was off, as in a process of others, nothing is left out
    assert gc.get_freeze_count() == frozen


def test_handlers_of_others_stay():
    for handler in (signal.SIG_IGN, lambda *_: None):  # as in a shell's background, and a user's own
        signal.signal(signal.SIGINT, handler)
        leave_at_once()
        assert signal.getsignal(signal.SIGINT) is handler
        to_work()
        assert signal.getsignal(signal.SIGINT) is handler


def test_the_library_waits_until_it_is_asked_for():
    """`import cyclax` is instant, and the names are there all the same, for completion too."""
    program = (
        "import sys, cyclax\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules\n"
        "assert cyclax.__version__ and 'jax' not in sys.modules\n"
        "names = dir(cyclax)\n"
        "assert {'find_cycles', 'PLRNN', 'plot', 'data'} <= set(names)\n"
        "assert all(getattr(cyclax, name) is not None for name in cyclax.__all__)\n"
        "assert cyclax.search.find.find_cycles is cyclax.find_cycles\n"
        "from cyclax import *\n"
        "assert PLRNN is cyclax.PLRNN\n"
        "try:\n    cyclax.nothing\n"
        "except AttributeError as error:\n    assert 'nothing' in str(error)\n"
        "else:\n    raise SystemExit('found nothing')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
