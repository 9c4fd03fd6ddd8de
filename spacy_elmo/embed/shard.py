"""One shard of the vectors of `embed`: a folder with the vectors of consecutive datasets."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.digest import check_file, read_manifest, write_manifest
from .inputs import Chunk, Position
from .vectors import Encoder

VECTORS, LENGTHS, TOKENS, NEXT = "vectors.f32", "lengths.npy", "tokens.txt", "next.json"
VALUE = np.dtype("<f4")

Report = Callable[[int, Position], None]
"""Called with the number of tokens embedded since the last call, and the position that has been
reached in the inputs."""


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    folder (Path): Its folder.
    n_tokens (int): Number of tokens in all its datasets.
    next (Position): Where the next shard starts in the inputs.
    digest (Optional[str]): SHA-256 digest of the vectors; None if written by a version without
        digests.
    """

    folder: Path
    n_tokens: int
    next: Position
    digest: str | None = None

    @property
    def lengths(self) -> np.ndarray:
        """RETURNS (ndarray): Number of tokens in each dataset, int64 [n_datasets]."""
        lengths: np.ndarray = np.load(self.folder / LENGTHS, allow_pickle=False)
        return lengths

    def datasets(self, n_layers: int, width: int, drop_layer_axis: bool) -> Iterator[np.ndarray]:
        """Read the datasets one by one.

        n_layers (int): Layers in each dataset.
        width (int): Width of the layers.
        drop_layer_axis (bool): Whether to drop the axis of the only layer.
        YIELDS (ndarray): float32 [n_layers, n_tokens, width] or [n_tokens, width].
        RAISES (ValueError): If the vectors have changed since they were written. This can be
            raised after the last dataset.
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
                    raise ValueError(f"{path} is truncated. {_remedy(self.folder)}")
                shape = (n_tokens, width) if drop_layer_axis else (n_layers, n_tokens, width)
                yield np.frombuffer(data, dtype=VALUE).reshape(shape)
            if check is not None:
                check.result()


def write_shard(
    folder: Path,
    groups: Iterator[list[Chunk]],
    encoder: Encoder,
    *,
    max_tokens: int,
    end_of_inputs: Position,
    report: Report,
) -> Shard:
    """Embed groups of chunks until a shard is full or the inputs end.

    folder (Path): An empty folder.
    groups (Iterator[List[Chunk]]): Chunks that are embedded together. The lists are emptied.
    encoder (Encoder): The biLM.
    max_tokens (int): The shard ends with the group that reaches this number of tokens.
    end_of_inputs (Position): Where the inputs end.
    report (Callable[[int, Position], None]): Called after each group; see `Report`.
    RETURNS (Shard): The shard.
    """
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
            found = encoder(group)
            end = group[-1].end
            group.clear()  # its Docs must not outlive the memory zone
            data = np.ascontiguousarray(found.vectors, dtype=VALUE).data
            vectors.write(data)
            digesting.result()
            digesting = thread.submit(digest.update, data)
            tokens.write("".join(f"{line}\n" for line in found.lines).encode("utf8", "replace"))
            lengths.append(found.lengths)
            n_new = int(found.lengths.sum())
            n_tokens += n_new
            report(n_new, end)
            if n_tokens >= max_tokens:
                break
        else:
            end = end_of_inputs  # the rest of the inputs contains no tokens
    np.save(folder / LENGTHS, np.concatenate(lengths))
    values = {"tokens": n_tokens, "file": end.file, "offset": end.offset}
    write_manifest(folder / NEXT, values, **{VECTORS: digest.hexdigest()})
    return Shard(folder, n_tokens, end, digest.hexdigest())


def read_shard(folder: Path) -> Shard:
    """Read a finished shard. The vectors are checked later, when they are read.

    folder (Path): The folder of the shard.
    RETURNS (Shard): The shard.
    RAISES (ValueError): If a file is missing or has changed since it was written.
    """
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
        return Shard(folder, int(values["tokens"]), position, digest)
    except (OSError, TypeError) as error:
        raise ValueError(f"{folder} is damaged: {error}. {remedy}") from error


def _remedy(folder: Path) -> str:
    return f"Remove {folder}, and the next run embeds its text again."
