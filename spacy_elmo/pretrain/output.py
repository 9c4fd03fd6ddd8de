"""The output directory of a training: its files, its lock, and the settings it was started with."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files.atomic import atomic_file, remove_leftover, target_of
from ..files.lock import Locked, locked
from ..lm.lm_files import NAMES
from ..weights.store import check_replaceable
from .checkpoint import FOLDER, is_checkpoint
from .config import PretrainConfig
from .log import CURVES, LOG

CONFIG, LOCK, BEST, LAST = "config.json", ".lock", "model-best", "model-last"
# files and directories that are written in addition to the checkpoints
WRITTEN = (CONFIG, BEST, LAST, LOG, CURVES)
# settings that may change when a training resumes. The text and the vocabulary are compared by
# their fingerprints. The other settings do not affect the steps that are completed.
MUTABLE = {
    "text": ("train", "heldout", "cache"),
    "vocab": ("file",),
    "training": ("max_minutes", "checkpoint_every", "tensorboard"),
}


def check_output(output: Path, config: PretrainConfig) -> None:
    """Check that a directory is empty, or holds a training with the same settings.

    output (Path): The directory, which need not exist.
    config (PretrainConfig): The settings.
    RAISES (ValueError): If the directory contains other files, a damaged config, or a training with
        other settings.
    """
    for name in (BEST, LAST):
        check_replaceable(output / name, NAMES)
    path = output / CONFIG
    if not path.is_file():
        found = output.iterdir() if output.is_dir() else ()
        # hidden files are the lock, temporary files, and files of file managers
        others = [p.name for p in found if not p.name.startswith(".")]
        if others:
            raise ValueError(
                f"{output} holds {others[0]!r}, but no training to resume. Give a new or empty "
                f"directory."
            )
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf8")))
        if not all(isinstance(settings, dict) for settings in before.values()):
            raise ValueError("it has no blocks of settings")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}. Give a new directory.") from error
    changed: list[str] = []
    for block, settings in json.loads(_to_json(config)).items():
        fields = type(getattr(config, block)).model_fields
        for name, value in settings.items():
            # a training of an earlier version had the default of a setting that was added since
            default = None if fields[name].is_required() else fields[name].default
            found = before.get(block, {}).get(name, default)
            if found != value and name not in MUTABLE.get(block, ()):
                changed.append(f"[{block}] {name} = {found!r}")
    if changed:
        raise ValueError(
            f"The training in {output} was started with other settings: {'; '.join(changed[:3])}. "
            f"Give the same settings to resume it, or a new directory."
        )


@contextmanager
def locked_output(output: Path) -> Iterator[None]:
    """Create the output directory, lock it within the context, and clean up after killed
    processes.

    output (Path): The directory.
    RAISES (ValueError): If another process holds the lock.
    """
    output.mkdir(parents=True, exist_ok=True)
    try:
        with locked(output / LOCK, wait=False):
            tidy(output)
            yield
    except Locked as error:
        raise ValueError(
            f"Another process is training in {output}. Wait until it ends, or give a new directory."
        ) from error


def tidy(output: Path) -> None:
    """Remove temporary files of killed trainings, and restore a model that was being replaced.
    Hidden files of other programs are not removed.

    output (Path): The directory.
    """
    for folder in (output, output / FOLDER):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            original = target_of(path)
            if original is not None and (original.name in WRITTEN or is_checkpoint(original)):
                remove_leftover(path)


def write_config(output: Path, config: PretrainConfig) -> None:
    """Create the directory and write the settings into it.

    output (Path): The directory.
    config (PretrainConfig): The settings.
    """
    output.mkdir(parents=True, exist_ok=True)
    with atomic_file(output / CONFIG) as temporary:
        temporary.write_text(_to_json(config) + "\n", encoding="utf8")


def _to_json(config: PretrainConfig) -> str:
    return json.dumps(config.to_dict(), indent=2)  # ASCII, because file names need not be UTF-8
