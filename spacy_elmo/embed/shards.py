"""The finished shards of `embed` on disk, from which a killed run resumes.

The folder `<OUTPUT>.parts` contains the settings of the run, a lock, and one folder for each shard
of the vectors. The folder of a shard is written atomically. It contains the position in the inputs
at which the next shard starts.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..files.atomic import atomic_directory, atomic_file
from ..files.lock import Locked, locked
from .inputs import InputChanged, Inputs, Position
from .shard import Report, Shard, read_shard, write_shard
from .vectors import Encoder, group_chunks

SETTINGS, DONE, LOCK = "settings.json", "done", ".lock"
PREFIX = "part-"


@contextmanager
def only_run(folder: Path, output: Path) -> Iterator[None]:
    """Create the folder of shards, and lock it while the block runs. The folder is removed at the
    end if it is empty.

    folder (Path): The folder.
    output (Path): The output file, for the error message.
    RAISES (ValueError): If another run has locked the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / LOCK, wait=False, remove=True):
            yield
    except Locked as error:
        raise ValueError(
            f"Another run of `embed` is writing {output}. Wait until it ends, or give another "
            f"OUTPUT."
        ) from error
    finally:
        with suppress(OSError):
            folder.rmdir()


class Shards:
    """The folder of shards, with the finished shards of earlier runs.

    folder (Path): The folder.
    RAISES (ValueError): If the settings are missing or damaged, or a shard is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        self.finished: list[Shard] = []
        if self.settings is None and any(folder.glob(f"{PREFIX}*")):
            raise ValueError(
                f"{folder} contains vectors but no {SETTINGS}, so their settings are unknown. "
                f"Remove the folder to start over."
            )
        while self._next_folder().is_dir():
            self.finished.append(read_shard(self._next_folder()))

    @property
    def next(self) -> Position:
        """RETURNS (Position): Where the next shard starts in the inputs."""
        return self.finished[-1].next if self.finished else Position(0, 0)

    @property
    def n_tokens(self) -> int:
        return sum(shard.n_tokens for shard in self.finished)

    @property
    def n_datasets(self) -> int:
        return sum(len(shard.lengths) for shard in self.finished)

    def begin(self, settings: dict[str, Any]) -> None:
        """Store the settings of a new run, or compare them with the settings of the run to resume.

        settings (Dict[str, Any]): Everything that the vectors depend on; JSON-serializable.
        RAISES (ValueError): If the earlier run had other settings.
        """
        settings = json.loads(json.dumps(settings))  # tuples become lists, as in stored settings
        if self.settings is None:
            with atomic_file(self.folder / SETTINGS) as path:
                path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf8")
            return
        names = sorted({*self.settings, *settings})
        changed = [name for name in names if self.settings.get(name) != settings.get(name)]
        if changed:
            raise ValueError(
                f"{self.folder} contains the vectors of an unfinished run with other settings: "
                f"{', '.join(changed)}. Repeat the command of that run to resume it, or remove the "
                f"folder to start over."
            )

    def write(self, inputs: Inputs, encoder: Encoder, shard_tokens: int, report: Report) -> None:
        """Embed the rest of the inputs.

        inputs (Inputs): The inputs.
        encoder (Encoder): The biLM.
        shard_tokens (int): A shard ends when it has at least this number of tokens.
        report (Callable[[int, Position], None]): Called with the progress; see `Report`.
        RAISES (InputChanged): If an input file changes while it is read. Shards that contain text
            of the file are removed.
        """
        try:
            self._write(inputs, encoder, shard_tokens, report)
        except InputChanged as error:
            # the file may have changed before these shards were written
            while self.finished and self.finished[-1].next > Position(error.file, 0):
                shutil.rmtree(self.finished.pop().folder)
            raise

    def remove(self) -> None:
        """Remove the content of the folder after the output has been written. If this is
        interrupted, `remove_if_done` completes it."""
        (self.folder / DONE).touch()
        remove_if_done(self.folder)

    def _write(self, inputs: Inputs, encoder: Encoder, shard_tokens: int, report: Report) -> None:
        start = self.next
        groups = group_chunks(inputs.chunks(start), min(encoder.group_tokens, shard_tokens))
        while start != inputs.end:
            folder = self._next_folder()
            with inputs.memory_zone(), atomic_directory(folder) as temporary:
                # a run that resumes here starts with empty caches. Words are then encoded in the
                # same batches, so that the vectors are bitwise identical.
                encoder.bilm.drop_caches()
                shard = write_shard(
                    temporary,
                    groups,
                    encoder,
                    max_tokens=shard_tokens,
                    end_of_inputs=inputs.end,
                    report=report,
                )
                inputs.check_unchanged(start, shard.next)
            self.finished.append(Shard(folder, shard.n_tokens, shard.next))
            start = shard.next

    def _next_folder(self) -> Path:
        return self.folder / f"{PREFIX}{len(self.finished):05}"


def read_settings(folder: Path) -> dict[str, Any] | None:
    """Read the settings in a folder of shards.

    folder (Path): The folder.
    RETURNS (Optional[Dict[str, Any]]): The settings; None if there are none.
    RAISES (ValueError): If the settings are damaged.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is damaged. Remove {folder} to start over.")
    return settings


def remove_if_done(folder: Path) -> None:
    """Remove the content of a folder of shards, except its lock, if its output has been written."""
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
