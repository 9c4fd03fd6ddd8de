"""The perplexity of text files under a language model on disk."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..bilm.languages import warn_of_language
from ..corpus.corpus_cache import open_corpus
from ..corpus.readers import TextSettings
from ..runtime.workers import Workers
from .evaluate import Perplexity, evaluate
from .language_model import LanguageModel


def evaluate_texts(
    model: Path,
    texts: Sequence[Path],
    settings: TextSettings = TextSettings(),  # noqa: B008
    *,
    cache: Path | None = None,
    gpu_id: int = -1,
    progress: bool = True,
) -> Perplexity:
    """Compute the perplexity of text files.

    model (Path): Directory of a language model, as pretraining writes it.
    texts (Sequence[Path]): Files, directories or patterns.
    settings (TextSettings): How to read the text.
    cache (Optional[Path]): Directory for the tokenized text; a temporary one if None.
    gpu_id (int): Number of the GPU, -1 for the CPU.
    progress (bool): Whether to show progress bars.
    RETURNS (Perplexity): The perplexity of each direction.
    RAISES (ValueError): If the directory holds no language model, the text cannot be read, or the
        GPU is not found.
    """
    workers = Workers.join(gpu_id)
    try:
        language_model = LanguageModel.load(model).to(workers.device)
        if not settings.tokenized:
            warn_of_language(language_model.bilm.languages, settings.lang, "--lang")
        with tempfile.TemporaryDirectory() as temporary:
            corpus = open_corpus(texts, settings, cache or temporary, progress=progress)
            return evaluate(language_model, corpus, workers)
    finally:
        workers.leave()
