"""Damage to files: to their bytes and lines, to the values in JSON and msgpack, and to the set of
files. A mutation depends only on the files and the random generator.
"""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from srsly.msgpack import _Packer, _unpackb

# content of files by name; None for a file that is removed
Files = dict[str, bytes | None]
Mutation = tuple[Files, str]

# probability of damage to a value in a structured file, and of damage to the set of files
STRUCTURED, WHOLE_FILES = 0.4, 0.06
MAX_RANGE = 200
NESTED: Any = []
for _ in range(60):
    NESTED = [NESTED]
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 7, 2**31, 2**63 - 1, -(2**63), 10**30, 0.5, -1.5, 1e308,
    float("nan"), float("inf"), "", "x", "0", "\ud800", "\x00", "ü" * 300, [], {}, [[]], [None],
    ["x"], [1, "x"], {"x": 1}, NESTED,
]  # fmt: skip


def mutate(files: Mapping[str, bytes], draw: random.Random) -> Mutation:
    """Damage one of several files, or exchange two of them.

    files (Mapping[str, bytes]): The undamaged files, by name.
    draw (Random): The random generator, which determines the mutation.
    RETURNS (Tuple[Files, str]): The files that changed, and a description of the mutation.
    """
    name = draw.choice(sorted(files))
    if draw.random() < WHOLE_FILES:
        return _mutate_set(files, name, draw)
    changed, what = _mutate_content(files[name], draw)
    return {name: changed}, f"{name}: {what}"


