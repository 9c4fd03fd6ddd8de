"""The `coref` component: initialization, prediction, training and evaluation."""
# mypy: disallow-subclassing-any=False
# spaCy's TrainablePipe is compiled and has no types

import random
import warnings
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer, set_dropout_rate

from ..models.serialization import REMEDY, SerializationMixin
from ..text.words import word_tokens
from . import coref_model
from .clusters import DEFAULT_PREFIX, Clusters, get_clusters, is_annotated, set_clusters
from .document import Document
from .gold import align_clusters
from .lexicon import Lexicon
from .linking import Links, cluster_ids
from .training_data import (
    random_window,
    summarize,
    warn_if_not_annotated,
    warn_of_missing_metadata,
)


class Coref(SerializationMixin, TrainablePipe):
    """Finds the mentions of a Doc and groups them in clusters, one for each entity.

    vocab (Vocab): The shared vocabulary.
    model (Model[List[Doc], List[Floats2d]]): The model, spacy-elmo.Coref.v1.
    name (str): Name of the component.
    span_cluster_prefix, overwrite, keep_singletons, max_train_tokens, chunk_tokens, scorer: See
        `make_coref`.
    RAISES (ValueError): If `max_train_tokens` or `chunk_tokens` is less than 1.

    DOCS: docs/usage/coref.md
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
        self.vocab = vocab
        self.model = model
        self.name = name
        self.span_cluster_prefix = span_cluster_prefix
        self.overwrite = overwrite
        self.keep_singletons = keep_singletons
        self.max_train_tokens = max_train_tokens
        self.chunk_tokens = chunk_tokens
        self.scorer = scorer
        # number of gold mentions that do not fit the tokens of the pipeline
        self.n_misaligned = 0
        # learned from the training data and saved with the component
        self.cfg: dict[str, Any] = {"pronouns": [], "leads": [], "singletons": True}
        self._random = random.Random(0)

    @property
    def lexicon(self) -> Lexicon:
        """RETURNS (Lexicon): Pronouns and leading words, which `initialize` has learned."""
        return Lexicon.from_dict(self.cfg)

    # Initialization

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Build the head, after collecting pronouns, leading words, genres and the presence of
        singletons from the training data. Warn if the data lacks annotations that the settings
        need.

        get_examples (Callable[[], Iterable[Example]]): Returns the training data.
        nlp (Optional[Language]): The pipeline.
        """
        validate_get_examples(get_examples, "Coref.initialize")
        data = summarize(get_examples, self.span_cluster_prefix)
        warn_if_not_annotated(data, self.name, self.span_cluster_prefix)
        self.cfg.update(
            pronouns=data.lexicon.pronouns,
            leads=data.lexicon.leads,
            singletons=data.has_singletons,
        )
        self.model.initialize(X=[example.predicted for example in islice(get_examples(), 10)])
        coref_model.set_new_head(self.model, len(data.lexicon.pronouns), sorted(data.genres))
        warn_of_missing_metadata(data, self.name, coref_model.settings_of(self.model))
        self._random = random.Random(0)
        self.n_misaligned = 0

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> list[Links]:
        """Find mentions and their antecedents.

        docs (Iterable[Doc]): The Docs.
        RETURNS (List[Links]): The mentions and antecedents of each Doc.
        RAISES (ValueError): If the model has no weights yet.
        """
        docs = list(docs)
        if not docs:
            return []
        lexicon = self.lexicon
        documents = [Document.from_doc(doc, lexicon) for doc in docs]
        return coref_model.resolve(self.model, docs, documents, self.chunk_tokens)

    def set_annotations(self, docs: Iterable[Doc], links: list[Links]) -> None:
        """Write clusters to `doc.spans`, numbered in the order of their first mentions.

        docs (Iterable[Doc]): The Docs.
        links (List[Links]): The mentions and antecedents of each Doc, from `predict`.
        """
        keep_singletons = self.keep_singletons
        if keep_singletons is None:
            keep_singletons = self.cfg["singletons"]
        for doc, found in zip(docs, links):
            if not self.overwrite and is_annotated(doc, self.span_cluster_prefix):
                continue
            clusters: Clusters = []
            starts, ends = found.start.tolist(), (found.last + 1).tolist()
            for start, end, cluster in zip(starts, ends, cluster_ids(found.antecedent)):
                if cluster == len(clusters):
                    clusters.append([])
                clusters[cluster].append((start, end))
            if not keep_singletons:
                clusters = [mentions for mentions in clusters if len(mentions) > 1]
            set_clusters(doc, clusters, self.span_cluster_prefix)

    # Training

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Run a training step.

        examples (Iterable[Example]): Examples with gold clusters. Examples whose reference has no
            span group of the prefix are skipped, so that one pipeline can be trained on several
            corpora, each annotated for one component.
        drop (float): Dropout rate of the tok2vec. The head has its own dropout rate.
        sgd (Optional[Optimizer]): The optimizer. If given, the weights are updated.
        losses (Optional[Dict[str, float]]): Losses by component, updated in place.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = self._annotated(examples, "Coref.update")
        if not any(len(word_tokens(example.predicted)) for example in examples):
            return losses
        set_dropout_rate(self.model, drop)
        found, backprop = self.begin_update(examples)
        backprop()
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += sum(found.values())
        return losses

    def get_loss(self, examples: Iterable[Example], scores: Any = None) -> tuple[float, None]:
        """Compute the loss of examples.

        examples (Iterable[Example]): Examples with gold clusters.
        scores (Any): Ignored: the loss is computed from the examples.
        RETURNS (Tuple[float, None]): The loss, and no gradient; `update` computes the gradient.
        """
        examples = self._annotated(examples, "Coref.get_loss")
        if not any(len(word_tokens(example.predicted)) for example in examples):
            return 0.0, None
        found, _ = self.begin_update(examples)
        return sum(found.values()), None

    def begin_update(self, examples: list[Example]) -> tuple[dict[str, float], Callable[[], None]]:
        """Compute the losses of annotated examples.

        examples (List[Example]): Examples with gold clusters.
        RETURNS (Tuple[Dict[str, float], Callable[[], None]]): The losses "links" and "mentions",
            and the backward pass.
        """
        docs = [example.predicted for example in examples]
        lexicon = self.lexicon
        documents: list[Document] = []
        gold: list[Clusters] = []
        for example in examples:
            document = Document.from_doc(example.predicted, lexicon)
            documents.append(random_window(document, self.max_train_tokens, self._random))
            gold.append(self._gold_clusters(example))
        return coref_model.begin_update(self.model, docs, documents, gold)

    def _annotated(self, examples: Iterable[Example], method: str) -> list[Example]:
        """RETURNS (List[Example]): The examples whose references are annotated."""
        examples = list(examples)
        validate_examples(examples, method)
        prefix = self.span_cluster_prefix
        return [example for example in examples if is_annotated(example.reference, prefix)]

    def _gold_clusters(self, example: Example) -> Clusters:
        """Align the gold clusters to the tokens of the predicted Doc. Warn once if mentions do not
        fit.

        example (Example): The example.
        RETURNS (Clusters): The gold clusters, as tokens of the predicted Doc.
        """
        reference = get_clusters(example.reference, self.span_cluster_prefix, words_only=True)
        aligned = align_clusters(example, reference)
        n_missing = sum(map(len, reference)) - sum(map(len, aligned))
        if n_missing and not self.n_misaligned:
            warnings.warn(
                f"{n_missing} gold mentions of a Doc do not fit the tokens of the pipeline and "
                f"are ignored, as are any in later Docs; {self.name}.n_misaligned counts them. "
                f"Tokenize the training data as the pipeline does.",
                stacklevel=2,
            )
        self.n_misaligned += n_missing
        return [cluster for cluster in aligned if cluster]

    # Evaluation

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predicted clusters.

        examples (Iterable[Example]): Examples with predicted and gold clusters.
        **kwargs: Keyword arguments of the scorer.
        RETURNS (Dict[str, Any]): The scores, see `score_coref`; empty without a scorer.
        """
        scores: dict[str, Any] = super().score(
            examples, span_cluster_prefix=self.span_cluster_prefix, **kwargs
        )
        return scores

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
