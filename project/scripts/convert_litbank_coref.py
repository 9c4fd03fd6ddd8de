"""Convert the coreference layer of LitBank (CoNLL) to spaCy's binary training data.

Each Doc is a whole excerpt with the tokens of the corpus, and its entities in
`doc.spans["coref_clusters_1"]` and so on. The Docs are split by book, as in `convert_litbank.py`.
"""

from pathlib import Path
from typing import Annotated

import spacy
import typer
from convert_litbank import book_number, split_books
from spacy.cli._util import Arg, Opt
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from wasabi import msg

from spacy_elmo.cli.errors import errors_as_sentences
from spacy_elmo.coref.clusters import get_clusters
from spacy_elmo.coref.formats import Dropped, read_documents

HEADER = ("split", "docs", "tokens", "mentions", "entities", "singletons")


def read_books(conll_dir: Path, vocab: Vocab, dropped: Dropped) -> dict[int, list[Doc]]:
    """Read the books of a folder.

    conll_dir (Path): Folder of `<Gutenberg id>_<title>_brat.conll` files.
    vocab (Vocab): The vocabulary.
    dropped (Dropped): Receives the counts of annotation that is left out.
    RETURNS (Dict[int, List[Doc]]): The Doc of each book, by Gutenberg id.
    RAISES (ValueError): If the name or the content of a file is invalid.
    """
    books: dict[int, list[Doc]] = {}
    for path in sorted(conll_dir.glob("*.conll"), key=book_number):
        book = path.stem.removesuffix("_brat")
        docs = books[book_number(path)] = []
        for document in read_documents(path):
            doc = document.to_doc(vocab, dropped=dropped)
            doc.user_data["book"] = book
            docs.append(doc)
    return books


def convert_litbank_coref(conll_dir: Path, output_dir: Path, fold: int = 0) -> list[list[str]]:
    """Write `train.spacy`, `dev.spacy` and `test.spacy`.

    conll_dir (Path): Folder of the CoNLL files.
    output_dir (Path): Folder to write to.
    fold (int): Number of the published fold, 0 to 9.
    RETURNS (List[List[str]]): A table of the written files, with the columns `HEADER`.
    RAISES (ValueError): If a file is invalid, there is no such fold, or a split contains no book.
    """
    dropped = Dropped()
    splits = split_books(read_books(conll_dir, spacy.blank("en").vocab, dropped), fold)
    missing = [split for split, docs in splits.items() if not docs]
    if missing:
        raise ValueError(f"{conll_dir} contains no {missing[0]} book of fold {fold}.")
    output_dir.mkdir(parents=True, exist_ok=True)
    rows = []
    for split, docs in splits.items():
        DocBin(docs=docs, store_user_data=True).to_disk(output_dir / f"{split}.spacy")
        sizes = [len(cluster) for doc in docs for cluster in get_clusters(doc)]
        numbers = [len(docs), sum(map(len, docs)), sum(sizes), len(sizes), sizes.count(1)]
        rows.append([split, *(f"{number:,}" for number in numbers)])
    for reason, number in dropped.rows():
        msg.warn(f"{number:,} {reason}")
    return rows


def convert_litbank_coref_cli(
    conll_dir: Annotated[Path, Arg(help="Folder of the CoNLL files", exists=True, file_okay=False)],
    output_dir: Annotated[Path, Arg(help="Folder to write train.spacy and so on to")],
    fold: Annotated[int, Opt(help="Number of the published fold, 0 to 9")] = 0,
) -> None:
    """Convert LitBank's coreference to train.spacy, dev.spacy and test.spacy."""
    with errors_as_sentences():
        rows = convert_litbank_coref(conll_dir, output_dir, fold)
    msg.table(rows, header=HEADER, divider=True, aligns=("l", *"r" * (len(HEADER) - 1)))
    msg.good(f"Wrote fold {fold} to {output_dir}")


if __name__ == "__main__":
    typer.run(convert_litbank_coref_cli)
