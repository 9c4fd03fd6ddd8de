"""The factory `coref`: which mentions of a Doc mean the same.

Owns the component's life in a pipeline: what it learns of the data at its start, training
steps, and what is written to Docs. The arithmetic is the head's.
"""

import random
import warnings
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Optimizer, set_dropout_rate

from ..models.saved import REMEDY, SavedWhole
from ..spans.sentences import MAX_STRETCH
from ..text.words import word_tokens
from . import coref_model as coref_model
from .clusters import DEFAULT_PREFIX, Clusters, get_clusters, is_annotated, set_clusters
from .document import GENRE, SPEAKERS, Document
from .gold import align_clusters
from .head import Links
from .lexicon import Lexicon
from .linking import entities_of

DEFAULT_CONFIG = Config().from_str(
    """
[coref]
span_cluster_prefix = "coref_clusters"
overwrite = true
keep_singletons = null
max_train_tokens = 3000
chunk_tokens = 4096

[coref.model]
@architectures = "spacy-elmo.Coref.v1"

[coref.model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true

[coref.scorer]
@scorers = "spacy-elmo.coref_scorer.v1"
"""
)["coref"]


@Language.factory(
    "coref",
    assigns=["doc.spans"],
    default_config=DEFAULT_CONFIG,
    default_score_weights={
        "coref_conll_f": 1.0,
        "coref_f": None,
        "coref_p": None,
        "coref_r": None,
        "coref_mention_f": None,
        "coref_conll_ns_f": None,
    },
)
def make_coref(
    nlp: Language,
    name: str,
    model: Any,
    span_cluster_prefix: str,
    overwrite: bool,
    keep_singletons: bool | None,
    max_train_tokens: int,
    chunk_tokens: int,
    scorer: Callable[..., dict[str, Any]] | None,
) -> "Coref":
    """Make the component; see `Coref`."""
    return Coref(
        nlp.vocab,
        model,
        name,
        span_cluster_prefix=span_cluster_prefix,
        overwrite=overwrite,
        keep_singletons=keep_singletons,
        max_train_tokens=max_train_tokens,
        chunk_tokens=chunk_tokens,
        scorer=scorer,
    )


