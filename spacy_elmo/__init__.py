"""ELMo for spaCy: contextual vectors from a bidirectional language model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .embed.embedder import ElmoEmbedder
    from .lm.language_scorer import LanguageScorer
    from .pipeline.similarity import similarity
    from .weights import load_bilm, save_bilm

__version__ = "0.1.0"
__all__ = ["ElmoEmbedder", "LanguageScorer", "load_bilm", "save_bilm", "similarity", "__version__"]


def __getattr__(name: str) -> Any:
    # the first use of a name imports torch, spaCy and h5py, so that `import spacy_elmo` is fast
    if name == "ElmoEmbedder":
        from .embed.embedder import ElmoEmbedder

        return ElmoEmbedder
    if name == "LanguageScorer":
        from .lm.language_scorer import LanguageScorer

        return LanguageScorer
    if name == "similarity":
        from .pipeline.similarity import similarity

        return similarity
    if name in ("load_bilm", "save_bilm"):
        from . import weights

        return getattr(weights, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
