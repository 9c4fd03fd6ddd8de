"""Reading the column format of the CoNLL-2012 shared task, and LitBank's variant of it.

Other column formats and lines with ambiguous columns raise errors. Otherwise words could silently
be read from the wrong column.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ...files.paths import PathLike
from ..clusters import Mention
from .coref_document import CorefDocument
from .dropped import Dropped
from .lines import numbered_lines

BEGIN = re.compile(r"#\s*begin\s+document\b")
END = re.compile(r"#\s*end\s+document\b")
PART = re.compile(r";\s*part\s+(\S+)$")
PART_AFTER_BRACKET = re.compile(r"\)\s*;\s*part\s+(\S+)$")
# brackets of a mention; no "*", which occurs in other columns
BRACKETS = re.compile(r"\([^()|\s*]+\)|\([^()|\s*]+|[^()|\s*]+\)")
# cells without a mention; LitBank leaves them empty
NOTHING = ("", "-", "_")
NAME_COLUMN, NUMBER_COLUMN, WORD_COLUMN, SPEAKER_COLUMN = 0, 2, 3, 9
N_COLUMNS, MIN_COLUMNS = 12, 5
COLUMNS = (
    "columns with the document, part, index of the word in its sentence, word, ..., and the "
    "coreference in the last column, separated by tabs, or by spaces if no cell is empty or "
    "contains spaces"
)
# OntoNotes escapes punctuation that is special in its parses
ESCAPED = {"/.": ".", "/?": "?"}
# names in OntoNotes begin with the genre: "nw/xinhua/00/chtb_0001"
GENRE = re.compile(r"(bc|bn|mz|nw|pt|tc|wb)/")
# characters that end a cell or a line; written as "_" in columns
BREAK = re.compile(r"[ \t\r\n\f\v]")

Lines = list[tuple[int, str]]


def read_conll(
    path: PathLike, lang: str = "en", dropped: Dropped | None = None
) -> Iterator[CorefDocument]:
    """Read a file.

    path (Union[str, Path]): The file, with one word per line, in columns separated by tabs or
        spaces. Column 3 is the index of the word in its sentence, column 4 the word, column 10 the
        speaker if there are at least 12 columns, and the last column the coreference: "-", "_" or
        empty for no mention, else brackets such as "(7", "7)" and "(7)", separated by "|". A blank
        line ends a sentence.
    lang (str): Language of the words. In Arabic ("ar"), words have a second form after "#", which
        is left out.
    dropped (Optional[Dropped]): Its `skip_errors` determines whether documents that cannot be read
        are left out.
    YIELDS (CorefDocument): Each numbered part of each document.
    RAISES (ValueError): If a document cannot be read and is not left out.
    """
    dropped = Dropped() if dropped is None else dropped
    for lines, following in _split_documents(path):
        try:
            document = _read_document(Path(path), lines, following, lang)
        except ValueError as error:
            dropped.refuse(error)
        else:
            yield document


def _split_documents(path: PathLike) -> Iterator[tuple[Lines, int | None]]:
    """Divide the lines of a file into documents.

    YIELDS (Tuple[Lines, Optional[int]]): The lines of a document with their numbers, including the
        lines that begin and end it, if any; and the line at which the next document begins, if the
        document has no end.
    """
    lines: Lines = []
    for number, line in numbered_lines(path):
        if BEGIN.match(line):
            if lines:
                yield lines, number
            lines = [(number, line)]
        elif END.match(line):
            yield [*lines, (number, line)], None
            lines = []
        elif lines or (line.strip() and not _is_comment(line)):
            lines.append((number, line))
    if lines:
        yield lines, None


def _is_comment(line: str) -> bool:
    return line.startswith("#") and "\t" not in line


def _read_document(path: Path, lines: Lines, following: int | None, lang: str) -> CorefDocument:
    number, line = lines[0]
    if END.match(line):
        raise ValueError(
            f"{path}, line {number}: '#end document' without a document. Expected "
            f"'#begin document (name); part 000' before it."
        )
    if not BEGIN.match(line):
        raise ValueError(
            f"{path}, line {number}: a word outside a document: {line[:60]!r}. Expected "
            f"'#begin document (name); part 000' before it. If this is CoNLL-U, give the format "
            f"corefud."
        )
    name, part_number = read_header(line)
    part = _PartReader(path=path, line=number, name=name, part=part_number, lang=lang)
    last, end = lines[-1]
    ended = len(lines) > 1 and END.match(end)
    for number, line in lines[1 : -1 if ended else None]:
        part.add_line(number, line)
    if ended:
        return part.finish(last)
    if following is not None:
        raise ValueError(
            f"{path}, line {following}: a document begins inside the document of line "
            f"{part.line}. Expected '#end document' before it. A line may be missing."
        )
    raise ValueError(
        f"{path} ends inside the document that begins in line {part.line}. Expected "
        f"'#end document'. The file may be incomplete."
    )


def read_header(line: str) -> tuple[str, str]:
    """Parse the line that begins a document, as in "#begin document (name); part 000".

    line (str): The line.
    RETURNS (Tuple[str, str]): Name and part; "" for no part.
    """
    found = BEGIN.match(line)
    text = line[found.end() :].strip() if found else ""
    in_brackets = text.startswith("(")
    if part := (PART_AFTER_BRACKET if in_brackets else PART).search(text):
        return (text[1 : part.start()] if in_brackets else text[: part.start()].rstrip()), part[1]
    text = text.removesuffix(";").rstrip()
    return (text[1:-1] if in_brackets and text.endswith(")") else text), ""


def split_columns(line: str, name: str = "") -> list[str]:
    """Split a line at tabs, or at spaces if it has no tabs. Cells can be empty only between tabs.
    Words may contain other whitespace characters.

    line (str): The line.
    name (str): Name of the document, which is the first cell even if it contains spaces.
    RETURNS (List[str]): The cells.
    """
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    first = [name] if " " in name and line.startswith(f"{name} ") else []
    rest = line[len(name) :] if first else line
    return first + [cell for cell in rest.split(" ") if cell]


def read_word(cell: str, lang: str = "en") -> str:
    """RETURNS (str): The word of a cell, without escapes and second forms."""
    if lang == "ar" and not cell.startswith("#"):
        cell = cell.partition("#")[0]
    return ESCAPED.get(cell, cell)


def genre_of(name: str) -> str:
    """RETURNS (str): The genre at the beginning of a document's name; "" for none."""
    found = GENRE.match(name)
    return found[1] if found else ""


