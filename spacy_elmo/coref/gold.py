"""Gold entities over the tokens of a prediction.

Owns how a mention is found again where the pipeline has other tokens. What is made of those
that are not found is the component's business.
"""

from typing import List, Tuple

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from .clusters import Clusters


def align_clusters(example: Example, clusters: Clusters) -> Clusters:
    """RETURNS (Clusters): Each entity of the reference over the predicted tokens, without the
    mentions that do not fit them, and maybe with none left."""
    align = by_characters if example.x.text == example.y.text else by_alignment
    return align(example, clusters)


def by_characters(example: Example, clusters: Clusters) -> Clusters:
    """Mentions that begin and end with a token of the prediction, found by their place in the
    text: spaCy's alignment would take a tenth of a training step."""
    (starts, ends), (ours_start, ours_end) = map(_places, (example.y, example.x))
    first = {place: token for token, place in enumerate(ours_start)}
    final = {place: token + 1 for token, place in enumerate(ours_end)}
    found = [
        [(first.get(starts[start]), final.get(ends[end - 1])) for start, end in mentions]
        for mentions in clusters
    ]
    return [
        [(start, end) for start, end in mentions if start is not None and end is not None]
        for mentions in found
    ]


def by_alignment(example: Example, clusters: Clusters) -> Clusters:
    """The same by spaCy's alignment of tokens, for texts that differ."""
    if example.alignment.x2y.lengths.shape[0] == 0:
        return []
    spans = [[example.y[start:end] for start, end in mentions] for mentions in clusters]
    found = [example.get_aligned_spans_y2x(group, allow_overlap=True) for group in spans]
    return [[(span.start, span.end) for span in group] for group in found]


def _places(doc: Doc) -> Tuple[List[int], List[int]]:
    """Where in the text each token starts and ends."""
    starts, lengths = doc.to_array(["IDX", "LENGTH"]).astype(np.int64).reshape(-1, 2).T
    return starts.tolist(), (starts + lengths).tolist()
