"""Convert the entity layers of LitBank (TSV) to spaCy's binary training data.

Each Doc is a whole excerpt of about 2,000 words, with the outermost entities as `doc.ents` for
`ner`, or with all entities as `doc.spans["sc"]` for `spancat`. The Docs are split by book.

The corpus does not record the spaces of its text. The spaces of the Docs are therefore unknown, so
that spaCy uses the tokens of the corpus in training and in evaluation.
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

# Test books of the ten published folds, by Gutenberg id. The dev books of a fold are the test
# books of the previous fold.
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
    """A sentence with the entities of all layers, sorted by their first token, longer ones first.

    words (List[str]): The tokens.
    entities (List[Entity]): The entities.
    """

    words: list[str]
    entities: list[Entity] = field(default_factory=list)


def read_sentences(lines: Iterable[str], source: str = "The file") -> Iterator[Sentence]:
    """Read the TSV format: each line has a token and one column of tags per layer, and a blank line
    ends a sentence.

    lines (Iterable[str]): The lines.
    source (str): Name of the source, for error messages.
    YIELDS (Sentence): The sentences.
    RAISES (ValueError): If a token has no tags, or tags are invalid.
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
    source (str): Name of the source, for error messages.
    YIELDS (Entity): The entities in order.
    RAISES (ValueError): If a tag is invalid, or an I- tag continues no entity.
    """
    start, label = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, tag_label = tag.partition("-")
        if prefix not in ("B", "I", "O") or (prefix == "O") != (not tag_label):
            raise ValueError(f"{source} has the tag {tag!r}; expected O, B-LABEL or I-LABEL.")
        if prefix == "I" and tag_label == label:
            continue
        if prefix == "I":
            raise ValueError(
                f"{source} has the tag {tag!r}, but it continues no {tag_label} entity. Start the "
                f"entity with B-{tag_label}."
            )
        if label:
            yield start, i, label
        start, label = i, tag_label


def keep_outermost(entities: Iterable[Entity]) -> list[Entity]:
    """Remove entities inside other entities. If a span has two labels, the alphabetically first
    label is kept; the choice is arbitrary.

    entities (Iterable[Entity]): The entities.
    RETURNS (List[Entity]): Entities that do not overlap, in order.
    """
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: (entity[0], -entity[1], entity[2])):
        if not kept or entity[0] >= kept[-1][1]:
            kept.append(entity)
    return kept


def make_doc(sentences: Sequence[Sentence], vocab: Vocab, book: str, *, nested: bool) -> Doc:
    """Create the Doc of a book.

    sentences (Sequence[Sentence]): The sentences of the book.
    vocab (Vocab): The vocabulary.
    book (str): Name of the book, stored in `doc.user_data["book"]`.
    nested (bool): Whether to store all entities in `doc.spans["sc"]`; otherwise, the outermost
        entities are stored in `doc.ents`.
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
    """Return the Gutenberg id at the start of a file name.

    path (Path): The file.
    RETURNS (int): The Gutenberg id.
    RAISES (ValueError): If the name does not start with a number.
    """
    number = path.name.split("_")[0]
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(
            f"{path} is not named like a LitBank file. Expected a number and a title, such as "
            f"'1023_bleak_house_brat{path.suffix}'."
        )
    return int(number)


def read_books(tsv_dir: Path, vocab: Vocab, *, nested: bool) -> dict[int, list[Doc]]:
    """Read the books of a folder.

    tsv_dir (Path): Folder of `<Gutenberg id>_<title>_brat.tsv` files.
    vocab (Vocab): The vocabulary.
    nested (bool): See `make_doc`.
    RETURNS (Dict[int, List[Doc]]): The Doc of each book, by Gutenberg id.
    RAISES (ValueError): If the name or the content of a file is invalid.
    """
    books: dict[int, list[Doc]] = {}
    for path in sorted(tsv_dir.glob("*.tsv"), key=book_number):
        book = path.stem.removesuffix("_brat")
        lines = (line for _, line in numbered_lines(path))
        sentences = list(read_sentences(lines, str(path)))
        books[book_number(path)] = [make_doc(sentences, vocab, book, nested=nested)]
    return books


def split_books(books: dict[int, list[Doc]], fold: int) -> dict[str, list[Doc]]:
    """Split Docs by book.

    books (Dict[int, List[Doc]]): The Docs of each book, by Gutenberg id.
    fold (int): Number of the published fold, 0 to 9.
    RETURNS (Dict[str, List[Doc]]): The Docs of "train", "dev" and "test".
    RAISES (ValueError): If there is no such fold.
    """
    if not 0 <= fold < len(TEST_FOLDS):
        raise ValueError(f"'fold' is {fold}; the published folds are 0 to {len(TEST_FOLDS) - 1}.")
    splits: dict[str, list[Doc]] = {"train": [], "dev": [], "test": []}
    test, dev = TEST_FOLDS[fold], TEST_FOLDS[fold - 1]
    for book, docs in books.items():
        splits["test" if book in test else "dev" if book in dev else "train"].extend(docs)
    return splits


def convert_litbank(tsv_dir: Path, output_dir: Path, fold: int = 0) -> list[list[str]]:
    """Write `flat/{train,dev,test}.spacy` and `nested/{train,dev,test}.spacy`.

    tsv_dir (Path): Folder of the TSV files.
    output_dir (Path): Folder to write to.
    fold (int): Number of the published fold, 0 to 9.
    RETURNS (List[List[str]]): A table of the written files: name, number of Docs, of tokens, of
        entities, and of entities of each label.
    RAISES (ValueError): If a file is invalid, there is no such fold, or a split contains no book.
    """
    vocab = spacy.blank("en").vocab
    rows = []
    for kind in ("flat", "nested"):
        (output_dir / kind).mkdir(parents=True, exist_ok=True)
        books = read_books(tsv_dir, vocab, nested=kind == "nested")
        for split, docs in split_books(books, fold).items():
            if not docs:
                raise ValueError(f"{tsv_dir} contains no {split} book of fold {fold}.")
            doc_bin = DocBin(docs=docs, store_user_data=True)
            doc_bin.to_disk(output_dir / kind / f"{split}.spacy")
            spans = [span for doc in docs for span in (*doc.ents, *doc.spans.get(SPANS_KEY, ()))]
            found = Counter(span.label_ for span in spans)
            numbers = [len(docs), sum(map(len, docs)), len(spans), *(found[k] for k in LABELS)]
            rows.append([f"{kind}/{split}", *(f"{number:,}" for number in numbers)])
    return rows


def convert_litbank_cli(
    tsv_dir: Annotated[Path, Arg(help="Folder of the TSV files", exists=True, file_okay=False)],
    output_dir: Annotated[Path, Arg(help="Folder to write flat/ and nested/ to")],
    fold: Annotated[int, Opt(help="Number of the published fold, 0 to 9")] = 0,
) -> None:
    """Convert LitBank's entity layers to .spacy files for ner (flat) and spancat (nested)."""
    with errors_as_sentences():
        rows = convert_litbank(tsv_dir, output_dir, fold)
    header = ("file", "docs", "tokens", "entities", *LABELS)
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
    msg.good(f"Wrote fold {fold} to {output_dir}")


if __name__ == "__main__":
    typer.run(convert_litbank_cli)
