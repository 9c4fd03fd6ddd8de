"""Reading and writing our own format: a directory with `config.json` and `model.safetensors`.

A saved pipeline contains the same safetensors bytes with the configuration in their metadata.
Loading never runs code.
"""

import json
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ..bilm.bilm import BiLM, Mix
from ..bilm.characters import LexiconCharacters, WordLexicon
from ..bilm.languages import languages_of
from ..bilm.options import BiLMOptions
from ..files import tensor_file
from ..files.atomic import atomic_directory, link_target
from ..files.digest import MAX_JSON_BYTES, check_file, read_bounded, read_manifest, write_manifest
from ..files.paths import PathLike
from ..files.tensor_file import TensorFile
from ..runtime.torch_scope import own_training_settings
from .build import START, build_bilm

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
SYSTEM_FILES = (".DS_Store", "._", ".nfs")
FORMAT = "spacy-elmo"
VERSION = 1
CONFIG_KEYS = {"format", "version", "options", "mixes", "characters", "words", "languages"}
METADATA = "config"  # the metadata key of the configuration
SAVE_AGAIN = "The file is damaged. Copy it again, or save the pipeline again."


def config_of(bilm: BiLM) -> dict[str, Any]:
    """Return the configuration of a biLM: everything except the weights.

    bilm (BiLM): The model.
    RETURNS (Dict[str, Any]): The configuration, JSON-serializable.
    """
    config: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "options": bilm.options.to_dict(),
        "mixes": [{"weights": list(mix.weights), "gamma": mix.gamma} for mix in bilm.mixes],
    }
    if bilm.languages:
        config["languages"] = list(bilm.languages)
    characters, words = bilm.tokens.characters, bilm.tokens.words
    if isinstance(characters, LexiconCharacters):
        config["characters"] = characters.characters
    if words is not None:
        names = ("words", "unknown", "start", "end", "max_characters")
        config["words"] = {name: getattr(words, name) for name in names}
    return config


def to_bytes(bilm: BiLM) -> bytes:
    """Serialize the weights and the configuration of a biLM to one sealed safetensors file.

    bilm (BiLM): The model.
    RETURNS (bytes): The content of the file.
    """
    tensors = {name: value.cpu().contiguous() for name, value in bilm.state_dict().items()}
    return tensor_file.to_bytes(tensors, {METADATA: json.dumps(config_of(bilm))})


@own_training_settings()
def from_bytes(data: bytes, source: str = "The saved biLM") -> BiLM:
    """Load a biLM from the bytes of `to_bytes`.

    data (bytes): The content of the file.
    source (str): Name of the file for error messages.
    RETURNS (BiLM): The model, frozen, on the CPU.
    RAISES (ValueError): If the bytes are damaged.
    """
    file = TensorFile(data, source, known=(METADATA,), remedy=SAVE_AGAIN)
    try:
        config = json.loads(file.metadata[METADATA])
    except (ValueError, KeyError, RecursionError) as error:
        file.check()
        raise ValueError(f"{source} is not a complete biLM: {error}. {SAVE_AGAIN}") from error
    return build(config, file.tensors, source, file.check)


