"""Gold entities over the tokens of a prediction.

Owns how a mention is found again where the pipeline has other tokens. What is made of those
that are not found is the component's business.
"""

from spacy.training import Example

from ..text.words import text_offsets, word_tokens
from .clusters import Clusters


def align_clusters(example: Example, clusters: Clusters) -> Clusters:
    """RETURNS (Clusters): Each entity of the reference over the predicted tokens, without the
    mentions that do not fit them, and maybe with none left."""
    align = by_characters if _same_words(example.x.text, example.y.text) else by_alignment
    return align(example, clusters)


def _same_words(one: str, other: str) -> bool:
    """Whether texts are the same but for whitespace."""
    return one == other or "".join(one.split()) == "".join(other.split())


def by_characters(example: Example, clusters: Clusters) -> Clusters:
    """Mentions that begin and end with a word of the prediction, found by their place in the
    text, in which whitespace does not count. spaCy's alignment would take a tenth of a training
    step, and loses mentions with other whitespace in them."""
    starts, ends = (places.tolist() for places in text_offsets(example.y))
    ours = word_tokens(example.x)
    ours_start, ours_end = (places[ours].tolist() for places in text_offsets(example.x))
    first = dict(zip(ours_start, ours.tolist()))
    final = dict(zip(ours_end, (ours + 1).tolist()))
    found = [
        [(first.get(starts[start]), final.get(ends[end - 1])) for start, end in mentions]
        for mentions in clusters
    ]
    return [
        [(start, end) for start, end in mentions if start is not None and end is not None]
        for mentions in found
    ]


def by_alignment(example: Example, clusters: Clusters) -> Clusters:
    """The same by spaCy's alignment of tokens, for texts that differ in upper case."""
    if example.alignment.x2y.lengths.shape[0] == 0:
        return []
    spans = [[example.y[start:end] for start, end in mentions] for mentions in clusters]
    found = [example.get_aligned_spans_y2x(group, allow_overlap=True) for group in spans]
    return [[(span.start, span.end) for span in group] for group in found]
