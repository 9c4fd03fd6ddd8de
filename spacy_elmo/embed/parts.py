"""Where `embed` keeps what is done, so that a run that was killed can go on.

Owns the folder `<OUTPUT>.parts`: the settings of the run, one folder for each part
of the input, which appears whole or not at all and says where the next part starts, and a lock.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic import atomic_directory, atomic_file
from ..files.digest import check_file, read_manifest, write_manifest
from ..files.lock import Locked, locked
from .inputs import InputChanged, Inputs, Piece, Position
from .vectors import Encoder, group_pieces

SETTINGS, DONE, PART, LOCK = "settings.json", "done", "part-{:05}", ".lock"
VECTORS, LENGTHS, TOKENS, NEXT = "vectors.f32", "lengths.npy", "tokens.txt", "next.json"
VALUE = np.dtype("<f4")


@dataclass(frozen=True)
class Part:
    """A finished part.

    folder (Path): Where it is.
    n_tokens (int): Tokens in it.
    next (Position): Where the next part starts.
    digest (Optional[str]): The SHA-256 of its vectors; None if it was written without.
    """

    folder: Path
    n_tokens: int
    next: Position
    digest: str | None = None

    @property
    def lengths(self) -> np.ndarray:
        """RETURNS (ndarray): Tokens of each dataset, int64."""
        lengths: np.ndarray = np.load(self.folder / LENGTHS, allow_pickle=False)
        return lengths

    def datasets(self, n_layers: int, width: int, drop_layer_axis: bool) -> Iterator[np.ndarray]:
        """Read the datasets, one after the other.

        n_layers (int): Layers in each.
        width (int): Their width.
        drop_layer_axis (bool): Whether to leave out the axis of the single layer.
        YIELDS (ndarray): [n_layers, n_tokens, width] or [n_tokens, width].
        RAISES (ValueError): If the vectors are not as they were written, at the latest at the
            end.
        """
        path = self.folder / VECTORS
        with ThreadPoolExecutor(1) as thread, path.open("rb") as file:
            check = None
            if self.digest is not None:
                check = thread.submit(check_file, path, self.digest, _remedy(self.folder))
            for n_tokens in self.lengths.tolist():
                n_bytes = VALUE.itemsize * n_layers * n_tokens * width
                data = file.read(n_bytes)
                if len(data) < n_bytes:
                    raise ValueError(f"{path} is cut off. {_remedy(self.folder)}")
                shape = (n_tokens, width) if drop_layer_axis else (n_layers, n_tokens, width)
                yield np.frombuffer(data, dtype=VALUE).reshape(shape)
            if check is not None:
                check.result()


@contextmanager
def only_run(folder: Path, output: Path) -> Iterator[None]:
    """Make a folder of parts and keep other runs out of it while the block runs. It is removed
    at the end if nothing is in it.

    folder (Path): The folder.
    output (Path): The file to write, for the message.
    RAISES (ValueError): If another run holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / LOCK, wait=False, remove=True):
            yield
    except Locked as error:
        raise ValueError(
            f"Another run of `embed` is writing {output}. Wait for its end, or give another OUTPUT."
        ) from error
    finally:
        with suppress(OSError):
            folder.rmdir()


