"""The directory of a training: whether it may be written to, and with which settings it was
begun.

Owns the file with the settings. What else is in the directory is other modules' business.
"""

import json
from pathlib import Path

from ..weights.atomic import atomic_file, is_part
from .config import PretrainConfig

CONFIG = "config.json"


def check_output(output: Path, config: PretrainConfig) -> None:
    """Raise a ValueError if a directory holds anything but a training with these settings.

    output (Path): The directory; it need not be there.
    config (PretrainConfig): The settings.
    """
    path = output / CONFIG
    if not path.is_file():
        found = output.iterdir() if output.is_dir() else ()
        # a run that was killed at its first file left a part of it
        others = [p.name for p in found if not is_part(p)]
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
        if there.get(block, {}).get(name) != value
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


def _text(config: PretrainConfig) -> str:
    return json.dumps(config.to_dict(), indent=2, ensure_ascii=False)
