"""Reading the column format of the CoNLL-2012 shared task, and LitBank's kind of it.

Owns the columns, the brackets and what is said about a damaged file. It makes no Docs,
and leaves open whether the entities it finds share mentions.
"""

import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from ..clusters import Mention
from .document import CorefDocument
from .lines import PathLike, numbered_lines

BEGIN = re.compile(r"#\s*begin document\b\s*(?P<name>.*?)\s*(?:;\s*part\s+(?P<part>\S+)\s*)?$")
END = re.compile(r"#\s*end document")
PIECE = re.compile(r"\([^()|\s]+\)|\([^()|\s]+|[^()|\s]+\)")
# an empty cell is LitBank's way
NOTHING = ("", "-", "_")
WORD, SPEAKER, N_COLUMNS, MIN_COLUMNS = 3, 9, 12, 5
# how OntoNotes writes punctuation that its parses must not take for their own
ESCAPED = {"/.": ".", "/?": "?"}
# OntoNotes has the genre in front: "nw/xinhua/00/chtb_0001"
GENRE = re.compile(r"(bc|bn|mz|nw|pt|tc|wb)/")


def read_conll(path: PathLike, lang: str = "en") -> Iterator[CorefDocument]:
    """Read a file.

    path (Union[str, Path]): The file: a word a line, in columns that are separated by tabs
        or by spaces. The 4th is the word, the 10th the speaker where there are at least
        12, and the last the coreference: "-", "_" or empty for nothing, else pieces such as
        "(7", "7)" and "(7)" with "|" between. A blank line ends a sentence.
    lang (str): Its language; in Arabic ("ar") words have a second form after "#", which is
        left out.
    YIELDS (CorefDocument): Each part of each document.
    """
    part: Optional[_Part] = None
    for number, line in numbered_lines(path):
        if begin := BEGIN.match(line):
            if part is not None:
                raise ValueError(
                    f"{path}, line {number}: a document begins inside of the one of line "
                    f"{part.line}. Expected '#end document' before it; is a line missing?"
                )
            part = _Part(Path(path), number, begin["name"], begin["part"] or "")
        elif END.match(line):
            if part is None:
                raise ValueError(
                    f"{path}, line {number}: '#end document' without a document. Expected "
                    f"'#begin document (name); part 000' before it."
                )
            yield part.finish(number)
            part = None
        elif not line.strip():
            if part is not None:
                part.starts_sentence = True
        elif line.startswith("#") and "\t" not in line:
            continue  # a comment
        elif part is None:
            raise ValueError(
                f"{path}, line {number}: a word outside of a document: {line[:60]!r}. Expected "
                f"'#begin document (name); part 000' before it."
            )
        else:
            part.add(number, split_columns(line), lang)
    if part is not None:
        raise ValueError(
            f"{path} ends inside of the document that begins in line {part.line}. Expected "
            f"'#end document'; is the file whole?"
        )


def split_columns(line: str) -> List[str]:
    """Cut a line at tabs where it has any, else at spaces. Only tabs can have nothing between
    them, and words may have other kinds of space in them."""
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return [cell for cell in line.split(" ") if cell]


def read_word(cell: str, lang: str = "en") -> str:
    """RETURNS (str): The word as it is in the text."""
    if lang == "ar" and not cell.startswith("#"):
        cell = cell.partition("#")[0]
    return ESCAPED.get(cell, cell)


def genre_of(name: str) -> str:
    """RETURNS (str): The genre that the name of a document begins with; "" for none."""
    found = GENRE.match(name)
    return found[1] if found else ""


class _Part:
    """A part of a document while it is read.

    path (Path): The file.
    line (int): Where it begins.
    name, part (str): What the line says.
    """

    def __init__(self, path: Path, line: int, name: str, part: str) -> None:
        self.path = path
        self.line = line
        self.name = name[1:-1] if name.startswith("(") and name.endswith(")") else name
        self.part = part
        self.words: List[str] = []
        self.sent_starts: List[bool] = []
        self.speakers: List[str] = []
        self.clusters: Dict[str, List[Mention]] = {}
        # of each entity the mentions without an end, with the lines that open them
        self.open: Dict[str, List[Tuple[int, int]]] = {}
        self.starts_sentence = True

    def add(self, number: int, cells: List[str], lang: str) -> None:
        if len(cells) < MIN_COLUMNS or not cells[WORD]:
            found = f"{len(cells)} columns" if len(cells) < MIN_COLUMNS else "no word"
            raise ValueError(
                f"{self.path}, line {number} has {found}. Expected columns with the document, "
                f"part, number, word, ... and in the last the coreference, separated by tabs, "
                f"or by spaces if none is empty."
            )
        self.words.append(read_word(cells[WORD], lang))
        self.sent_starts.append(self.starts_sentence)
        self.starts_sentence = False
        self.speakers.append(cells[SPEAKER] if len(cells) >= N_COLUMNS else "")
        if cells[-1] not in NOTHING:
            self._add_pieces(number, cells[-1])

    def _add_pieces(self, number: int, cell: str) -> None:
        pieces = PIECE.findall(cell)
        if "".join(pieces) != cell.replace("|", ""):
            raise ValueError(
                f"{self.path}, line {number}: the coreference {cell!r} cannot be read. Expected "
                f"'-', or pieces such as '(7', '7)' and '(7)' with '|' between them."
            )
        token = len(self.words) - 1
        for piece in pieces:
            entity = piece.strip("()")
            if piece.startswith("("):
                self.open.setdefault(entity, []).append((token, number))
            if piece.endswith(")"):
                if not self.open.get(entity):
                    raise ValueError(
                        f"{self.path}, line {number}: {piece!r} ends a mention of entity "
                        f"{entity}, but none of it is open. Expected '({entity}' in this line "
                        f"or above it in the document."
                    )
                start, _ = self.open[entity].pop()
                self.clusters.setdefault(entity, []).append((start, token + 1))

    def finish(self, number: int) -> CorefDocument:
        for entity, mentions in self.open.items():
            for _, line in mentions:
                raise ValueError(
                    f"{self.path}, line {line}: '({entity}' begins a mention that has no end. "
                    f"Expected '{entity})' before the document ends in line {number}."
                )
        return CorefDocument(
            words=self.words,
            clusters=list(self.clusters.values()),
            sent_starts=self.sent_starts,
            speakers=self.speakers,
            name=self.name,
            part=self.part,
            genre=genre_of(self.name),
        )
