"""The files that a language model adds to the directory of its biLM."""

from pathlib import Path

from ..files.paths import PathLike

HEAD = "lm_head.safetensors"
VOCAB = "vocab.txt"
NAMES = (HEAD, VOCAB)


def is_language_model(path: PathLike) -> bool:
    """Return whether a directory holds a softmax and a vocabulary.

    path (str | Path): The directory.
    RETURNS (bool): Whether it holds both files.
    """
    return (Path(path) / HEAD).is_file() and (Path(path) / VOCAB).is_file()
