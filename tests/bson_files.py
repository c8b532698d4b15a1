"""Files as Julia's BSON.jl writes them, by hand, from its source and https://bsonspec.org."""

import struct


def bson(document) -> bytes:
    """A document: names and values of null, bool, int, float, str, bytes, list, dict."""
    body = b""
    for name, value in document.items():
        kind, content = _value(value)
        body += bytes([kind]) + name.encode() + b"\0" + content
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _value(value) -> tuple[int, bytes]:
    match value:
        case None:
            return 10, b""
        case bool():
            return 8, bytes([value])
        case int():
            return 18, struct.pack("<q", value)
        case float():
            return 1, struct.pack("<d", value)
        case str():
            return 2, struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
        case bytes():
            return 5, struct.pack("<i", len(value)) + b"\0" + value
        case list():
            return 4, bson({str(i): one for i, one in enumerate(value)})
        case dict():
            return 3, bson(value)
    raise TypeError(type(value))


def datatype(*name, params=()) -> dict:
    """A type of Julia."""
    return {"tag": "datatype", "params": list(params), "name": list(name)}


def julia(array) -> dict:
    """An array as BSON.jl lowers it: its type, its size, and its bytes, column by column."""
    name = {"f8": "Float64", "f4": "Float32", "i8": "Int64", "b1": "Bool"}[array.dtype.str[1:]]
    return {
        "tag": "array",
        "type": datatype("Core", name),
        "size": list(array.shape),
        "data": array.tobytes(order="F"),
    }


def struct_of(kind: dict, *fields) -> dict:
    """A struct of Julia: its type, and its fields in order."""
    return {"tag": "struct", "type": kind, "data": list(fields)}


def dictionary(content: dict) -> dict:
    """A Dict of Julia, whose keys are texts."""
    kind = datatype("Base", "Dict", params=[datatype("Core", "String"), datatype("Core", "Any")])
    return struct_of(kind, list(content), list(content.values()))
