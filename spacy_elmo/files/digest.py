"""SHA-256 digests of files, so that damage is noticed before a number is used.

A file that can hold its own digest is sealed: it is written with `BLANK` in the place of the
digest, and the blank is then replaced by the digest of the whole file as it was with the blank.
Every byte of the file is covered. A file that cannot (text, arrays) has its digest in a sealed
JSON file of the same directory, the manifest.
"""

import hashlib
import json
import mmap
import re
from pathlib import Path
from typing import Any

Buffer = bytes | bytearray | memoryview | mmap.mmap

KEY, FILES = "digest", "files"
BLANK = "0" * 64
SEAL = re.compile(rb'"digest": ?"([0-9a-f]{64})"')
CHUNK = 1 << 20
MAX_JSON_BYTES = 1 << 26
MAX_VOCAB_BYTES = 1 << 28
REMEDY = "The file is damaged or was edited. Copy it again from where it came, or write it again."


def file_digest(path: Path) -> str:
    """RETURNS (str): The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()


def seal(data: Buffer, end: int | None = None) -> tuple[int, bytes]:
    """Return what makes a file with a blank digest a sealed one.

    data (Buffer): The content of the file, with `"digest": BLANK` in it once.
    end (Optional[int]): Where the part of the file that can hold the digest ends.
    RETURNS (Tuple[int, bytes]): Where to write, and what.
    """
    match = SEAL.search(data, 0, len(data) if end is None else end)
    assert match is not None and match[1] == BLANK.encode()
    return match.start(1), _digest_around(data, match.start(1)).encode()


def write_seal(path: Path, end: int | None = None) -> None:
    """Put the digest of a file into the place of its blank.

    path (Path): The file, with `"digest": BLANK` in it.
    end (Optional[int]): Where the part of the file that can hold the digest ends.
    """
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 0) as data:
        place, digest = seal(data, end)
        data[place : place + len(digest)] = digest
        data.flush()


def check_seal(data: Buffer, source: str, end: int | None = None, remedy: str = REMEDY) -> None:
    """Raise a ValueError unless a file is as it was when it was sealed.

    data (Buffer): The content of the file.
    source (str): Its name for the message.
    end (Optional[int]): Where the part of the file that can hold the digest ends.
    remedy (str): The end of the message.
    RAISES (ValueError): If the digest is malformed or that of other content.
    """
    match = SEAL.search(data, 0, len(data) if end is None else end)
    if match is None:
        raise ValueError(f"{source} has no whole SHA-256 digest under {KEY!r}. {remedy}")
    _compare(match[1].decode(), _digest_around(data, match.start(1)), source, remedy)


def check_file(path: Path, expected: str | None, remedy: str = REMEDY) -> None:
    """Raise a ValueError unless a file has the digest that its manifest names."""
    _compare(expected, file_digest(path), str(path), remedy)


def write_manifest(path: Path, values: dict[str, Any], **known: str) -> None:
    """Write a sealed JSON file with the digests of all other files of its directory.

    path (Path): The file.
    values (Dict[str, Any]): Its other content, without the keys "files" and "digest".
    **known (str): Digests that have been computed already, by the name of the file.
    """
    others = sorted(file for file in path.parent.iterdir() if file != path and file.is_file())
    files = {file.name: known.get(file.name) or file_digest(file) for file in others}
    text = json.dumps({**values, FILES: files, KEY: BLANK}, indent=2, ensure_ascii=False) + "\n"
    data = bytearray(text.encode("utf8"))
    place, digest = seal(data)
    data[place : place + len(digest)] = digest
    path.write_bytes(data)


def read_manifest(path: Path, remedy: str = REMEDY) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Read a JSON file, and check its seal if it has one.

    path (Path): The file.
    remedy (str): The end of messages.
    RETURNS (Tuple[Dict[str, Any], Optional[Dict[str, str]]]): Its content without the digests,
        and the digest of each file of the directory; None if the file was written without.
    RAISES (ValueError): If the file is not a JSON object, or not as it was when it was sealed.
    """
    data = read_bounded(path, MAX_JSON_BYTES)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}. {remedy}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}; expected an object. {remedy}")
    if KEY not in values and FILES not in values:
        return values, None
    check_seal(data, str(path), remedy=remedy)
    files = values.pop(FILES, None)
    values.pop(KEY, None)
    if not isinstance(files, dict):
        raise ValueError(f"{path} names no digests of files under {FILES!r}. {remedy}")
    return values, files


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file that cannot sensibly be larger than `most` bytes.

    RAISES (ValueError): If the file is larger.
    """
    size = path.stat().st_size
    if size > most:
        raise ValueError(
            f"{path} has {size:,} bytes; expected at most {most:,}, which such a file never needs. "
            f"It is damaged or something else."
        )
    return path.read_bytes()


def _digest_around(data: Buffer, place: int) -> str:
    """The digest of a file with the blank in the place of its own digest."""
    digest = hashlib.sha256()
    with memoryview(data) as view:
        digest.update(view[:place])
        digest.update(BLANK.encode())
        digest.update(view[place + len(BLANK) :])
    return digest.hexdigest()


def _compare(expected: Any, found: str, source: str, remedy: str) -> None:
    if found != expected:
        raise ValueError(
            f"{source} is not as it was written: its SHA-256 digest is {found[:16]}..., but "
            f"{str(expected)[:16]}... was written with it. {remedy}"
        )
