"""The language model that a training begins with: a new one, or one that there is.

Owns what is taken over of weights that were trained before. How training goes on from
there is not known here.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from ..bilm.bilm import BiLM
from ..corpus.corpus import Corpus
from ..files.paths import PathLike
from ..lm.language_model import LanguageModel
from ..lm.lm_head import make_head
from ..lm.vocab import Vocab
from ..runtime.torch_scope import CPU, own_random_state, own_training_settings, seed_random
from ..weights import load_bilm
from ..weights.store import VOCAB
from .config import PretrainConfig


@own_training_settings()
@own_random_state()
def make_model(config: PretrainConfig, corpus: Corpus) -> LanguageModel:
    """A new language model, or a new softmax on a biLM that there is.

    config (PretrainConfig): The settings.
    corpus (Corpus): The training text, of which words are counted.
    RETURNS (LanguageModel): The model.
    """
    settings = config.vocab
    if settings.file is None:
        vocab = Vocab.count(corpus, settings.max_size, settings.min_count)
    else:
        vocab = Vocab.from_file(settings.file).count_on(corpus)
        if config.softmax.kind != "full":
            _check_order(vocab, settings.file)
    seed_random(config.training.seed, CPU)
    cutoffs = config.softmax.cutoffs if config.softmax.kind == "adaptive" else ()
    # a cluster without words is none
    cutoffs = [cutoff for cutoff in cutoffs if cutoff < len(vocab)]
    if config.init is not None:
        saved = load_saved(config.init.path, vocab, cutoffs)
        if saved is not None:
            _add_language(saved.bilm, config.text.lang)
            return saved
        bilm = load_bilm(config.init.path)
    else:
        assert config.model is not None
        bilm = BiLM(config.model.to_options())
    _add_language(bilm, config.text.lang)
    head = make_head(len(vocab), bilm.options.projection_dim, cutoffs)
    if config.recipe.starts_at_frequencies:
        assert vocab.counts is not None
        counts = torch.from_numpy(vocab.counts).double().clamp(min=0.5)
        head.start_at((counts / counts.sum()).float())
    return LanguageModel(bilm, head, vocab)


def _add_language(bilm: BiLM, lang: str) -> None:
    """Record the language of the training text."""
    if lang not in bilm.languages:
        bilm.languages = (*bilm.languages, lang)


def load_saved(path: PathLike, vocab: Vocab, cutoffs: Sequence[int]) -> LanguageModel | None:
    """RETURNS (Optional[LanguageModel]): The language model of a directory, if it has a
    softmax over just these words in just these clusters."""
    if not LanguageModel.is_saved(path):
        return None
    model = LanguageModel.load(path)
    if model.vocab.words == vocab.words and model.head.cutoffs == tuple(cutoffs):
        return model
    warnings.warn(
        f"{path} has a softmax over {len(model.vocab):,} words in clusters from "
        f"{list(model.head.cutoffs)}, and the config asks for {len(vocab):,} words and "
        f"{list(cutoffs)}: a new one is trained. To keep it, give [vocab] file = "
        f"{str(Path(path) / VOCAB)!r} and the same cutoffs.",
        stacklevel=2,
    )
    return None


def _check_order(vocab: Vocab, path: PathLike) -> None:
    """Warn if the frequent words do not come first."""
    assert vocab.counts is not None
    half = len(vocab) // 2
    if vocab.counts[half:].sum() > vocab.counts[:half].sum():
        warnings.warn(
            f"The words of {path} are not in the order of their frequency, on which the adaptive "
            f"and the sampled softmax rely. Sort it, or set [softmax] kind to 'full'.",
            stacklevel=3,
        )
