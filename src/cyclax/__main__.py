"""The command `cyclax`, which is also `python -m cyclax`."""

import sys

from cyclax.core.interruption import leave_at_once


def main() -> int:
    """Run the command line; Ctrl-C is answered from the first moment to the last."""
    leave_at_once()
    from cyclax.cli import main as run

    code = run()
    leave_at_once()
    return code


if __name__ == "__main__":
    sys.exit(main())
