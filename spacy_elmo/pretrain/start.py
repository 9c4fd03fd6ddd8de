"""The language model that a training starts with: a new one, or one with pretrained weights."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from ..bilm.bilm import BiLM
from ..corpus.corpus import Corpus
from ..files.paths import PathLike
from ..lm.language_model import LanguageModel
from ..lm.lm_files import VOCAB, is_language_model
from ..lm.lm_head import make_head
from ..lm.vocab import Vocab
from ..runtime.torch_scope import CPU, own_random_state, own_training_settings, seed_random
from ..weights import load_bilm
from .config import PretrainConfig


@own_training_settings()
@own_random_state()
def make_model(config: PretrainConfig, corpus: Corpus) -> LanguageModel:
    """Create the language model that a training starts with.

    Depending on [model] and [init], this is a new model, a pretrained biLM with a new softmax, or
    a pretrained language model.

    config (PretrainConfig): The settings.
    corpus (Corpus): The training text, whose words are counted.
    RETURNS (LanguageModel): The model.
    RAISES (ValueError): If the vocabulary or the weights cannot be read, or the settings contradict
        each other.
    """
    settings = config.vocab
    if settings.file is None:
        vocab = Vocab.count(corpus, settings.max_size, settings.min_count)
    else:
        vocab = Vocab.from_file(settings.file).count_on(corpus)
        if config.softmax.kind != "full":
            _warn_of_order(vocab, settings.file)
    seed_random(config.training.seed, CPU)
    cutoffs = config.softmax.cutoffs if config.softmax.kind == "adaptive" else ()
    # drop clusters that would be empty
    cutoffs = [cutoff for cutoff in cutoffs if cutoff < len(vocab)]
    if config.init is not None:
        pretrained = _load_language_model(config.init.path, vocab, cutoffs)
        if pretrained is not None:
            _add_language(pretrained.bilm, config.text.lang)
            return pretrained
        bilm = load_bilm(config.init.path)
    else:
        assert config.model is not None
        bilm = BiLM(config.model.to_options())
    _add_language(bilm, config.text.lang)
    head = make_head(len(vocab), bilm.options.projection_dim, cutoffs)
    if config.recipe.init_from_frequencies:
        assert vocab.counts is not None
        counts = torch.from_numpy(vocab.counts).double().clamp(min=0.5)
        head.init_bias((counts / counts.sum()).float())
    return LanguageModel(bilm, head, vocab)


def _add_language(bilm: BiLM, lang: str) -> None:
    """Record the language of the training text."""
    if lang not in bilm.languages:
        bilm.languages = (*bilm.languages, lang)


def _load_language_model(
    path: PathLike, vocab: Vocab, cutoffs: Sequence[int]
) -> LanguageModel | None:
    """Return the language model in a directory. Return None if there is none, or if its softmax has
    other words or clusters."""
    if not is_language_model(path):
        return None
    model = LanguageModel.load(path)
    if model.vocab.words == vocab.words and model.head.cutoffs == tuple(cutoffs):
        return model
    warnings.warn(
        f"{path} has a softmax over {len(model.vocab):,} words with the cutoffs "
        f"{list(model.head.cutoffs)}, but the config has {len(vocab):,} words and the cutoffs "
        f"{list(cutoffs)}. A new softmax is trained. To keep the pretrained one, set [vocab] file "
        f"to {str(Path(path) / VOCAB)!r}, and the same cutoffs.",
        stacklevel=2,
    )
    return None


def _warn_of_order(vocab: Vocab, path: PathLike) -> None:
    """Warn if the vocabulary is not sorted by frequency."""
    assert vocab.counts is not None
    half = len(vocab) // 2
    if vocab.counts[half:].sum() > vocab.counts[:half].sum():
        warnings.warn(
            f"The words of {path} are not sorted by frequency, which the adaptive and the sampled "
            f"softmax require. Sort the file, or set [softmax] kind to 'full'.",
            stacklevel=3,
        )
