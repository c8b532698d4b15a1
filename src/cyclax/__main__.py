"""The command `cyclax`, which is also `python -m cyclax`."""

import gc
import sys

from cyclax.core.interruption import leave_at_once


def main() -> int:
    """Run the command line; Ctrl-C is answered from the first moment to the last."""
    # What a command imports stays: to look through it for garbage on the way, and as the process ends, takes a third of
    # the time of a short one. `to_work` has garbage collected again.
    gc.disable()
    leave_at_once()
    from cyclax.cli import main as run

    code = run()
    leave_at_once()
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(main())