class _PartReader:
    """Reads the lines of a numbered part of a document.

    path (Path): The file.
    line (int): Number of the line that begins the part.
    name, part (str): Name of the document and number of the part.
    lang (str): Language of the words.
    """

    def __init__(self, path: Path, line: int, name: str, part: str, lang: str) -> None:
        self.path, self.line = path, line
        self.name, self.part, self.lang = name, part, lang
        self.words: list[str] = []
        self.sent_starts: list[bool] = []
        self.speakers: list[str] = []
        self.clusters: dict[str, list[Mention]] = {}
        # open mentions of each entity: first word and line
        self.open: dict[str, list[tuple[int, int]]] = {}
        # columns of the sentence's lines; 0 at its start
        self.n_columns = 0

    def add_line(self, number: int, line: str) -> None:
        """Read a line: a word, a blank line or a comment.

        number (int): Number of the line in the file.
        line (str): The line.
        RAISES (ValueError): If the line cannot be read.
        """
        if not line.strip():
            self.n_columns = 0
            return
        cells = split_columns(line, self.name)
        if not _is_comment(line) or cells[NAME_COLUMN] in (self.name, BREAK.sub("_", self.name)):
            self._check(number, cells, "\t" in line)
            self._add(number, cells)
        elif _is_row(cells):
            raise ValueError(
                f"{self.path}, line {number} begins with '#', as comments do, but has the columns "
                f"of a word. Expected the document {self.name!r} in the first column, as in line "
                f"{self.line}. If it is a comment, remove it."
            )

    def _check(self, number: int, cells: list[str], has_tabs: bool) -> None:
        place = f"{self.path}, line {number}"
        if len(cells) < MIN_COLUMNS or not cells[WORD_COLUMN]:
            found = f"{len(cells)} columns" if len(cells) < MIN_COLUMNS else "no word"
            raise ValueError(f"{place} has {found}. Expected {COLUMNS}.")
        if not cells[NUMBER_COLUMN].isdecimal():
            raise ValueError(
                f"{place} has {cells[NUMBER_COLUMN][:40]!r} in the third column. Expected "
                f"{COLUMNS}. Other orders of columns, such as ID, word, lemma, ... (SemEval-2010) "
                f"or word, tag, ..., cannot be read: rearrange them in the order of CoNLL-2012."
            )
        if self.n_columns and not has_tabs and len(cells) != self.n_columns:
            raise ValueError(
                f"{place} has {len(cells)} columns, but the line before it in its sentence has "
                f"{self.n_columns}. Expected {COLUMNS}."
            )

    def _add(self, number: int, cells: list[str]) -> None:
        self.words.append(read_word(cells[WORD_COLUMN], self.lang))
        self.sent_starts.append(not self.n_columns)
        self.n_columns = len(cells)
        self.speakers.append(cells[SPEAKER_COLUMN] if len(cells) >= N_COLUMNS else "")
        if cells[-1] not in NOTHING:
            self._add_brackets(number, cells[-1])

    def _add_brackets(self, number: int, cell: str) -> None:
        brackets = BRACKETS.findall(cell)
        if not brackets or "".join(brackets) != cell.replace("|", ""):
            raise ValueError(
                f"{self.path}, line {number}: the coreference {cell!r} cannot be read. Expected "
                f"'-', or brackets such as '(7', '7)' and '(7)' with '|' between them, in the last "
                f"column. The file may have no coreference annotation."
            )
        token = len(self.words) - 1
        for bracket in brackets:
            entity = bracket.strip("()")
            if bracket.startswith("("):
                self.open.setdefault(entity, []).append((token, number))
            if bracket.endswith(")"):
                if not self.open.get(entity):
                    raise ValueError(
                        f"{self.path}, line {number}: {bracket!r} ends a mention of entity "
                        f"{entity}, but none of it is open. Expected '({entity}' in this line "
                        f"or above it in the document."
                    )
                start, _ = self.open[entity].pop()
                self.clusters.setdefault(entity, []).append((start, token + 1))

    def finish(self, number: int) -> CorefDocument:
        """Return the part after its last line.

        number (int): Number of the line that ends the part.
        RETURNS (CorefDocument): The part.
        RAISES (ValueError): If a mention has no end.
        """
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


def _is_row(cells: list[str]) -> bool:
    """Return whether the cells may be the columns of a word."""
    coreference = cells[-1]
    ends = coreference in NOTHING or "".join(BRACKETS.findall(coreference)) == coreference.replace(
        "|", ""
    )
    return len(cells) >= MIN_COLUMNS and cells[NUMBER_COLUMN].isdecimal() and ends
