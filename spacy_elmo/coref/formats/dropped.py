"""What readers and writers leave out or change, counted by reason.

Owns the reasons, worded so that a table of them needs no legend. It does not decide what
is left out.
"""

from collections import Counter
from typing import Iterator, Tuple

DUPLICATE = "mentions that an entity has twice, kept once"
SHARED = "mentions of two entities, left to the first of them"
DISCONTINUOUS = "mentions in several pieces, left out"
EMPTY_NODES = "mentions of empty nodes, left out"
SHORTENED = "mentions without the empty nodes in them, kept"
CROSSING = "mentions that cross another of their entity, left out"
WHITESPACE = "words with whitespace in them, written with _"
SPEAKER_NAMES = "words of speakers whose names have whitespace, written with _"
GENRES = "genres, left out"
UNANNOTATED = "Docs without annotated entities, left out"


class Dropped(Counter[str]):
    """How often each thing happened; a missing reason counts zero."""

    def rows(self) -> Iterator[Tuple[str, int]]:
        """YIELDS (Tuple[str, int]): Each reason that occurred, the most frequent first."""
        for reason, number in self.most_common():
            if number:
                yield reason, number
