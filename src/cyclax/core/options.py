"""What is written after the options of the command line, read for argparse: numbers, and orders.

Like the command line itself, this waits for no JAX.
"""

import argparse
from collections.abc import Callable
from typing import Any, Literal


def _number(kind: type, least: float, wanted: str) -> Callable[[str], Any]:
    """Give what reads numbers from `least` on; NaN is none."""

    def read(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not number >= least:
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text}")
        return number

    return read


INT_FROM_0 = _number(int, 0, "an int, 0 or more")
POSITIVE_INT = _number(int, 1, "a positive int")
POSITIVE = _number(float, 5e-324, "a positive number")


def number_or_all(text: str) -> int | Literal["all"]:
    """Read a count of gated states."""
    try:
        return "all" if text == "all" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all") from None


def numbers(text: str) -> float | list[float]:
    """Read a number, or several with commas."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, nor numbers with commas") from None
    return numbers if "," in text else numbers[0]


def orders(text: str) -> int | list[int] | Literal["all"]:
    """Read the orders to search, as verbs take them."""
    if text == "all":
        return "all"
    try:
        if "," in text:
            # A comma at the end, as in a Python tuple, asks for one order alone.
            return [int(part) for part in text.removesuffix(",").split(",")]
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no order; give an integer (27 for 1 to 27) or integers with commas (8,16 for exactly these)"
        ) from None
