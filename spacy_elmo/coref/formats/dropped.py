"""Counts of the data that readers and writers leave out or change, by reason.

A document that cannot be read raises an error, unless `skip_errors` is set.
"""

from collections import Counter
from collections.abc import Iterator

DUPLICATE = "repeated mentions of an entity, kept once"
SHARED = "mentions of two entities, kept in the first one"
DISCONTINUOUS = "discontinuous mentions, left out"
EMPTY_NODES = "mentions of empty nodes, left out"
SHORTENED = "mentions with empty nodes, kept without them"
CROSSING = "mentions that cross another mention of their entity, left out"
WHITESPACE = "words with whitespace, written with _"
SPEAKER_NAMES = "words whose speaker has whitespace in the name, written with _"
GENRES = "genres, left out"
UNANNOTATED = "Docs without annotated entities, left out"
REPEATED = "documents with the name and part of an earlier one, which scorers may confuse"


class Dropped(Counter[str]):
    """The count of each reason; 0 for a reason that did not occur.

    skip_errors (bool): Whether to leave out documents that cannot be read.
    """

    def __init__(self, skip_errors: bool = False) -> None:
        super().__init__()
        self.skip_errors = skip_errors
        # error message of each document that was left out
        self.errors: list[str] = []

    def refuse(self, error: ValueError) -> None:
        """Raise the error of a document, or record it if `skip_errors` is set.

        error (ValueError): The error, which names the file and, if possible, the line.
        RAISES (ValueError): The error, unless `skip_errors` is true.
        """
        if not self.skip_errors:
            raise error
        self.errors.append(str(error))

    def rows(self) -> Iterator[tuple[str, int]]:
        """YIELDS (Tuple[str, int]): Each reason that occurred and its count, the most frequent
        first."""
        for reason, number in self.most_common():
            if number:
                yield reason, number