class Coref(SavedWhole, TrainablePipe):
    """Finds mentions and the entities that they are of.

    vocab (Vocab): Of the pipeline.
    model (Model): As `spacy-elmo.Coref.v1` builds it.
    name (str): In the pipeline.
    span_cluster_prefix (str): Entities are `doc.spans[f"{prefix}_1"]`, ...
    overwrite (bool): Whether entities that are there already are replaced, or left, as are
        Docs that are marked as having none.
    keep_singletons (Optional[bool]): Whether mentions that nothing else goes back to are
        entities; None for as the training data has it.
    max_train_tokens (int): Of a longer Doc, a stretch of so many is trained on at a time;
        whitespace tokens do not count.
    chunk_tokens (int): Tokens of which spans are scored at once.
    scorer (Optional[Callable]): For `score`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: coref_model.CorefModel,
        name: str = "coref",
        *,
        span_cluster_prefix: str = DEFAULT_PREFIX,
        overwrite: bool = True,
        keep_singletons: bool | None = None,
        max_train_tokens: int = 3000,
        chunk_tokens: int = 4096,
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        for setting, value in (
            ("max_train_tokens", max_train_tokens),
            ("chunk_tokens", chunk_tokens),
        ):
            if value < 1:
                raise ValueError(f"{setting} of {name} is {value}; it must be at least 1.")
        self.vocab, self.model, self.name = vocab, model, name
        self.span_cluster_prefix, self.overwrite = span_cluster_prefix, overwrite
        self.keep_singletons = keep_singletons
        self.max_train_tokens, self.chunk_tokens = max_train_tokens, chunk_tokens
        self.scorer = scorer
        self.n_misaligned = 0
        # what was learned of the data: saved with the component
        self.cfg: dict[str, Any] = {"pronouns": [], "leads": [], "singletons": True}
        self._random = random.Random(0)

    @property
    def lexicon(self) -> Lexicon:
        """RETURNS (Lexicon): What was learned of words at the start of training."""
        return Lexicon.from_dict(self.cfg)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Learn from the gold entities which words are like pronouns, whether there are
        entities of one mention, and which genres there are; and make the head. There is a
        warning if no Doc has any entities.

        get_examples (Callable[[], Iterable[Example]]): The training data.
        nlp (Optional[Language]): The pipeline.
        """
        validate_get_examples(get_examples, "Coref.initialize")
        prefix = self.span_cluster_prefix
        references = (example.reference for example in get_examples())
        lexicon = Lexicon.learn((doc for doc in references if is_annotated(doc, prefix)), prefix)
        singletons, entities, annotated = 0, 0, False
        speak, genres = False, set()
        for example in get_examples():
            annotated = annotated or is_annotated(example.reference, prefix)
            sizes = [
                len(entity) for entity in get_clusters(example.reference, prefix, words_only=True)
            ]
            singletons, entities = singletons + sizes.count(1), entities + len(sizes)
            # what training will see: the Docs to predict on, not the annotated ones
            speak = speak or SPEAKERS in example.predicted.spans
            genre = example.predicted.user_data.get(GENRE)
            if isinstance(genre, str):
                genres.add(genre)
        if not annotated:
            warnings.warn(
                f"No Doc that {self.name} is initialized with has entities: there is no span "
                f"group {prefix}_1 in doc.spans, so that nothing can be learned. Where the "
                f"entities have another name, set span_cluster_prefix in [components.{self.name}] "
                f"to it, without the number.",
                stacklevel=2,
            )
        self.cfg.update(
            pronouns=lexicon.pronouns,
            leads=lexicon.leads,
            singletons=singletons > 0 or not entities,
        )
        self.model.initialize(X=[example.predicted for example in islice(get_examples(), 10)])
        coref_model.set_new_head(self.model, len(lexicon.pronouns), sorted(genres))
        wanted = coref_model.sizes_of(self.model)
        self._warn_unless(speak or not wanted.speakers, "use_speakers", 'doc.spans["speakers"]')
        self._warn_unless(genres or not wanted.genres, "use_genres", 'doc.user_data["genre"]')
        self._random = random.Random(0)
        self.n_misaligned = 0

    def _warn_unless(self, is_met: Any, setting: str, place: str) -> None:
        if not is_met:
            warnings.warn(
                f"{setting} is true, but no Doc that {self.name} is initialized with has {place}, "
                f"so that nothing can be learned of it. spaCy's corpora give components bare "
                f"words: where the annotated Docs have it, put spacy-elmo.MetadataCorpus.v1 "
                f"around the readers of [corpora].",
                stacklevel=3,
            )

    def predict(self, docs: Iterable[Doc]) -> list[Links]:
        """Find mentions and what they go back to.

        docs (Iterable[Doc]): The Docs.
        RETURNS (List[Links]): For each of them.
        """
        docs = list(docs)
        if not docs:
            return []
        lexicon = self.lexicon
        documents = [Document.from_doc(doc, lexicon) for doc in docs]
        return coref_model.resolve(self.model, docs, documents, self.chunk_tokens)

    def set_annotations(self, docs: Iterable[Doc], links: list[Links]) -> None:
        """Write entities to `doc.spans`, numbered in order of their first mention.

        docs (Iterable[Doc]): The Docs.
        links (List[Links]): What `predict` gave for them.
        """
        keep = self.cfg["singletons"] if self.keep_singletons is None else self.keep_singletons
        for doc, found in zip(docs, links):
            if not self.overwrite and is_annotated(doc, self.span_cluster_prefix):
                continue
            clusters: Clusters = []
            for (start, last), entity in zip(
                zip(found.start.tolist(), found.last.tolist()), entities_of(found.antecedent)
            ):
                if entity == len(clusters):
                    clusters.append([])
                clusters[entity].append((start, last + 1))
            kept = [mentions for mentions in clusters if keep or len(mentions) > 1]
            set_clusters(doc, kept, self.span_cluster_prefix)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """A training step.

        examples (Iterable[Example]): With gold entities on the reference. Those without any
            span group for them are left out: one pipeline can be trained on several
            corpora, each annotated for one of its components.
        drop (float): Dropout of the tok2vec; the head has its own.
        sgd (Optional[Optimizer]): Given to change the weights at once.
        losses (Optional[Dict[str, float]]): To add the loss to, under the component's name.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = self._annotated(examples, "Coref.update")
        if not any(len(word_tokens(example.predicted)) for example in examples):
            return losses
        set_dropout_rate(self.model, drop)
        found, backprop = self._begin_update(examples)
        backprop()
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += sum(found.values())
        return losses

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): What the scorer makes of examples."""
        return super().score(examples, span_cluster_prefix=self.span_cluster_prefix, **kwargs)

    def get_loss(self, examples: Iterable[Example], scores: Any = None) -> tuple[float, None]:
        """RETURNS (Tuple[float, None]): The loss of examples, and no gradient: it is made where
        the loss is, in `update`."""
        examples = self._annotated(examples, "Coref.get_loss")
        if not any(len(word_tokens(example.predicted)) for example in examples):
            return 0.0, None
        found, _ = self._begin_update(examples)
        return sum(found.values()), None

    def _annotated(self, examples: Iterable[Example], method: str) -> list[Example]:
        examples = list(examples)
        validate_examples(examples, method)
        prefix = self.span_cluster_prefix
        return [example for example in examples if is_annotated(example.reference, prefix)]

    def _begin_update(self, examples: list[Example]) -> tuple[dict[str, float], Callable[[], None]]:
        docs = [example.predicted for example in examples]
        lexicon = self.lexicon
        documents: list[Document] = []
        gold: list[Clusters] = []
        for example in examples:
            document = Document.from_doc(example.predicted, lexicon)
            documents.append(document.cut(*self._cut(document)))
            gold.append(self._aligned(example))
        return coref_model.begin_update(self.model, docs, documents, gold)

    def _cut(self, document: Document) -> tuple[int, int]:
        """A random stretch of a Doc that is too long to train on at once, from the start of a
        sentence."""
        n_words = len(document)
        if n_words <= self.max_train_tokens:
            return 0, n_words
        start = self._random.randrange(n_words - self.max_train_tokens + 1)
        first = int(np.searchsorted(document.sentence, document.sentence[start]))
        # a sentence may be long, or the whole Doc
        start = first if start - first < MAX_STRETCH else start
        return start, min(start + self.max_train_tokens, n_words)

    def _aligned(self, example: Example) -> Clusters:
        """The gold entities over the predicted tokens."""
        reference = get_clusters(example.reference, self.span_cluster_prefix, words_only=True)
        aligned = align_clusters(example, reference)
        missed = sum(map(len, reference)) - sum(map(len, aligned))
        if missed and not self.n_misaligned:
            warnings.warn(
                f"{missed} gold mentions of a Doc do not fit the tokens of the pipeline and are "
                f"left out, here and from now on; {self.name}.n_misaligned counts them. Tokenize "
                f"the training data as the pipeline does.",
                stacklevel=2,
            )
        self.n_misaligned += missed
        return [mentions for mentions in aligned if mentions]

    # Serialization

    def check_cfg(self, cfg: dict[str, Any]) -> None:
        Lexicon.check(cfg)
        if not isinstance(cfg.get("singletons", True), bool):
            raise ValueError(f"singletons is {cfg['singletons']!r:.80}; expected true or false")

    def check_loaded(self, source: str, cfg: dict[str, Any]) -> None:
        expected = coref_model.n_pronouns_of(self.model)
        found = len(Lexicon.from_dict(cfg).pronouns)
        if expected is not None and found != expected:
            raise ValueError(
                f"{source} cannot be read: its cfg has {found} pronouns, but its weights are for "
                f"{expected}. {REMEDY}"
            )
