"""Convert the entity layers of LitBank (TSV) to spaCy's binary training data.

Owns the format and the split by book. A Doc is a whole excerpt, of some 2,000 words, with the
outermost entities as `doc.ents` for `ner`, or all of them as `doc.spans["sc"]` for `spancat`.

The corpus does not say where its text has spaces, so the Docs do not either, and spaCy keeps
the tokens as they are, in training and in evaluation.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli._util import Arg, Opt
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab
from wasabi import msg

from spacy_elmo.cli.errors import errors_as_sentences
from spacy_elmo.coref.formats.lines import numbered_lines

LABELS = ("PER", "FAC", "LOC", "GPE", "VEH", "ORG")
SPANS_KEY = "sc"

# Test books of the ten published folds, by Gutenberg id. The dev books of a fold are
# the test books of the fold before it.
TEST_FOLDS = (
    (238, 271, 711, 730, 1023, 1155, 1661, 2807, 6593, 16357),
    (33, 76, 209, 233, 805, 829, 1245, 2095, 2489, 4276),
    (11, 36, 62, 145, 514, 541, 1260, 2641, 3268, 18581),
    (41, 73, 110, 113, 217, 472, 766, 5230, 8867, 11231),
    (120, 160, 434, 521, 543, 1064, 2084, 2891, 3457, 4051),
    (78, 155, 174, 550, 599, 876, 969, 1342, 2005, 2775),
    (32, 45, 74, 84, 95, 105, 345, 432, 974, 1400),
    (77, 171, 215, 502, 932, 1206, 2852, 4217, 4300, 41286),
    (24, 27, 219, 367, 1327, 1695, 2166, 5348, 9830, 12677),
    (44, 60, 158, 208, 351, 768, 940, 2814, 6053, 15265),
)

Entity = tuple[int, int, str]
"""First token, the token after the last, label."""


@dataclass
class Sentence:
    """A sentence with the entities of all layers, in order of their first token, the longer
    one first where two start alike."""

    words: list[str]
    entities: list[Entity] = field(default_factory=list)


def read_sentences(lines: Iterable[str], source: str = "The file") -> Iterator[Sentence]:
    """Read the TSV: a token and its tags, one layer a column; a blank line ends a sentence.

    lines (Iterable[str]): The lines.
    source (str): Where they come from, for error messages.
    YIELDS (Sentence): The sentences.
    """
    rows: list[list[str]] = []
    for number, line in enumerate(lines, 1):
        cells = line.rstrip("\r\n").split("\t")
        while len(cells) > 1 and not cells[-1]:
            cells.pop()  # each line ends with a tab
        if len(cells) > 1:
            rows.append(cells)
        elif cells[0].strip():
            raise ValueError(f"{source} has a token without tags in line {number}: {line!r}.")
        elif rows:
            yield _make_sentence(rows, f"{source}, up to line {number},")
            rows = []
    if rows:
        yield _make_sentence(rows, source)


def _make_sentence(rows: Sequence[Sequence[str]], source: str) -> Sentence:
    entities = set()
    for layer in range(1, max(map(len, rows))):
        tags = [row[layer] if layer < len(row) else "O" for row in rows]
        entities.update(read_layer(tags, source))
    ordered = sorted(entities, key=lambda entity: (entity[0], -entity[1], entity[2]))
    return Sentence([row[0] for row in rows], ordered)


def read_layer(tags: Sequence[str], source: str = "The layer") -> Iterator[Entity]:
    """Read the entities of one layer of one sentence.

    tags (Sequence[str]): "O", "B-PER", "I-PER" and so on.
    source (str): Where they come from, for error messages.
    """
    start, label = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, tag_label = tag.partition("-")
        if prefix not in ("B", "I", "O") or (prefix == "O") != (not tag_label):
            raise ValueError(f"{source} has the tag {tag!r}; tags are O, B-... and I-... .")
        if prefix == "I" and tag_label == label:
            continue
        if prefix == "I":
            raise ValueError(f"{source} has {tag!r} with no {tag_label} before it to go on with.")
        if label:
            yield start, i, label
        start, label = i, tag_label


def keep_outermost(entities: Iterable[Entity]) -> list[Entity]:
    """Leave out entities inside of others. Of two labels of one span the first in the
    alphabet stays, which is as good a choice as the other.

    RETURNS (List[Entity]): Those that do not overlap, in order.
    """
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: (entity[0], -entity[1], entity[2])):
        if not kept or entity[0] >= kept[-1][1]:
            kept.append(entity)
    return kept


def make_doc(sentences: Sequence[Sentence], vocab: Vocab, book: str, *, nested: bool) -> Doc:
    """Make the Doc of a book.

    sentences, vocab: The sentences of the book and the vocabulary.
    book (str): Name of the book, stored in `doc.user_data["book"]`.
    nested (bool): Whether to set `doc.spans["sc"]`, or `doc.ents` to the outermost ones.
    RETURNS (Doc): The Doc.
    """
    words: list[str] = []
    sent_starts: list[bool] = []
    entities: list[Entity] = []
    for sent in sentences:
        offset = len(words)
        words.extend(sent.words)
        sent_starts.extend(i == 0 for i in range(len(sent.words)))
        entities.extend((a + offset, b + offset, label) for a, b, label in sent.entities)
    doc = Doc(vocab, words=words, sent_starts=sent_starts)
    doc.user_data["book"] = book
    if nested:
        doc.spans[SPANS_KEY] = [Span(doc, *entity) for entity in entities]
    else:
        doc.set_ents([Span(doc, *entity) for entity in keep_outermost(entities)])
    return doc


def book_number(path: Path) -> int:
    """RETURNS (int): The Gutenberg id that a file's name begins with."""
    number = path.name.split("_")[0]
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(
            f"{path} is not named as LitBank's files are. Expected a number and a title, such as "
            f"'1023_bleak_house_brat{path.suffix}'."
        )
    return int(number)


