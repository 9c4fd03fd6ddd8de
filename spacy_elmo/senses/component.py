"""The `senses` component: its life cycle in a pipeline."""
# mypy: disallow-subclassing-any=False
# spaCy's TrainablePipe is compiled and has no types

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer

from ..models.serialization import SerializationMixin
from ..models.token_reader import Tok2Vec
from .annotations import install_extensions, write_senses
from .examples import Use, uses_in_examples, uses_in_sentences
from .inventory import Inventory
from .labels import SPANS_KEY, make_label
from .matching import NO_SENSE, nearest_senses
from .pipeline_ref import PipelineRef
from .sense_model import memory_of, span_vectors
from .targets import Target, TargetFinder

# words whose frequency is kept for the weights of the context
MAX_WORDS = 50_000
LEARN_BATCH = 64
NO_SENSES = (
    "'{name}' knows no senses and annotates nothing. Add some with add_sense, or initialize the "
    'pipeline with Docs that have doc.spans["{key}"].'
)
NO_VECTORS = (
    "The vectors of all words are zero, so no sense can be learned. Is the component that '{name}' "
    "listens to in the pipeline, initialized, and before '{name}'?"
)
UNKNOWN = (
    "The examples have the sense {label!r}, which '{name}' does not know. It learns in "
    "nlp.initialize, not in updates: initialize the pipeline with these examples, or call "
    "{name}.learn(examples) to add them to a trained component."
)


class DocSenses(NamedTuple):
    """The senses of a Doc.

    targets (List[Target]): The targets, from left to right.
    senses (ndarray): The sense of each target, or `NO_SENSE`, int64 [n].
    scores (ndarray): Cosines of the targets and their senses; 0 for a sense without examples,
        float32 [n].
    """

    targets: list[Target]
    senses: np.ndarray
    scores: np.ndarray


