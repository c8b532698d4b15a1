"""The entries of a file, sorted by what stands above them: nested dicts, names with dots, names with slashes."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from cyclax.maps.io.layouts import DOTTED

# {what stands above: {the last part of each name: what it holds}}.
Groups = dict[str, dict[str, Any]]

_MOST_LISTED = 30
# A slash counts as a dot; Julia's names may have digits below the line, and Greek letters.
_PLAIN = str.maketrans(
    {"/": ".", "\N{GREEK SMALL LETTER ALPHA}": "alpha", **{chr(0x2080 + digit): str(digit) for digit in range(10)}}
)


def groups_of(arrays: Mapping[str, Any]) -> Groups:
    """Sort entries by what stands before the last dot of their names; a nested dict and a slash count as dots.

    What is known by a name of two parts, such as `h2h.weight`, belongs to what stands before both.
    """
    groups: Groups = {}
    waiting = [("", arrays)]
    # A checkpoint may hold one dict under two names, and a broken one itself. Kept, so that no other gets their ids.
    seen: dict[int, Mapping] = {}
    while waiting:
        above, mapping = waiting.pop()
        if id(mapping) in seen:
            continue
        seen[id(mapping)] = mapping
        for key, value in mapping.items():
            if isinstance(value, Mapping):
                waiting.append((f"{above}{key}.", value))
            else:
                *parts, name = f"{above}{key}".translate(_PLAIN).split(".")
                if parts and f"{parts[-1]}.{name}" in DOTTED:
                    name = f"{parts.pop()}.{name}"
                groups.setdefault(".".join(parts), {})[name] = value
    return groups


def without(groups: Groups, ignore: str | Sequence[str], source: str) -> Groups:
    """Leave out entries by their own names, or their full ones, or those of what holds them."""
    names = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    full = {(above, name): f"{above}.{name}".lstrip(".") for above, group in groups.items() for name in group}
    gone: set[tuple[str, str]] = set()
    for one in names:
        hit = {at for at, name in full.items() if one in (at[1], name) or name.startswith(f"{one}.")}
        if not hit:
            near = difflib.get_close_matches(str(one), [*full.values(), *(at[1] for at in full)], 1)
            raise ValueError(
                f"{source}: ignore: there is no entry {one!r}" + (f"; did you mean {near[0]!r}?" if near else ".")
            )
        gone |= hit
    return {
        above: {name: value for name, value in group.items() if (above, name) not in gone}
        for above, group in groups.items()
    }


def entries_of(content: Any) -> dict[str, Any]:
    """Give all entries by their full names."""
    groups = groups_of(content) if isinstance(content, Mapping) else {"": {type(content).__name__: content}}
    return {f"{above}.{name}".lstrip("."): value for above, group in groups.items() for name, value in group.items()}


def listed(groups: Groups) -> str:
    """List what there is, with the shapes."""
    names = [
        f"{above}.{name}".lstrip(".") + _shape(value)
        for above, group in groups.items()
        for name, value in group.items()
    ]
    return ", ".join(names[:_MOST_LISTED]) + (f" and {len(names) - _MOST_LISTED} more" if names[_MOST_LISTED:] else "")


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f" {tuple(shape)}" if isinstance(shape, tuple) else ""