def write(
    bilm: BiLM,
    path: PathLike,
    dtype: torch.dtype | None = None,
    extras: Callable[[Path], None] | None = None,
    extra_names: Collection[str] = (),
    start: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> None:
    """Save a biLM as a directory, atomically.

    bilm (BiLM): The model.
    path (Union[str, Path]): The directory. A biLM in it is replaced.
    dtype (Optional[torch.dtype]): Type of the stored weights, e.g. float16 for half
        the size; float32 if None.
    extras (Optional[Callable[[Path], None]]): Writes additional files to the directory. It is
        called with the temporary folder that becomes the directory.
    extra_names (Collection[str]): Names of these files.
    start (Optional[Tuple[Tensor, Tensor]]): Start states to write, `start_h` and `start_c`;
        the start states of the model if None.
    RAISES (ValueError): If the directory holds anything other than a biLM and files with these
        names.
    """
    path = link_target(path)
    check_replaceable(path, extra_names)
    tensors: dict[str, torch.Tensor] = {}
    state = bilm.state_dict()
    state.update(zip(START, start or ()))
    for name, value in state.items():
        # start states stay float32: they are small, and were computed from the float32 weights
        unchanged = dtype is None or name in START
        tensors[name] = value.detach().to("cpu", value.dtype if unchanged else dtype).contiguous()
    with atomic_directory(path) as folder:
        safetensors.torch.save_file(tensors, folder / WEIGHTS)
        if extras is not None:
            extras(folder)
        write_manifest(folder / CONFIG, config_of(bilm))


def check_replaceable(path: Path, extra_names: Collection[str] = ()) -> None:
    """Check that writing to a path replaces nothing except a biLM in this format.

    path (Path): The directory, which need not exist.
    extra_names (Collection[str]): Additional files that are replaced as well.
    RAISES (ValueError): If the path is a file, or the directory contains other files.
    """
    if not path.exists():
        return
    found = () if path.is_file() else path.iterdir()
    names = {file.name for file in found if not _is_system_file(file)}
    others = names - {CONFIG, WEIGHTS}
    ours = False
    if names >= {CONFIG, WEIGHTS} and others <= set(extra_names):
        try:
            text = read_bounded(path / CONFIG, MAX_JSON_BYTES)
            ours = json.loads(text).get("format") == FORMAT
        except (ValueError, AttributeError, RecursionError):
            ours = False
    if path.is_file() or (names and not ours):
        found_names = f" ({', '.join(sorted(others)[:3])})" if others else ""
        raise ValueError(
            f"{path} exists and holds something other than a biLM of spacy-elmo"
            f"{found_names}, which writing would remove. Give a new or empty directory, or the "
            f"directory of a biLM to replace."
        )


def _is_system_file(path: Path) -> bool:
    """Return whether a file is one of the hidden files that macOS and NFS create."""
    return path.name.startswith(SYSTEM_FILES) and not path.is_dir()


def is_store(path: Path) -> bool:
    """Return whether a directory contains a model in this format."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def read(path: PathLike) -> BiLM:
    """Load a directory that was written by `write`.

    path (Union[str, Path]): The directory.
    RETURNS (BiLM): The model, frozen, float32, on the CPU.
    RAISES (ValueError): If a file is damaged, or was written by a newer version.
    """
    path = Path(path)
    config, digests = read_manifest(path / CONFIG)
    file = TensorFile(path / WEIGHTS, str(path / WEIGHTS), known=("format",))
    verify = partial(_check_files, path, digests, (WEIGHTS,))
    return build(config, file.tensors, str(path / WEIGHTS), verify)


def check(path: Path, *names: str) -> None:
    """Compare files of a directory with their digests. A directory without digests is not checked.

    path (Path): The directory.
    names (str): Names of the files.
    RAISES (ValueError): If a file has changed since it was written.
    """
    _check_files(path, read_manifest(path / CONFIG)[1], names)


def _check_files(path: Path, digests: dict[str, str] | None, names: Sequence[str]) -> None:
    if digests is None:
        return
    for name in names:
        if name not in digests:
            raise ValueError(
                f"{path / name} belongs to another model: {path / CONFIG} has no digest of it. "
                f"Copy the directory again."
            )
        check_file(path / name, digests[name])


def build(
    config: Any,
    tensors: dict[str, torch.Tensor],
    source: str,
    verify: Callable[[], None] | None = None,
) -> BiLM:
    """Build a biLM from its configuration and tensors.

    config (Any): The configuration, as returned by `config_of`.
    tensors (Dict[str, Tensor]): Tensors by their names in the state dict of the biLM.
    source (str): Name of the file for error messages.
    verify (Optional[Callable[[], None]]): As for `build_bilm`.
    RETURNS (BiLM): The model, frozen, on the CPU.
    RAISES (ValueError): If the configuration is damaged or was written by a newer version, or does
        not match the tensors.
    """
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"The configuration of {source} is not for a '{FORMAT}' biLM.")
    if config.get("version") != VERSION:
        raise ValueError(
            f"The configuration of {source} has version {config.get('version')!r}; this release "
            f"reads version {VERSION}. Update spacy-elmo."
        )
    others = sorted(config.keys() - CONFIG_KEYS)
    if others:
        raise ValueError(
            f"The configuration of {source} has the unknown key {others[0]!r}. It is damaged, or "
            f"was written by a newer version. Update spacy-elmo."
        )
    try:
        options = BiLMOptions.from_dict(config["options"])
        mixes = [
            Mix(tuple(float(weight) for weight in mix["weights"]), float(mix["gamma"]))
            for mix in config["mixes"]
        ]
        languages = languages_of(config.get("languages", []))
        alphabet, words = config.get("characters"), config.get("words")
        characters = lexicon = None
        if alphabet is not None:
            characters = LexiconCharacters(_strings(alphabet), options.max_characters)
        if words is not None:
            lexicon = WordLexicon(**{**words, "words": _strings(words["words"])})
            lexicon.max_characters = int(lexicon.max_characters)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"The configuration of {source} is incomplete: {error}.") from error
    except ValueError as error:
        raise ValueError(f"The configuration of {source} is damaged: {error}") from error
    bilm = build_bilm(options, tensors, source, characters, lexicon, mixes, verify)
    bilm.languages = languages
    return bilm


def _strings(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a lexicon must be a list of strings")
    return values