class Senses(SerializationMixin, TrainablePipe):
    """Gives each word of its inventory the sense with the nearest prototype, which is the mean
    vector of the examples of the sense.

    vocab (Vocab): The shared vocabulary.
    model (Model[List[Doc], List[Floats2d]]): The model, spacy-elmo.SenseVectors.v1.
    name (str): Name of the component.
    nlp (Optional[Language]): The pipeline, which `add_sense` runs over sentences. It is referred to
        weakly.
    spans_key, threshold, prior_weight, scorer: See `make_senses`.
    RAISES (ValueError): If `threshold` or `prior_weight` is negative.

    DOCS: docs/usage/senses.md
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Tok2Vec,
        name: str = "senses",
        *,
        nlp: Language | None = None,
        spans_key: str = SPANS_KEY,
        threshold: float = 0.0,
        prior_weight: float = 0.0,
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        for setting, value in (("threshold", threshold), ("prior_weight", prior_weight)):
            if not value >= 0:
                raise ValueError(f"{setting} of {name} is {value}; it must be at least 0.")
        self.vocab = vocab
        self.model = model
        self.name = name
        self.spans_key = spans_key
        self.threshold = threshold
        self.prior_weight = prior_weight
        self.scorer = scorer
        # number of gold spans that do not fit the tokens of the pipeline
        self.n_misaligned = 0
        self.cfg: dict[str, Any] = {}
        self._pipeline = PipelineRef(nlp)
        self._warned = False
        install_extensions()

    @property
    def inventory(self) -> Inventory:
        """RETURNS (Inventory): The words and their senses."""
        return memory_of(self.model).inventory

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels of all senses, in the order of their addition."""
        return tuple(self.inventory.labels)

    @property
    def counts(self) -> dict[str, int]:
        """RETURNS (Dict[str, int]): The number of examples of each sense."""
        return dict(zip(self.inventory.labels, memory_of(self.model).prototypes.counts.tolist()))

    # Learning

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
    ) -> None:
        """Remove all senses, and learn the senses of the training data in one pass. No examples
        are stored.

        get_examples (Callable[[], Iterable[Example]]): Returns the training data. It is called
            several times.
        nlp (Optional[Language]): The pipeline.
        """
        validate_get_examples(get_examples, "Senses.initialize")
        self.model.initialize(X=[example.predicted for example in islice(get_examples(), 10)])
        memory = memory_of(self.model)
        memory.clear()
        self.n_misaligned = 0
        if nlp is not None:
            self._pipeline = PipelineRef(nlp)
        annotated = (example for example in get_examples() if self._is_annotated(example))
        memory.word_weights.count((example.predicted for example in annotated), MAX_WORDS)
        self.learn(get_examples())

    def learn(self, examples: Iterable[Example]) -> None:
        """Add examples to a component, without training it again. The same examples count twice if
        they are learned twice.

        examples (Iterable[Example]): Examples whose references have senses in
            `doc.spans[spans_key]`. They are read once, in batches.
        RAISES (ValueError): If a label does not have the form `<word>%<sense>`, or if the
            pipeline has no vectors.
        """
        stream = iter(examples)
        while batch := list(islice(stream, LEARN_BATCH)):
            annotated = [example for example in batch if self._is_annotated(example)]
            uses, n_missing = uses_in_examples(annotated, self.spans_key)
            if n_missing and not self.n_misaligned:
                warnings.warn(
                    f"{n_missing} gold spans in doc.spans[{self.spans_key!r}] do not fit the "
                    f"tokens of the pipeline and are ignored, as are any in later Docs; "
                    f"{self.name}.n_misaligned counts them. Tokenize the training data as the "
                    f"pipeline does.",
                    stacklevel=2,
                )
            self.n_misaligned += n_missing
            self._add_uses([example.predicted for example in annotated], uses)

    def add_sense(self, word: str, sense: str, sentences: Iterable[str | Span] = ()) -> str:
        """Add a sense, or examples of a known sense, at any time.

        word (str): The word, or several words separated by spaces.
        sense (str): The name of the sense. The label of the sense is `<word>%<sense>`.
        sentences (Iterable[Union[str, Span]]): Sentences that use the word in this sense. A Span
            marks the use in its Doc, for sentences with another form of the word. A sense without
            examples is only given to words none of whose senses have examples.
        RETURNS (str): The label.
        RAISES (ValueError): If a sentence does not contain the word, if the label is invalid, or if
            the pipeline has no vectors. Nothing is changed then.
        """
        if isinstance(sentences, str | Span):
            raise ValueError(f"'sentences' is one {type(sentences).__name__}; give a list of them.")
        label = make_label(word, sense)
        given = list(sentences)
        texts = [sentence for sentence in given if isinstance(sentence, str)]
        spans = [sentence for sentence in given if not isinstance(sentence, str)]
        form = self._pipeline.tokenize(word)
        docs, uses = uses_in_sentences(label, form, self._pipeline.run_before(self, texts), spans)
        self._add_uses(docs, uses)
        self.inventory.add(label, form)
        memory_of(self.model).prototypes.resize(len(self.inventory))
        return label

    def remove_sense(self, label: str) -> None:
        """Remove a sense and what was learned of it.

        label (str): The label.
        RAISES (ValueError): If the sense is unknown.
        """
        memory = memory_of(self.model)
        number = memory.inventory.number_of(label)
        memory.inventory = memory.inventory.without(label)
        memory.prototypes.remove(number)

    def most_frequent(self) -> dict[str, str]:
        """Return the most frequent sense of each word: the one with most examples, or the one that
        was added first.

        RETURNS (Dict[str, str]): The label of each word.
        """
        counts = memory_of(self.model).prototypes.counts
        senses_of = self.inventory.senses_of.items()
        best = {word: max(senses, key=lambda n: (counts[n], -n)) for word, senses in senses_of}
        return {word: self.inventory.labels[number] for word, number in best.items()}

    def _add_uses(self, docs: list[Doc], uses: list[list[Use]]) -> None:
        """Add examples. The inventory is changed only if all vectors could be computed."""
        batches = list(span_vectors(self.model, docs, list(map(spans_of, uses))))
        if batches and not any(vectors.any() for _, vectors in batches):
            raise ValueError(NO_VECTORS.format(name=self.name))
        memory = memory_of(self.model)
        memory.inventory.check([use.label for found in uses for use in found])
        for _, vectors in batches:
            memory.prototypes.check_width(vectors)
        for places, vectors in batches:
            numbers = [memory.inventory.add(*uses[doc][n][2:]) for doc, n in places]
            memory.prototypes.resize(len(memory.inventory))
            memory.prototypes.add(np.array(numbers, dtype=np.int64), vectors)

    def _is_annotated(self, example: Example) -> bool:
        return self.spans_key in example.reference.spans

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> list[DocSenses]:
        """Find the targets of Docs and their senses.

        docs (Iterable[Doc]): The Docs.
        RETURNS (List[DocSenses]): The targets of each Doc and their senses.
        """
        docs = list(docs)
        if not len(self.inventory) and any(len(doc) for doc in docs) and not self._warned:
            self._warned = True
            warnings.warn(NO_SENSES.format(name=self.name, key=self.spans_key), stacklevel=2)
        finder = TargetFinder(self.inventory)
        return self.predict_targets(docs, [finder.find(doc) for doc in docs])

    def predict_targets(
        self, docs: Sequence[Doc], targets: Sequence[list[Target]]
    ) -> list[DocSenses]:
        """Find the senses of given targets, for example the annotated targets of a corpus.

        docs (Sequence[Doc]): The Docs.
        targets (Sequence[List[Target]]): The targets of each Doc, ascending by start, each with at
            least one candidate.
        RETURNS (List[DocSenses]): The targets of each Doc and their senses.
        """
        found = [make_doc_senses(of_doc) for of_doc in targets]
        prototypes = memory_of(self.model).prototypes
        if not prototypes.width:
            return found
        spans = [spans_of(one.targets) for one in found]
        for places, vectors in span_vectors(self.model, list(docs), spans):
            uses = [found[doc].targets[n] for doc, n in places]
            candidates = [target.candidates for target in uses]
            best = nearest_senses(
                prototypes, candidates, vectors, self.prior_weight, self.threshold
            )
            for (doc, n), sense, score in zip(places, *best):
                found[doc].senses[n], found[doc].scores[n] = sense, score
        return found

    def set_annotations(self, docs: Iterable[Doc], found: list[DocSenses]) -> None:
        """Write senses to `doc.spans[spans_key]`, `token._.sense` and `token._.sense_score`.

        docs (Iterable[Doc]): The Docs.
        found (List[DocSenses]): Targets and senses, from `predict`.
        """
        install_extensions()
        labels = self.inventory.labels
        for doc, (targets, senses, scores) in zip(docs, found):
            write_senses(
                doc,
                [
                    (target.start, target.end, labels[sense], score)
                    for target, sense, score in zip(targets, senses.tolist(), scores.tolist())
                    if sense != NO_SENSE
                ],
                self.spans_key,
            )

    # Training

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Change nothing: the senses are learned by `initialize` and `learn`.

        examples (Iterable[Example]): Examples.
        drop (float): Ignored.
        sgd (Optional[Optimizer]): Ignored.
        losses (Optional[Dict[str, float]]): A loss of 0 is added under the component's name.
        RETURNS (Dict[str, float]): The losses.
        RAISES (ValueError): If the examples have a sense that the component does not know.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Senses.update")
        for example in examples:
            for span in example.reference.spans.get(self.spans_key, ()):
                if span.label_ not in self.inventory.numbers:
                    raise ValueError(UNKNOWN.format(label=span.label_, name=self.name))
        return losses

    def get_loss(self, examples: Iterable[Example], scores: Any = None) -> tuple[float, None]:
        """RETURNS (Tuple[float, None]): A loss of 0 and no gradient: there is nothing to train."""
        return 0.0, None

    def finish_update(self, sgd: Optimizer) -> None:
        """Do nothing: there are no weights to train."""

    def add_label(self, label: str) -> int:
        """Add a sense without examples.

        label (str): The label, `<word>%<sense>`.
        RETURNS (int): 1 if it is new, otherwise 0.
        """
        is_new = label not in self.inventory.numbers
        self.inventory.add(label)
        memory_of(self.model).prototypes.resize(len(self.inventory))
        return int(is_new)

    # Evaluation

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predicted senses.

        examples (Iterable[Example]): Examples with predicted and gold senses.
        **kwargs: Keyword arguments of the scorer.
        RETURNS (Dict[str, Any]): The scores, see `score_senses`; empty without a scorer.
        """
        scores: dict[str, Any] = super().score(
            examples, spans_key=self.spans_key, most_frequent=self.most_frequent(), **kwargs
        )
        return scores


def make_doc_senses(targets: list[Target]) -> DocSenses:
    """Return the targets of a Doc, each with its first sense.

    targets (List[Target]): The targets.
    RETURNS (DocSenses): The senses, with scores of 0.
    """
    first = np.array([target.candidates[0] for target in targets], dtype=np.int64)
    return DocSenses(targets, first, np.zeros(len(targets), dtype=np.float32))


def spans_of(uses: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """RETURNS (ndarray): First token of each use and the one after its last, int64 [n, 2]."""
    return np.array([use[:2] for use in uses], dtype=np.int64).reshape(-1, 2)