class Parts:
    """The folder of parts, with what an earlier run has finished.

    folder (Path): Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        self.finished: list[Part] = []
        if self.settings is None and any(folder.glob(PART.format(0)[:5] + "*")):
            raise ValueError(
                f"{folder} holds parts but no {SETTINGS}, so it cannot be said what they "
                f"belong to. Remove the folder to start anew."
            )
        while (folder / PART.format(len(self.finished))).is_dir():
            self.finished.append(_read(folder / PART.format(len(self.finished))))

    @property
    def next(self) -> Position:
        return self.finished[-1].next if self.finished else Position(0, 0)

    @property
    def n_tokens(self) -> int:
        return sum(part.n_tokens for part in self.finished)

    @property
    def n_datasets(self) -> int:
        return sum(len(part.lengths) for part in self.finished)

    def begin(self, settings: dict[str, Any]) -> None:
        """Raise a ValueError if the earlier run had other settings; store them if there was none.

        settings (Dict[str, Any]): All that the vectors depend on, as JSON can hold it.
        """
        # as it looks when read again, lists for tuples
        settings = json.loads(json.dumps(settings))
        if self.settings is None:
            with atomic_file(self.folder / SETTINGS) as path:
                path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf8")
            return
        names = sorted({*self.settings, *settings})
        changed = [name for name in names if self.settings.get(name) != settings.get(name)]
        if changed:
            raise ValueError(
                f"{self.folder} holds the work of a run that differs from this one in "
                f"{', '.join(changed)}. Repeat the command of that run to go on with it, or "
                f"remove the folder to start anew."
            )

    def write(
        self,
        inputs: Inputs,
        encoder: Encoder,
        part_tokens: int,
        report: Callable[[int, Position], None],
    ) -> None:
        """Embed what is left of the inputs.

        inputs (Inputs): The inputs.
        encoder (Encoder): The biLM.
        part_tokens (int): A part ends when it has so many tokens.
        report (Callable[[int, Position], None]): Called with the number of tokens
            embedded since the last call, and where the inputs have been read to.
        """
        try:
            self._write(inputs, encoder, part_tokens, report)
        except InputChanged as error:
            # what has been read of it may have been changed already
            while self.finished and self.finished[-1].next > Position(error.file, 0):
                shutil.rmtree(self.finished.pop().folder)
            raise

    def _write(
        self,
        inputs: Inputs,
        encoder: Encoder,
        part_tokens: int,
        report: Callable[[int, Position], None],
    ) -> None:
        start = self.next
        groups = group_pieces(inputs.pieces(start), min(encoder.tokens_at_once, part_tokens))
        while start != inputs.end:
            folder = self.folder / PART.format(len(self.finished))
            with inputs.memory_zone(), atomic_directory(folder) as temporary:
                # the vectors of words are then computed in the batches that a run which
                # starts here would use, and come out the same to the last bit
                encoder.bilm.drop_caches()
                part = _write(temporary, groups, encoder, part_tokens, inputs.end, report)
                inputs.check_unchanged(start, part.next)
            self.finished.append(Part(folder, part.n_tokens, part.next))
            start = part.next

    def remove(self) -> None:
        """Remove what is in the folder when its work is done; may be cut short at any point."""
        (self.folder / DONE).touch()
        remove_done(self.folder)


def read_settings(folder: Path) -> dict[str, Any] | None:
    """RETURNS (Optional[Dict[str, Any]]): The settings kept in a folder of parts."""
    path = folder / SETTINGS
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is damaged. Remove {folder} to start anew.")
    return settings


def remove_done(folder: Path) -> None:
    """Empty a folder of parts if all that was to be made of it has been made."""
    if not (folder / DONE).is_file():
        return
    for path in folder.iterdir():
        if path.name in (DONE, LOCK):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    (folder / DONE).unlink()


def _write(
    folder: Path,
    groups: Iterator[list[Piece]],
    encoder: Encoder,
    part_tokens: int,
    stop: Position,
    report: Callable[[int, Position], None],
) -> Part:
    n_tokens = 0
    lengths = [np.zeros(0, dtype=np.int64)]
    digest = hashlib.sha256()
    with (
        (folder / VECTORS).open("wb") as vectors,
        (folder / TOKENS).open("wb") as tokens,
        ThreadPoolExecutor(1) as thread,
    ):
        digesting = thread.submit(digest.update, b"")
        for group in groups:
            block = encoder(group)
            end = group[-1].end
            group.clear()  # its Docs must not outlive the memory zone
            data = np.ascontiguousarray(block.vectors, dtype=VALUE).data
            vectors.write(data)
            digesting.result()
            digesting = thread.submit(digest.update, data)
            tokens.write("".join(f"{line}\n" for line in block.lines).encode("utf8", "replace"))
            lengths.append(block.lengths)
            n_new = int(block.lengths.sum())
            n_tokens += n_new
            report(n_new, end)
            if n_tokens >= part_tokens:
                break
        else:
            end = stop  # whatever is left holds nothing
    np.save(folder / LENGTHS, np.concatenate(lengths))
    values = {"tokens": n_tokens, "file": end.file, "offset": end.offset}
    write_manifest(folder / NEXT, values, **{VECTORS: digest.hexdigest()})
    return Part(folder, n_tokens, end, digest.hexdigest())


def _read(folder: Path) -> Part:
    """Find a part, and check all but its vectors, which are checked when they are read."""
    remedy = _remedy(folder)
    try:
        values, files = read_manifest(folder / NEXT, remedy)
        if not values.keys() == {"tokens", "file", "offset"}:
            raise ValueError(f"{folder / NEXT} is damaged. {remedy}")
        for name in (LENGTHS, TOKENS) if files is not None else ():
            check_file(folder / name, (files or {}).get(name), remedy)
        if not (folder / VECTORS).is_file():
            raise ValueError(f"{folder} has no {VECTORS}. {remedy}")
        position = Position(int(values["file"]), int(values["offset"]))
        digest = None if files is None else files.get(VECTORS, "")
        return Part(folder, int(values["tokens"]), position, digest)
    except (OSError, TypeError) as error:
        raise ValueError(f"{folder} is damaged: {error}. {remedy}") from error


def _remedy(folder: Path) -> str:
    return f"Remove {folder}, and the next run embeds that part of the input again."