def _mutate_content(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    if draw.random() < STRUCTURED:
        for kind in (_mutate_json, _mutate_msgpack, _mutate_lines):
            changed = kind(data, draw)
            if changed is not None:
                return changed
    return _mutate_bytes(data, draw)


def _mutate_set(files: Mapping[str, bytes], name: str, draw: random.Random) -> Mutation:
    how = draw.choice(["remove", "empty", "exchange", "replace"])
    other = draw.choice(sorted(files))
    if how == "remove":
        return {name: None}, f"remove {name}"
    if how == "empty":
        return {name: b""}, f"empty {name}"
    if how == "exchange":
        return {name: files[other], other: files[name]}, f"exchange {name} and {other}"
    return {name: files[other]}, f"replace {name} by {other}"


# Bytes


def _place(size: int, draw: random.Random) -> int:
    """Return a random position. Half of the positions are near the start or the end of the file,
    which contain headers."""
    kind = draw.random()
    if kind < 0.35:
        return int(draw.random() ** 3 * size)
    if kind < 0.5:
        return size - 1 - int(draw.random() ** 3 * size)
    return draw.randrange(size)


def _range(size: int, draw: random.Random) -> tuple[int, int]:
    start = _place(size, draw)
    return start, min(size, start + draw.randint(1, MAX_RANGE))


def _mutate_bytes(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    if not data:
        return draw.randbytes(draw.randint(1, 40)), "random bytes"
    changed = bytearray(data)
    how = draw.choice(["bit", "bit", "byte", "bytes", "cut", "insert", "delete", "double", "fill"])
    start, end = _range(len(data), draw)
    if how == "bit":
        bit = draw.randrange(8)
        changed[start] ^= 1 << bit
        return bytes(changed), f"flip bit {bit} of byte {start}"
    if how == "byte":
        changed[start] = draw.randrange(256)
        return bytes(changed), f"set byte {start} to {changed[start]}"
    if how == "bytes":
        for _ in range(draw.randint(2, 8)):
            changed[_place(len(data), draw)] = draw.randrange(256)
        return bytes(changed), "set several bytes"
    if how == "cut":
        return data[:start], f"cut at {start}"
    if how == "insert":
        new = draw.randbytes(draw.randint(1, MAX_RANGE))
        return data[:start] + new + data[start:], f"insert {len(new)} bytes at {start}"
    if how == "delete":
        return data[:start] + data[end:], f"delete {start} to {end}"
    if how == "double":
        return data[:end] + data[start:], f"double {start} to {end}"
    value = draw.choice([0, 0, 255, 128])
    changed[start:end] = bytes([value]) * (end - start)
    return bytes(changed), f"fill {start} to {end} with {value}"


# Structure


def _mutate_json(data: bytes, draw: random.Random) -> tuple[bytes, str] | None:
    """Change a value of a JSON file, or of one line of a file of JSON lines."""
    if data[:1] not in (b"{", b"["):
        return None
    lines = data.split(b"\n")
    try:
        whole = json.loads(data)
    except ValueError:
        number = draw.randrange(len(lines))
        try:
            whole = json.loads(lines[number])
        except ValueError:
            return None
        whole, what = _mutate_tree(whole, draw)
        lines[number] = json.dumps(whole).encode()
        return b"\n".join(lines), f"line {number}, {what}"
    whole, what = _mutate_tree(whole, draw)
    return json.dumps(whole).encode(), what


def _mutate_msgpack(data: bytes, draw: random.Random) -> tuple[bytes, str] | None:
    if not data or not 0x80 <= data[0] <= 0x8F:  # a map, as spaCy and thinc write it
        return None
    try:
        # without the types of spaCy and thinc, so that arrays are read as maps
        whole = _unpackb(data, raw=False, strict_map_key=False)
        whole, what = _mutate_tree(whole, draw)
        return _Packer(use_bin_type=True).pack(whole), what
    except Exception:  # not msgpack, or a value that msgpack cannot represent
        return None


def _mutate_tree(whole: Any, draw: random.Random) -> tuple[Any, str]:
    """Change, remove, duplicate or add a value at a random depth."""
    holder: dict[str, Any] = {"": whole}
    parent: Any = holder
    key: Any = ""
    path: list[str] = []
    while isinstance(parent[key], (dict, list)) and parent[key] and draw.random() < 0.85:
        parent = parent[key]
        key = draw.choice(list(parent)) if isinstance(parent, dict) else draw.randrange(len(parent))
        path.append(str(key))
    place = "/".join(path) or "the whole"
    how = draw.choice(["value", "value", "value", "remove", "add", "near"])
    if how == "remove" and path:
        del parent[key]
        return holder[""], f"remove {place}"
    if how == "add" and path:
        new = draw.choice(VALUES)
        if isinstance(parent, dict):
            parent[draw.choice(["x", "", str(key) + "_"])] = new
        else:
            parent.insert(key, draw.choice([new, parent[key]]))
        return holder[""], f"add to the parent of {place}"
    value = parent[key]
    if isinstance(value, bytes) and draw.random() < 0.8:
        parent[key], what = _mutate_content(value, draw)
        return holder[""], f"{place}: {what}"
    if how == "near" and isinstance(value, (int, float)) and not isinstance(value, bool):
        parent[key] = value + draw.choice([1, -1, 0.5])
    else:
        parent[key] = draw.choice(VALUES)
    return holder[""], f"set {place} to {parent[key]!r:.40}"


def _mutate_lines(data: bytes, draw: random.Random) -> tuple[bytes, str] | None:
    """Change, remove, duplicate, insert or replace a line of a text."""
    lines = data.split(b"\n")
    if len(lines) < 3 or max(map(len, lines)) > 5000 or b"\0" in data:
        return None
    number, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    how: Callable[[], Any] = draw.choice(
        [
            lambda: lines.pop(number),
            lambda: lines.insert(number, lines[number]),
            lambda: lines.insert(number, draw.choice([b"", b"#", b"\t" * 9, b" x ", b"\xff"])),
            lambda: lines.__setitem__(number, lines[other]),
            lambda: lines.__setitem__(number, _mutate_fields(lines[number], draw)),
            lambda: lines.__setitem__(number, _mutate_fields(lines[number], draw)),
        ]
    )
    how()
    return b"\n".join(lines), f"change line {number}"


def _mutate_fields(line: bytes, draw: random.Random) -> bytes:
    """Change one field of a line, such as a column of CoNLL or the value of a setting."""
    separator = b"\t" if b"\t" in line else b" "
    fields = line.split(separator)
    number = draw.randrange(len(fields))
    new = [b"", b"-", b"_", b"(1", b"1)", b"(1)|(2", b"-1", b"99999999999999999999", b"nan", b"1-2"]
    new += [
        b"1.1",
        b"#begin",
        b"null",
        b'"x"',
        b"[1]",
        b"{",
        "日".encode(),
        b"\xff\xfe",
        b"(e1-x-1",
    ]
    if draw.random() < 0.2:
        fields.pop(number)
    else:
        fields[number] = draw.choice(new)
    return separator.join(fields)
