"""Writing the column format of the CoNLL-2012 shared task, for the scorers that read it.

Owns the order of the brackets and what the format cannot hold. The reference scorer
splits lines at tabs and takes numbers as entities, so that is what is written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import TextIO

from ..clusters import Clusters, Mention
from .conll import BREAK, genre_of
from .coref_document import NOBODY, CorefDocument
from .dropped import CROSSING, GENRES, REPEATED, SPEAKER_NAMES, WHITESPACE, Dropped

UNKNOWN = "-"


def write_conll(documents: Iterable[CorefDocument], file: TextIO, dropped: Dropped) -> None:
    """Write documents, which `read_conll` reads as they were.

    documents (Iterable[CorefDocument]): The documents. One without a name is called
        "doc_<number>". One whose part is not known is numbered among those of its name:
        scorers tell documents apart by both. One that has no parts is written without.
    file (TextIO): Where to write.
    dropped (Dropped): Counts mentions that cross another one of their entity, for which the
        format has no brackets; words and speakers that were changed, as whitespace becomes "_";
        genres with which the name does not begin; and documents of the same name and part.
    """
    n_parts: Counter[str] = Counter()
    written: set[tuple[str, str]] = set()
    for number, document in enumerate(documents, start=1):
        name = document.name.replace("\r", "_").replace("\n", "_") or f"doc_{number}"
        dropped[GENRES] += document.genre not in ("", genre_of(name))
        if document.part is None:
            numbers = map("{:03}".format, count(n_parts[name]))
            part = next(number for number in numbers if (name, number) not in written)
            n_parts[name] += 1
        else:
            part = BREAK.sub("_", document.part)
        dropped[REPEATED] += (name, part) in written
        written.add((name, part))
        file.write(f"#begin document ({name}){f'; part {part}' if part else ';'}\n")
        for line in _lines(document, _first_columns(name, part), dropped):
            file.write(f"{line}\n")
        file.write("#end document\n")


def _first_columns(name: str, part: str) -> list[str]:
    """Document and part in the columns; a line that begins with "#" would be a comment."""
    cell = BREAK.sub("_", name)
    if cell.startswith("#"):
        cell = f"_{cell[1:]}"
    return [cell, (part.lstrip("0") if part.isdecimal() else part) or "0"]


def _lines(document: CorefDocument, first: list[str], dropped: Dropped) -> Iterator[str]:
    cells = coreference_cells(document.clusters, len(document.words), dropped)
    speakers = document.speakers or [""] * len(document.words)
    for sentence in document.sentences():
        for i in sentence:
            word = BREAK.sub("_", document.words[i])
            dropped[WHITESPACE] += word != document.words[i]
            speaker = UNKNOWN if speakers[i] in NOBODY else BREAK.sub("_", speakers[i])
            dropped[SPEAKER_NAMES] += speaker not in (speakers[i], UNKNOWN)
            # part of speech, parse, lemma, frameset, sense; then the entity after the speaker
            middle = [*[UNKNOWN] * 5, speaker, UNKNOWN]
            yield "\t".join([*first, str(i - sentence.start), word, *middle, cells[i]])
        yield ""


def coreference_cells(clusters: Clusters, n_words: int, dropped: Dropped) -> list[str]:
    """Write the last column.

    clusters (Clusters): The mentions of each entity, each once.
    n_words (int): Words of the document.
    dropped (Dropped): Counts mentions that cross another one of their entity.
    RETURNS (List[str]): A cell for each word: the mentions that begin there, the longest
        first, those of this word alone, and the ends of others, the shortest first.
    """
    begin: list[list[tuple[int, str]]] = [[] for _ in range(n_words)]
    alone: list[list[str]] = [[] for _ in range(n_words)]
    end: list[list[tuple[int, str]]] = [[] for _ in range(n_words)]
    for entity, cluster in enumerate(clusters):
        for start, stop in without_crossing(cluster, dropped):
            if stop - start == 1:
                alone[start].append(f"({entity})")
            else:
                begin[start].append((-stop, f"({entity}"))
                end[stop - 1].append((-start, f"{entity})"))
    cells = []
    for i in range(n_words):
        first = [piece for _, piece in sorted(begin[i])]
        last = [piece for _, piece in sorted(end[i])]
        cells.append("|".join([*first, *alone[i], *last]) or UNKNOWN)
    return cells


def without_crossing(cluster: Sequence[Mention], dropped: Dropped) -> Iterator[Mention]:
    """Of mentions of one entity that cross, leave out the one that starts later.

    cluster (Sequence[Mention]): Mentions, each once.
    dropped (Dropped): Counts those left out.
    YIELDS (Mention): Mentions that follow or contain each other.
    """
    around: list[int] = []
    for start, stop in sorted(cluster, key=lambda mention: (mention[0], -mention[1])):
        while around and around[-1] <= start:
            around.pop()
        if around and around[-1] < stop:
            dropped[CROSSING] += 1
            continue
        around.append(stop)
        yield start, stop
