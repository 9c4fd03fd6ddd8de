"""What readers and writers leave out or change, counted by reason.

The reasons are worded so that a table of them needs no legend. Documents that cannot be read
are errors, unless they are to be left out.
"""

from collections import Counter
from collections.abc import Iterator

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
REPEATED = "documents with the name and part of an earlier one, which scorers may mix up"


class Dropped(Counter[str]):
    """How often each thing happened; a missing reason counts zero.

    skip_errors (bool): Whether to leave out documents that cannot be read.
    """

    def __init__(self, skip_errors: bool = False) -> None:
        super().__init__()
        self.skip_errors = skip_errors
        # what is wrong with each document that was left out
        self.errors: list[str] = []

    def refuse(self, error: ValueError) -> None:
        """Raise the error of a document, or note that the document is left out.

        error (ValueError): It names the file and, where possible, the line.
        """
        if not self.skip_errors:
            raise error
        self.errors.append(str(error))

    def rows(self) -> Iterator[tuple[str, int]]:
        """YIELDS (Tuple[str, int]): Each reason that occurred, the most frequent first."""
        for reason, number in self.most_common():
            if number:
                yield reason, number