def read_books(tsv_dir: Path, vocab: Vocab, *, nested: bool) -> dict[int, list[Doc]]:
    """Read all books.

    tsv_dir (Path): Folder of `<Gutenberg id>_<title>_brat.tsv` files.
    vocab (Vocab): The vocabulary.
    nested (bool): See `make_doc`.
    RETURNS (Dict[int, List[Doc]]): The Doc of each book, by Gutenberg id.
    """
    books: dict[int, list[Doc]] = {}
    for path in sorted(tsv_dir.glob("*.tsv"), key=book_number):
        book = path.stem.removesuffix("_brat")
        lines = (line for _, line in numbered_lines(path))
        sentences = list(read_sentences(lines, str(path)))
        books[book_number(path)] = [make_doc(sentences, vocab, book, nested=nested)]
    return books


def split_books(books: dict[int, list[Doc]], fold: int) -> dict[str, list[Doc]]:
    """Split by book.

    books (Dict[int, List[Doc]]): The Docs of each book, by Gutenberg id.
    fold (int): Which of the ten folds.
    RETURNS (Dict[str, List[Doc]]): The Docs of "train", "dev" and "test".
    """
    if not 0 <= fold < len(TEST_FOLDS):
        raise ValueError(f"'fold' is {fold}; the published folds are 0 to {len(TEST_FOLDS) - 1}.")
    parts: dict[str, list[Doc]] = {"train": [], "dev": [], "test": []}
    test, dev = TEST_FOLDS[fold], TEST_FOLDS[fold - 1]
    for book, docs in books.items():
        parts["test" if book in test else "dev" if book in dev else "train"].extend(docs)
    return parts


def convert_litbank(tsv_dir: Path, output_dir: Path, fold: int = 0) -> list[list[str]]:
    """Write `flat/{train,dev,test}.spacy` and `nested/{train,dev,test}.spacy`.

    tsv_dir, output_dir (Path): Folder of the TSV files, and where to write.
    fold (int): Which of the ten folds.
    RETURNS (List[List[str]]): A table of what was written: kind and part, Docs, tokens,
        entities, entities of each label.
    """
    vocab = spacy.blank("en").vocab
    rows = []
    for kind in ("flat", "nested"):
        (output_dir / kind).mkdir(parents=True, exist_ok=True)
        books = read_books(tsv_dir, vocab, nested=kind == "nested")
        for part, docs in split_books(books, fold).items():
            if not docs:
                raise ValueError(f"{tsv_dir} holds no book of the {part} part of fold {fold}.")
            doc_bin = DocBin(docs=docs, store_user_data=True)
            doc_bin.to_disk(output_dir / kind / f"{part}.spacy")
            spans = [span for doc in docs for span in (*doc.ents, *doc.spans.get(SPANS_KEY, ()))]
            found = Counter(span.label_ for span in spans)
            numbers = [len(docs), sum(map(len, docs)), len(spans), *(found[k] for k in LABELS)]
            rows.append([f"{kind}/{part}", *(f"{number:,}" for number in numbers)])
    return rows


def convert_litbank_cli(
    tsv_dir: Annotated[Path, Arg(help="Folder of the TSV files", exists=True, file_okay=False)],
    output_dir: Annotated[Path, Arg(help="Folder to write flat/ and nested/ to")],
    fold: Annotated[int, Opt(help="Which of the ten published folds, 0 to 9")] = 0,
) -> None:
    """Convert LitBank's entity layers to .spacy files for ner (flat) and spancat (nested)."""
    with errors_as_sentences():
        rows = convert_litbank(tsv_dir, output_dir, fold)
    header = ("part", "docs", "tokens", "entities", *LABELS)
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
    msg.good(f"Wrote fold {fold} to {output_dir}")


if __name__ == "__main__":
    typer.run(convert_litbank_cli)
