"""Metrics of word senses: accuracy, macro F1, coverage, and the most frequent sense as baseline."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example

from ..text.words import text_offsets
from .gold import gold_of
from .labels import SPANS_KEY, word_of


def make_sense_scorer() -> Callable[..., dict[str, Any]]:
    """Return the scorer `spacy-elmo.sense_scorer.v1`. The component passes its `spans_key` and the
    most frequent sense of each word; see `score_senses`.

    RETURNS (Callable): The scorer.
    """
    return score_senses


def score_senses(
    examples: Iterable[Example],
    *,
    spans_key: str = SPANS_KEY,
    most_frequent: Mapping[str, str] | None = None,
    **cfg: Any,
) -> dict[str, Any]:
    """Score predicted senses at the gold spans. Spans are equal if they cover the same characters,
    regardless of the tokenization. Several gold spans with the same characters are one target, for
    which each of their labels is right. Examples whose reference has no spans are skipped.

    examples (Iterable[Example]): The examples.
    spans_key (str): Key of the spans in `doc.spans`.
    most_frequent (Optional[Mapping[str, str]]): The label of the most frequent sense of each word.
    RETURNS (Dict[str, Any]): Scores from 0 to 1: `<spans_key>_acc`, the fraction of targets with a
        right sense; `_coverage`, the fraction of targets with any sense; `_macro_f`, the mean F1 of
        the senses of the targets; and `_mfs_acc`, the accuracy of the most frequent sense of the
        word. All scores are None if there is no target.
    """
    n_targets = n_right = n_covered = n_most_frequent = 0
    found: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for example in examples:
        predicted = _labels_by_characters(example.predicted, spans_key)
        for characters, labels in _labels_by_characters(example.reference, spans_key).items():
            guesses = predicted.get(characters, [])
            guess = guesses[0] if guesses else None
            n_targets += 1
            n_covered += guess is not None
            n_right += guess in labels
            if most_frequent is not None:
                frequent = {most_frequent.get(word_of(label)) for label in labels}
                n_most_frequent += not frequent.isdisjoint(labels)
            expected[guess if guess in labels and guess is not None else labels[0]] += 1
            if guess is not None:
                found[guess] += 1
                right[guess] += guess in labels
    f_scores = [2 * right[label] / (n + found[label]) for label, n in expected.items()]
    scores = {
        "acc": n_right,
        "coverage": n_covered,
        "mfs_acc": n_most_frequent if most_frequent is not None else None,
        "macro_f": n_targets * sum(f_scores) / len(f_scores) if f_scores else 0.0,
    }
    return {
        f"{spans_key}_{name}": None if value is None or not n_targets else value / n_targets
        for name, value in scores.items()
    }


def _labels_by_characters(doc: Doc, spans_key: str) -> dict[tuple[int, int], list[str]]:
    """RETURNS (Dict[Tuple[int, int], List[str]]): The labels of each span, by its first character
    and the one after its last, in the text without whitespace."""
    found: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    senses = gold_of(doc, spans_key)
    if senses:
        starts, ends = (offsets.tolist() for offsets in text_offsets(doc))
        for start, end, label in senses:
            found[starts[start], ends[end - 1]].append(label)
    return found
