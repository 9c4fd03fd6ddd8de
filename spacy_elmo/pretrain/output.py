"""The directory of a training: whether it may be written to, by whom, and with which settings
it was begun.

Owns the names of what is in it and the file with the settings. What goes into the other
files is other modules' business.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files.atomic import atomic_file, remove_leftover, target_of
from ..files.lock import Locked, locked
from ..weights.store import check_replaceable
from .checkpoint import FOLDER, is_checkpoint
from .config import PretrainConfig
from .log import CURVES, LOG

CONFIG, LOCK, BEST, LAST = "config.json", ".lock", "model-best", "model-last"
# besides the checkpoints
WRITTEN = (CONFIG, BEST, LAST, LOG, CURVES)
# what may be otherwise when a training goes on: its text has a fingerprint of its own, and the
# rest decides of no weight
FREE = {
    "text": ("train", "heldout", "cache"),
    "vocab": ("file",),
    "training": ("max_minutes", "checkpoint_every", "tensorboard"),
}


def check_output(output: Path, config: PretrainConfig) -> None:
    """Raise a ValueError if a directory holds anything but a training with these settings.

    output (Path): The directory; it need not be there.
    config (PretrainConfig): The settings.
    """
    for name in (BEST, LAST):
        check_replaceable(output / name)
    path = output / CONFIG
    if not path.is_file():
        found = output.iterdir() if output.is_dir() else ()
        # hidden files are our lock, parts of a first file, and those of file managers
        others = [p.name for p in found if not p.name.startswith(".")]
        if others:
            raise ValueError(
                f"{output} holds {others[0]!r}, but no pretraining to go on with. Give a new or "
                f"empty directory."
            )
        return
    try:
        there = dict(json.loads(path.read_text(encoding="utf8")))
        if not all(isinstance(settings, dict) for settings in there.values()):
            raise ValueError("it has no blocks of settings")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}. Give a new directory.") from error
    changed = [
        f"[{block}] {name} = {there.get(block, {}).get(name)!r}"
        for block, settings in json.loads(_text(config)).items()
        for name, value in settings.items()
        if there.get(block, {}).get(name) != value and name not in FREE.get(block, ())
    ]
    if changed:
        raise ValueError(
            f"The training in {output} was begun with other settings: {'; '.join(changed[:3])}. "
            f"Give the same ones to go on, or a new directory."
        )


def write_config(output: Path, config: PretrainConfig) -> None:
    """Make the directory and write the settings into it."""
    output.mkdir(parents=True, exist_ok=True)
    with atomic_file(output / CONFIG) as temporary:
        temporary.write_text(_text(config) + "\n", encoding="utf8")


@contextmanager
def taken(output: Path) -> Iterator[None]:
    """Make the directory, keep other processes out of it while the block runs, and remove what
    killed ones left behind."""
    output.mkdir(parents=True, exist_ok=True)
    try:
        with locked(output / LOCK, wait=False):
            tidy(output)
            yield
    except Locked as error:
        raise ValueError(
            f"Another process is training in {output}. Wait for its end, or give a new directory."
        ) from error


def tidy(output: Path) -> None:
    """Remove what killed trainings left behind, and put back a model that one of them was about
    to replace. What other programs hide in a directory stays."""
    for folder in (output, output / FOLDER):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            original = target_of(path)
            if original is not None and (original.name in WRITTEN or is_checkpoint(original)):
                remove_leftover(path)


def _text(config: PretrainConfig) -> str:
    return json.dumps(config.to_dict(), indent=2)  # ASCII: names of files need not be UTF-8
