"""Writing the column format of the CoNLL-2012 shared task, which coreference scorers read.

The reference scorer splits lines at tabs and expects numbers for entities.
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
    """Write documents, so that `read_conll` returns them unchanged.

    documents (Iterable[CorefDocument]): The documents. A document without a name is written as
        "doc_<number>". Documents of the same name whose part is unknown get consecutive part
        numbers, because scorers identify documents by name and part.
    file (TextIO): The open file.
    dropped (Dropped): Counts mentions that cross another mention of their entity, which the format
        cannot represent; words and speakers whose whitespace is written as "_"; genres that the
        name does not begin with; and documents with the name and part of an earlier document.
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
    """RETURNS (List[str]): The columns of name and part. A name that begins with "#" is changed,
    because its lines would be comments."""
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
            # part of speech, parse, lemma, frameset, sense; speaker; named entity
            middle = [*[UNKNOWN] * 5, speaker, UNKNOWN]
            yield "\t".join([*first, str(i - sentence.start), word, *middle, cells[i]])
        yield ""


def coreference_cells(clusters: Clusters, n_words: int, dropped: Dropped) -> list[str]:
    """Return the cells of the last column.

    clusters (Clusters): The mentions of each cluster, without repetition.
    n_words (int): Number of words of the document.
    dropped (Dropped): Counts mentions that cross another mention of their cluster.
    RETURNS (List[str]): A cell for each word. It contains the starts of mentions, the longest
        mention first; the mentions of this word only; and the ends of mentions, the shortest
        mention first.
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
        first = [bracket for _, bracket in sorted(begin[i])]
        last = [bracket for _, bracket in sorted(end[i])]
        cells.append("|".join([*first, *alone[i], *last]) or UNKNOWN)
    return cells


def without_crossing(cluster: Sequence[Mention], dropped: Dropped) -> Iterator[Mention]:
    """Leave out each mention that crosses an earlier mention of its cluster.

    cluster (Sequence[Mention]): Mentions, without repetition.
    dropped (Dropped): Counts the mentions that are left out.
    YIELDS (Mention): Mentions, which are disjoint or nested.
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
