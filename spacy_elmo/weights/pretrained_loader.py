"""Registered loaders for [initialize]. They open a file only when they are called."""

from ..bilm.bilm import BiLM
from .formats import DEFAULT_MODEL, load_bilm


class PretrainedLoader:
    """Loads a biLM when it is called; see `load_bilm` for the arguments.

    This is not a dataclass, because spaCy converts dataclasses in [initialize] to dictionaries.
    """

    def __init__(
        self, path: str, options_file: str | None = None, vocab_file: str | None = None
    ) -> None:
        self.path = path
        self.options_file = options_file
        self.vocab_file = vocab_file

    def __call__(self) -> BiLM:
        return load_bilm(self.path, self.options_file, self.vocab_file)

    def __str__(self) -> str:
        return f"The biLM {self.path}"


def make_pretrained_loader(
    path: str = DEFAULT_MODEL,
    options_file: str | None = None,
    vocab_file: str | None = None,
) -> PretrainedLoader:
    """Construct `spacy-elmo.PretrainedLoader.v1`: a loader for a biLM.

    path (str): A weight file or directory of any known format, or the name of a packaged model.
    options_file (Optional[str]): The options.json of an HDF5 or AllenNLP weight file, if it is not
        next to the weights.
    vocab_file (Optional[str]): The vocabulary of a model with word input, if it is not next to the
        weights.
    RETURNS (Callable[[], BiLM]): The loader.
    """
    return PretrainedLoader(path, options_file, vocab_file)
