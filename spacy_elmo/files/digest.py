"""SHA-256 digests of files, checked before any value of the files is used.

A file that can contain its own digest is sealed. It is written with the placeholder `BLANK`, and
the digest of the whole file, including the placeholder, then replaces the placeholder. The digest
covers every byte of the file. The digests of other files (text, arrays) are stored in a sealed JSON
file in the same directory, the manifest.
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
READ_BYTES = 1 << 20
MAX_JSON_BYTES = 1 << 26
MAX_VOCAB_BYTES = 1 << 28
REMEDY = "The file is damaged or was edited. Copy it again from its source, or write it again."


def file_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def seal(data: Buffer, end: int | None = None) -> tuple[int, bytes]:
    """Compute the digest of a file that contains a blank digest.

    data (Buffer): The content of the file, which contains `"digest": BLANK` once.
    end (Optional[int]): Position before which the digest must be; the end of the file if None.
    RETURNS (Tuple[int, bytes]): The position of the digest in the file, and the digest.
    """
    match = SEAL.search(data, 0, len(data) if end is None else end)
    assert match is not None and match[1] == BLANK.encode()
    return match.start(1), _digest_around(data, match.start(1)).encode()


def write_seal(path: Path, end: int | None = None) -> None:
    """Replace the blank digest in a file by the digest of the file.

    path (Path): The file, which contains `"digest": BLANK` once.
    end (Optional[int]): As for `seal`.
    """
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 0) as data:
        place, digest = seal(data, end)
        data[place : place + len(digest)] = digest
        data.flush()


def check_seal(data: Buffer, source: str, end: int | None = None, remedy: str = REMEDY) -> None:
    """Check that a file has not changed since it was sealed.

    data (Buffer): The content of the file.
    source (str): Name of the file for the error message.
    end (Optional[int]): As for `seal`.
    remedy (str): What the user can do, for the error message.
    RAISES (ValueError): If the digest is missing or does not match the content.
    """
    match = SEAL.search(data, 0, len(data) if end is None else end)
    if match is None:
        raise ValueError(f"{source} has no complete SHA-256 digest under {KEY!r}. {remedy}")
    _compare(match[1].decode(), _digest_around(data, match.start(1)), source, remedy)


def check_file(path: Path, expected: str | None, remedy: str = REMEDY) -> None:
    """Check a file against its manifest.

    path (Path): The file.
    expected (Optional[str]): The digest in the manifest; None never matches.
    remedy (str): What the user can do, for the error message.
    RAISES (ValueError): If the digest of the file differs from `expected`.
    """
    _compare(expected, file_digest(path), str(path), remedy)


def write_manifest(path: Path, values: dict[str, Any], **known: str) -> None:
    """Write a sealed JSON file with the digests of all other files in its directory.

    path (Path): The file.
    values (Dict[str, Any]): Other content to write, without the keys "files" and "digest".
    **known (str): Digests that are already computed, by file name.
    """
    others = sorted(file for file in path.parent.iterdir() if file != path and file.is_file())
    files = {file.name: known.get(file.name) or file_digest(file) for file in others}
    text = json.dumps({**values, FILES: files, KEY: BLANK}, indent=2, ensure_ascii=False) + "\n"
    data = bytearray(text.encode("utf8"))
    place, digest = seal(data)
    data[place : place + len(digest)] = digest
    path.write_bytes(data)


def read_manifest(path: Path, remedy: str = REMEDY) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Read a manifest, and check its own digest. A JSON file without digests is accepted.

    path (Path): The file.
    remedy (str): What the user can do, for error messages.
    RETURNS (Tuple[Dict[str, Any], Optional[Dict[str, str]]]): The content without digests, and the
        digests by file name; None if the file was written without digests.
    RAISES (ValueError): If the file is not a JSON object, is larger than `MAX_JSON_BYTES`, or has
        changed since it was sealed.
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
        raise ValueError(f"{path} has no digests of files under {FILES!r}. {remedy}")
    return values, files


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Read a small file.

    path (Path): The file.
    max_bytes (int): Maximum size in bytes.
    RETURNS (bytes): The content.
    RAISES (ValueError): If the file is larger than `max_bytes`.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(
            f"{path} has {size:,} bytes; expected at most {max_bytes:,}. It is damaged, or another "
            f"kind of file."
        )
    return path.read_bytes()


def _digest_around(data: Buffer, place: int) -> str:
    """Return the digest of a file, computed with `BLANK` in the place of the stored digest."""
    digest = hashlib.sha256()
    with memoryview(data) as view:
        digest.update(view[:place])
        digest.update(BLANK.encode())
        digest.update(view[place + len(BLANK) :])
    return digest.hexdigest()


def _compare(expected: Any, found: str, source: str, remedy: str) -> None:
    if found != expected:
        raise ValueError(
            f"{source} has changed since it was written: its SHA-256 digest is {found[:16]}..., "
            f"expected {str(expected)[:16]}... {remedy}"
        )
