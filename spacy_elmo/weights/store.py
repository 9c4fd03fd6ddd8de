"""Our own format: `config.json` and `model.safetensors` in a directory.

The same safetensors bytes, with the configuration in their header, are what a saved
pipeline holds. Loading never runs code from the file.
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
from ..runtime.torch_scope import own_torch_settings
from .build import START, build_bilm

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
THROWAWAY = (".DS_Store", "._", ".nfs")
FORMAT = "spacy-elmo"
VERSION = 1
CONFIG_KEYS = {"format", "version", "options", "mixes", "characters", "words", "languages"}
METADATA = "config"  # where one file holds weights and configuration
SAVE_AGAIN = "The file is damaged. Copy it again, or save the pipeline again."


def config_of(bilm: BiLM) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): Everything but the weights, as JSON can hold it."""
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
    """RETURNS (bytes): Weights and configuration as one sealed safetensors file."""
    tensors = {name: value.cpu().contiguous() for name, value in bilm.state_dict().items()}
    return tensor_file.to_bytes(tensors, {METADATA: json.dumps(config_of(bilm))})


@own_torch_settings()
def from_bytes(data: bytes, source: str = "The saved biLM") -> BiLM:
    """Read what `to_bytes` made.

    data (bytes): The file's content.
    source (str): Name for error messages.
    RETURNS (BiLM): The model, frozen, on the CPU.
    """
    file = TensorFile(data, source, known=(METADATA,), remedy=SAVE_AGAIN)
    try:
        config = json.loads(file.metadata[METADATA])
    except (ValueError, KeyError, RecursionError) as error:
        file.check()
        raise ValueError(f"{source} is not a whole safetensors file of a biLM: {error}.") from error
    return build(config, file.tensors, source, file.check)


def write(
    bilm: BiLM,
    path: PathLike,
    dtype: torch.dtype | None = None,
    extras: Callable[[Path], None] | None = None,
    extra_names: Collection[str] = (),
    start: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> None:
    """Save a biLM as a directory, whole or not at all.

    bilm (BiLM): The model.
    path (Union[str, Path]): The directory; replaced if there is a biLM in it.
    dtype (Optional[torch.dtype]): Type of the stored weights, e.g. float16 for half
        the size; float32 if None.
    extras (Optional[Callable[[Path], None]]): Writes additional files to the folder that it
        is given, as part of the same directory.
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
        # the start states are few, and computed from the weights as they were
        kept = dtype is None or name in START
        tensors[name] = value.detach().to("cpu", value.dtype if kept else dtype).contiguous()
    with atomic_directory(path) as folder:
        safetensors.torch.save_file(tensors, folder / WEIGHTS)
        if extras is not None:
            extras(folder)
        write_manifest(folder / CONFIG, config_of(bilm))


def check_replaceable(path: Path, extra_names: Collection[str] = ()) -> None:
    """Raise a ValueError unless writing to a path removes nothing but a biLM in this format.

    path (Path): The directory, which need not exist.
    extra_names (Collection[str]): Additional files that are replaced as well.
    RAISES (ValueError): If the path is a file, or the directory holds anything else.
    """
    if not path.exists():
        return
    found = () if path.is_file() else path.iterdir()
    names = {file.name for file in found if not _is_throwaway(file)}
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
            f"{path} exists already and holds something other than a biLM of spacy-elmo"
            f"{found_names}, which writing would remove. Give a new or empty directory, or the "
            f"directory of a biLM to replace."
        )


def _is_throwaway(path: Path) -> bool:
    """Whether macOS or NFS has hidden it in a directory by itself."""
    return path.name.startswith(THROWAWAY) and not path.is_dir()


def is_store(path: Path) -> bool:
    """RETURNS (bool): Whether a directory holds a model in this format."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def read(path: PathLike) -> BiLM:
    """Load a directory that `write` made.

    path (Union[str, Path]): The directory.
    RETURNS (BiLM): The model, frozen, float32, on the CPU.
    """
    path = Path(path)
    config, digests = read_manifest(path / CONFIG)
    file = TensorFile(path / WEIGHTS, str(path / WEIGHTS), known=("format",))
    verify = partial(_check_files, path, digests, (WEIGHTS,))
    return build(config, file.tensors, str(path / WEIGHTS), verify)


def check(path: Path, *names: str) -> None:
    """Raise a ValueError unless files of a directory are as they were written.

    path (Path): The directory. If it was written without digests, nothing is checked.
    names (str): The files.
    """
    _check_files(path, read_manifest(path / CONFIG)[1], names)


def _check_files(path: Path, digests: dict[str, str] | None, names: Sequence[str]) -> None:
    if digests is None:
        return
    for name in names:
        if name not in digests:
            raise ValueError(
                f"{path / name} belongs to another model: {path / CONFIG} names no digest of it. "
                f"Copy the directory again."
            )
        check_file(path / name, digests[name])


def build(
    config: Any,
    tensors: dict[str, torch.Tensor],
    source: str,
    verify: Callable[[], None] | None = None,
) -> BiLM:
    """Make a biLM of the content of a file.

    config (Any): What `config_of` gave.
    tensors (Dict[str, Tensor]): Tensors by their names in the biLM's state dict.
    source (str): The file, for error messages.
    verify (Optional[Callable[[], None]]): As for `build_bilm`.
    RETURNS (BiLM): The model, frozen, on the CPU.
    """
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"The configuration of {source} is not one of a '{FORMAT}' biLM.")
    if config.get("version") != VERSION:
        raise ValueError(
            f"The configuration of {source} has version {config.get('version')!r}; this release "
            f"reads version {VERSION}. Update spacy-elmo."
        )
    others = sorted(config.keys() - CONFIG_KEYS)
    if others:
        raise ValueError(
            f"The configuration of {source} has the key {others[0]!r}, which this release does "
            f"not know: it is damaged, or of a newer version. Update spacy-elmo."
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
