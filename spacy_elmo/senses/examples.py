"""The uses of words that senses are learned from: in annotated Docs, or in sentences."""

from collections.abc import Iterable
from typing import NamedTuple

from spacy.tokens import Doc, Span
from spacy.training import Example

from .gold import aligned_gold
from .inventory import Inventory
from .labels import normalize, word_of
from .targets import TargetFinder


class Use(NamedTuple):
    """A use of a word in a known sense.

    start, end (int): Its first token, and the token after its last one.
    label (str): The label of the sense.
    form (str): The words of the use, without whitespace tokens.
    pos (str): Its part of speech; "" if it is unknown, and for several words.
    """

    start: int
    end: int
    label: str
    form: str
    pos: str


def uses_in_examples(examples: list[Example], spans_key: str) -> tuple[list[list[Use]], int]:
    """Return the annotated uses of examples, as tokens of the predicted Docs.

    examples (List[Example]): The examples.
    spans_key (str): Key of the gold spans in `doc.spans`.
    RETURNS (Tuple[List[List[Use]], int]): The uses in each predicted Doc, ascending by start; and
        the number of gold spans that do not fit its tokens. The part of speech is taken from
        the predicted Doc, or from the reference if the predicted Doc has none.
    """
    found: list[list[Use]] = []
    n_missing = 0
    for example in examples:
        gold, missing = aligned_gold(example, spans_key)
        n_missing += missing
        tags = example.get_aligned("POS", as_string=True) if _lacks_pos(example) else None
        uses = [make_use(example.predicted, *sense, tags) for sense in sorted(gold)]
        found.append(uses)
    return found, n_missing


def uses_in_sentences(
    label: str, form: str, docs: list[Doc], spans: Iterable[Span]
) -> tuple[list[Doc], list[list[Use]]]:
    """Return the uses of the word of a label.

    label (str): The label of the sense.
    form (str): The tokens of the word, separated by spaces.
    docs (List[Doc]): Sentences that contain the word. All its occurrences are uses: the word
        itself, in any case, and tokens with the word as their lemma.
    spans (Iterable[Span]): Further uses in their Docs.
    RETURNS (Tuple[List[Doc], List[List[Use]]]): The Docs and the uses in each, ascending by start.
    RAISES (ValueError): If a sentence does not contain the word.
    """
    inventory = Inventory()
    inventory.add(label, form)
    finder = TargetFinder(inventory)
    found: list[tuple[Doc, list[Use]]] = []
    for doc in docs:
        targets = finder.find(doc)
        if not targets:
            raise ValueError(
                f"The sentence {doc.text[:80]!r} does not contain the word {word_of(label)!r}. If "
                f"it contains another form of the word, give the use as a Span: nlp(sentence)[5:6]."
            )
        found.append((doc, [make_use(doc, start, end, label) for start, end, _ in targets]))
    for span in spans:
        if not isinstance(span, Span) or not span.text.strip():
            raise ValueError(
                f"'sentences' holds {span!r:.80}; give strings, or Spans with at least one word."
            )
        found.append((span.doc, [make_use(span.doc, span.start, span.end, label)]))
    return [doc for doc, _ in found], [uses for _, uses in found]


def make_use(
    doc: Doc, start: int, end: int, label: str, tags: list[str | None] | None = None
) -> Use:
    """Return a use of a word.

    doc (Doc): The Doc.
    start, end (int): First token, and the token after the last one.
    label (str): The label of the sense.
    tags (Optional[List[Optional[str]]]): The part of speech of each token of the Doc; that of the
        Doc if None.
    RETURNS (Use): The use.
    """
    words = [token for token in doc[start:end] if not token.is_space]
    pos = ""
    if len(words) == 1:
        pos = words[0].pos_ if tags is None else (tags[words[0].i] or "")
    return Use(start, end, label, normalize(" ".join(token.text for token in words)), pos)


def _lacks_pos(example: Example) -> bool:
    return not example.predicted.has_annotation("POS") and example.reference.has_annotation("POS")
