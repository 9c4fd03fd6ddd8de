"""Our own format: `config.json` and `model.safetensors` in a directory.

The same safetensors bytes, with the configuration in their header, are what a saved
pipeline holds. Loading never runs code from the file.
"""

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import safetensors
import safetensors.torch
import torch

from ..bilm.characters import LexiconCharacters, WordLexicon
from ..bilm.model import BiLM, Mix
from ..bilm.options import BiLMOptions
from ..torch_scope import own_torch_settings
from .atomic import PathLike, atomic_directory
from .build import START, build_bilm

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
# beside them where the biLM can still be trained or asked for probabilities
HEAD = "lm_head.safetensors"
VOCAB = "vocab.txt"
THROWAWAY = (".DS_Store", "._", ".nfs")
FORMAT = "spacy-elmo"
VERSION = 1
# what the readers of safetensors and JSON raise
DAMAGED = (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError)


def config_of(bilm: BiLM) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Everything but the weights, as JSON can hold it."""
    config: Dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "options": bilm.options.to_dict(),
        "mixes": [{"weights": list(mix.weights), "gamma": mix.gamma} for mix in bilm.mixes],
    }
    characters, words = bilm.tokens.characters, bilm.tokens.words
    if isinstance(characters, LexiconCharacters):
        config["characters"] = characters.characters
    if words is not None:
        names = ("words", "unknown", "start", "end", "max_characters")
        config["words"] = {name: getattr(words, name) for name in names}
    return config


def to_bytes(bilm: BiLM) -> bytes:
    """RETURNS (bytes): Weights and configuration as one safetensors file."""
    tensors = {name: value.contiguous() for name, value in bilm.state_dict().items()}
    return safetensors.torch.save(tensors, {"config": json.dumps(config_of(bilm))})


@own_torch_settings()
def from_bytes(data: bytes, source: str = "The saved biLM") -> BiLM:
    """Read what `to_bytes` made.

    data (bytes): The file's content.
    source (str): Name for error messages.
    RETURNS (BiLM): The model, frozen, on the CPU.
    """
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        config = json.loads(header["__metadata__"]["config"])
    except DAMAGED as error:
        raise ValueError(f"{source} is not a whole safetensors file of a biLM: {error}.") from error
    return _build(config, tensors, source)


def write(
    bilm: BiLM,
    path: PathLike,
    dtype: Optional[torch.dtype] = None,
    extras: Optional[Callable[[Path], None]] = None,
) -> None:
    """Save a biLM as a directory, whole or not at all.

    bilm (BiLM): The model.
    path (Union[str, Path]): The directory; replaced if there is a biLM in it.
    dtype (Optional[torch.dtype]): Type of the stored weights, e.g. float16 for half
        the size; float32 if None.
    extras (Optional[Callable[[Path], None]]): Writes further files to the folder that it
        is given, as part of the same directory.
    """
    path = Path(path).resolve()  # what a link points to is replaced, not the link
    check_replaceable(path)
    if extras is None and (path / HEAD).exists():
        raise ValueError(
            f"{path} holds a biLM with the softmax it was trained with, {HEAD}, which would be "
            f"lost. Save to another directory, or remove that one first."
        )
    tensors: Dict[str, torch.Tensor] = {}
    for name, value in bilm.state_dict().items():
        # the start states are few, and computed from the weights as they were
        kept = dtype is None or name in START
        tensors[name] = value.detach().to("cpu", value.dtype if kept else dtype).contiguous()
    with atomic_directory(path) as folder:
        text = json.dumps(config_of(bilm), indent=2, ensure_ascii=False)
        (folder / CONFIG).write_text(text + "\n", encoding="utf8")
        safetensors.torch.save_file(tensors, folder / WEIGHTS)
        if extras is not None:
            extras(folder)


def check_replaceable(path: Path) -> None:
    """Raise a ValueError unless writing to a path removes nothing but a biLM of ours."""
    if not path.exists():
        return
    found = () if path.is_file() else path.iterdir()
    names = {file.name for file in found if not _is_throwaway(file)}
    ours = False
    if names - {HEAD, VOCAB} == {CONFIG, WEIGHTS}:
        try:
            ours = json.loads((path / CONFIG).read_text(encoding="utf8")).get("format") == FORMAT
        except (ValueError, AttributeError, RecursionError):
            ours = False
    if path.is_file() or (names and not ours):
        raise ValueError(
            f"{path} is there already and holds something other than a biLM of spacy-elmo, which "
            f"writing would remove. Give a new or empty directory, or that of a biLM to replace."
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
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path / CONFIG} is not valid JSON: {error}.") from error
    try:
        tensors = safetensors.torch.load_file(path / WEIGHTS)
    except DAMAGED as error:
        raise ValueError(
            f"{path / WEIGHTS} is not a whole safetensors file: {error}. Copy it again."
        ) from error
    return _build(config, tensors, str(path / WEIGHTS))


def _build(config: Any, tensors: Dict[str, torch.Tensor], source: str) -> BiLM:
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"The configuration of {source} is not one of a '{FORMAT}' biLM.")
    if config.get("version") != VERSION:
        raise ValueError(
            f"The configuration of {source} has version {config.get('version')!r}; this release "
            f"reads version {VERSION}. Update spacy-elmo."
        )
    try:
        options = BiLMOptions.from_dict(config["options"])
        mixes = [
            Mix(tuple(float(weight) for weight in mix["weights"]), float(mix["gamma"]))
            for mix in config["mixes"]
        ]
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
    return build_bilm(options, tensors, source, characters, lexicon, mixes)


def _strings(values: Any) -> List[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a lexicon must be a list of strings")
    return values
