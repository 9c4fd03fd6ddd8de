"""The perplexity of text files under a language model on disk."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..bilm.languages import warn_of_language
from ..corpus.corpus_cache import NoText, open_corpus
from ..corpus.readers import TextSettings, find_texts
from ..runtime.workers import Workers
from .evaluate import Perplexity, evaluate
from .language_model import LanguageModel
from .lm_files import VOCAB
from .vocab import Vocab


def evaluate_texts(
    model: Path,
    texts: Sequence[Path],
    settings: TextSettings = TextSettings(),  # noqa: B008
    *,
    vocab: Path | None = None,
    cache: Path | None = None,
    gpu_id: int = -1,
    progress: bool = True,
) -> dict[Path, Perplexity]:
    """Compute the perplexity of each of some text files.

    model (Path): Directory of a language model, as pretraining writes it.
    texts (Sequence[Path]): Files, directories or patterns.
    settings (TextSettings): How to read the text.
    vocab (Path | None): A second vocabulary: a vocab.txt, or the directory of a language model.
        Only words that are in both vocabularies are scored.
    cache (Path | None): Directory for the tokenized text; a temporary one if None.
    gpu_id (int): Number of the GPU, -1 for the CPU.
    progress (bool): Whether to show progress bars.
    RETURNS (dict[Path, Perplexity]): The perplexity of each file. Files without words are left
        out, with a warning.
    RAISES (ValueError): If the directory holds no language model, there is no vocabulary, the text
        cannot be read or has no words, or the GPU is not found.
    """
    workers = Workers.join(gpu_id)
    try:
        language_model = LanguageModel.load(model).to(workers.device)
        second = None if vocab is None else _read_vocab(vocab)
        if not settings.tokenized:
            warn_of_language(language_model.bilm.languages, settings.lang, "--lang")
        paths = find_texts(texts)
        found: dict[Path, Perplexity] = {}
        with tempfile.TemporaryDirectory() as temporary:
            for path in paths:
                try:
                    corpus = open_corpus(path, settings, cache or temporary, progress=progress)
                except NoText:
                    continue
                found[path] = evaluate(language_model, corpus, workers, vocab=second)
        if not found:
            raise NoText(f"None of the {len(paths)} files contains a word, e.g. {paths[0]}.")
        return found
    finally:
        workers.leave()


def _read_vocab(path: Path) -> Vocab:
    file = path / VOCAB if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"There is no vocabulary {file}. Give a file with one word per line, or the directory "
            f"of a language model that `spacy elmo pretrain` wrote."
        )
    return Vocab.from_file(file)
