"""The facts about a biLM on disk that the command `info` prints."""

import json
import time
from pathlib import Path
from typing import Any

from ..bilm.bilm import BiLM
from .checksum import weights_checksum
from .formats import PRETRAINED, find_format, load_bilm

CONFIG = """[components.elmo]
factory = "elmo"

[components.elmo.model]
@architectures = "spacy-elmo.BiLM.v1"
width = {width}
depth = {depth}

[initialize]

[initialize.components]

[initialize.components.elmo]

[initialize.components.elmo.loader]
@misc = "spacy-elmo.PretrainedLoader.v1"
path = {path}"""


def bilm_info(name: str, options_file: Path | None = None) -> dict[str, Any]:
    """Collect the facts about a biLM.

    name (str): A file or directory of any known format, or the name of a packaged model.
    options_file (Optional[Path]): The options of HDF5 or AllenNLP weights, if they are not next to
        the weights.
    RETURNS (Dict[str, Any]): JSON-serializable facts: sizes, format, checksum, load time in
        seconds, layer mixes, and the config block that loads the biLM.
    RAISES (ValueError): If the biLM cannot be loaded.
    """
    start = time.perf_counter()
    bilm = load_bilm(name, options_file)
    seconds = time.perf_counter() - start
    path = Path(name) if Path(name).exists() else PRETRAINED / name
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    format = find_format(path)
    assert format is not None  # the biLM was loaded
    options = bilm.options
    return {
        "name": name,
        "format": format.name,
        "layers": options.n_reported,
        "width": options.width,
        "depth": options.n_layers,
        "languages": list(bilm.languages),
        "cell": options.hidden_dim,
        "projection": options.projection_dim,
        "filters": [list(pair) for pair in options.filters],
        "highway_layers": options.n_highway,
        "characters": _character_set(bilm),
        "max_characters": options.max_characters,
        "vocabulary": options.n_words,
        "parameters": bilm.n_parameters,
        "sha256": weights_checksum(bilm),
        "load_seconds": round(seconds, 3),
        "bytes_on_disk": sum(p.stat().st_size for p in files),
        "mixes": [{"weights": list(mix.weights), "gamma": mix.gamma} for mix in bilm.mixes],
        "config": config_block(bilm, name, options_file),
    }


def config_block(bilm: BiLM, name: str, options_file: Path | None = None) -> str:
    """Return the blocks of a spaCy config that load a biLM into an `elmo` component.

    bilm (BiLM): The biLM.
    name (str): Its path or name.
    options_file (Optional[Path]): The options, if they are not next to the weights.
    RETURNS (str): The blocks, or a comment if no config can contain the path.
    """
    if "${" in f"{name}\n{options_file}":
        return "# configs read the ${...} in this path as a variable: rename the file or directory"
    options = bilm.options
    text = CONFIG.format(width=options.width, depth=options.n_layers, path=_config_value(name))
    if options_file is not None:
        text += f"\noptions_file = {_config_value(str(options_file))}"
    if "$" in f"{name}{options_file or ''}":
        text += "\n# commands that write this block again, such as init fill-config, double each $"
    return text


def _config_value(text: str) -> str:
    """Quote a string so that spaCy reads it back unchanged. "$" is written as a JSON escape,
    because "$$" stays double in a config that is read without interpolation, as in training."""
    return json.dumps(text).replace("$", "\\u0024")


def _character_set(bilm: BiLM) -> str:
    if not bilm.options.filters:
        return "none"
    return f"{bilm.options.n_characters} {bilm.options.char_unit}"
