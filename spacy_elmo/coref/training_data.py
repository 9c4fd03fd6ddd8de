"""The training data of `coref`: a summary for initialization, and random windows of documents."""

import random
import warnings
from collections.abc import Callable, Iterable, Set
from typing import NamedTuple

import numpy as np
from spacy.training import Example

from ..spans.sentences import MAX_SEQUENCE
from .clusters import get_clusters, is_annotated
from .document import GENRE, SPEAKERS, Document
from .head_settings import HeadSettings
from .lexicon import Lexicon


class TrainingData(NamedTuple):
    """A summary of the training data.

    lexicon (Lexicon): Words that behave like pronouns, and words that begin mentions.
    is_annotated (bool): Whether any Doc has gold clusters or is marked as having none.
    has_singletons (bool): Whether there are clusters of one mention, or no clusters at all.
    has_speakers (bool): Whether any predicted Doc has speakers.
    genres (Set[str]): The genres of the predicted Docs.
    """

    lexicon: Lexicon
    is_annotated: bool
    has_singletons: bool
    has_speakers: bool
    genres: Set[str]


def summarize(get_examples: Callable[[], Iterable[Example]], prefix: str) -> TrainingData:
    """Summarize the training data.

    get_examples (Callable[[], Iterable[Example]]): Returns the training data. It is called twice.
    prefix (str): Prefix of the keys of gold clusters.
    RETURNS (TrainingData): The summary.
    """
    references = (example.reference for example in get_examples())
    lexicon = Lexicon.learn((doc for doc in references if is_annotated(doc, prefix)), prefix)
    n_singletons = n_clusters = 0
    annotated = has_speakers = False
    genres: set[str] = set()
    for example in get_examples():
        annotated = annotated or is_annotated(example.reference, prefix)
        clusters = get_clusters(example.reference, prefix, words_only=True)
        sizes = [len(cluster) for cluster in clusters]
        n_singletons, n_clusters = n_singletons + sizes.count(1), n_clusters + len(sizes)
        # training reads the metadata of the predicted Docs, not of the references
        has_speakers = has_speakers or SPEAKERS in example.predicted.spans
        genre = example.predicted.user_data.get(GENRE)
        if isinstance(genre, str):
            genres.add(genre)
    return TrainingData(
        lexicon=lexicon,
        is_annotated=annotated,
        has_singletons=n_singletons > 0 or not n_clusters,
        has_speakers=has_speakers,
        genres=genres,
    )


def warn_if_not_annotated(data: TrainingData, name: str, prefix: str) -> None:
    """Warn if no Doc has gold clusters. The warning is attributed to the caller of
    `Coref.initialize`.

    data (TrainingData): The summary of the training data.
    name (str): Name of the component.
    prefix (str): Prefix of the keys of gold clusters.
    """
    if not data.is_annotated:
        warnings.warn(
            f"No Doc that {name} is initialized with has clusters: there is no span group "
            f"{prefix}_1 in doc.spans, so nothing can be learned. If the keys have another "
            f"prefix, set span_cluster_prefix in [components.{name}] to it, without the number.",
            stacklevel=3,
        )


def warn_of_missing_metadata(data: TrainingData, name: str, settings: HeadSettings) -> None:
    """Warn if no Doc has the metadata that the settings use. The warning is attributed to the
    caller of `Coref.initialize`.

    data (TrainingData): The summary of the training data.
    name (str): Name of the component.
    settings (HeadSettings): The settings of the head.
    """
    missing: dict[str, str] = {}
    if settings.use_speakers and not data.has_speakers:
        missing["use_speakers"] = 'doc.spans["speakers"]'
    if settings.use_genres and not data.genres:
        missing["use_genres"] = 'doc.user_data["genre"]'
    for setting, attribute in missing.items():
        warnings.warn(
            f"{setting} is true, but no Doc that {name} is initialized with has {attribute}, so "
            f"nothing can be learned from it. The predicted Docs of spaCy's readers contain only "
            f"words: if the annotated Docs have it, wrap the readers in [corpora] in "
            f"spacy-elmo.MetadataCorpus.v1.",
            stacklevel=3,
        )


def random_window(document: Document, max_words: int, generator: random.Random) -> Document:
    """Crop a long document to a random window.

    The window begins at a sentence boundary, unless the boundary is `MAX_SEQUENCE` words or more
    before the drawn position.

    document (Document): The document.
    max_words (int): Maximum number of words.
    generator (random.Random): Draws the window.
    RETURNS (Document): The window, or the document if it is short enough.
    """
    n_words = len(document)
    if n_words <= max_words:
        return document
    start = generator.randrange(n_words - max_words + 1)
    sentence_start = int(np.searchsorted(document.sentence, document.sentence[start]))
    if start - sentence_start < MAX_SEQUENCE:
        start = sentence_start
    return document.cut(start, min(start + max_words, n_words))
