"""Reading and writing coreference files of all formats, and finding them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ...files import finding as files
from ...files.finding import plain_name
from ...files.paths import PathLike
from ..clusters import DEFAULT_PREFIX, is_annotated
from .conll import read_conll
from .conll_writer import write_conll
from .coref_document import CorefDocument
from .corefud import read_corefud
from .docbin import read_docbin
from .dropped import UNANNOTATED, Dropped
from .jsonl import read_jsonl, write_jsonl

AUTO, CONLL, COREFUD, JSONL, DOCS = "auto", "conll", "corefud", "jsonl", "spacy"
# OntoNotes has names such as "cnn_0001.v4_gold_conll"
SUFFIXES = {
    CONLL: (".conll", "_conll"),
    COREFUD: (".conllu",),
    JSONL: (".jsonl", ".jsonlines"),
    DOCS: (".spacy",),
}
FORMATS = (AUTO, *SUFFIXES)
OUTPUTS = (".spacy", ".conll", ".jsonl")


def guess_format(path: PathLike) -> str:
    """Infer the format of a file from its name.

    path (Union[str, Path]): The file.
    RETURNS (str): "conll", "corefud", "jsonl" or "spacy".
    RAISES (ValueError): If the name ends in no known suffix.
    """
    for name, suffixes in SUFFIXES.items():
        if plain_name(path).endswith(suffixes):
            return name
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    raise ValueError(
        f"The format of {path} cannot be inferred from its name, which ends in none of {known}. "
        f"Give the format, one of {', '.join(SUFFIXES)}."
    )


def find_files(
    patterns: Sequence[PathLike],
    format: str = AUTO,
    also: Sequence[str] = (),
    outputs: Sequence[PathLike] = (),
) -> list[Path]:
    """Find files; see `spacy_elmo.files.finding`.

    patterns (Sequence[Union[str, Path]]): Files, directories, or patterns such as
        "data/**/*_gold_conll".
    format (str): Format of the files that are read from a directory; "auto" for all formats.
    also (Sequence[str]): Further suffixes of files that are read from a directory.
    outputs (Sequence[Union[str, Path]]): Output files, which are not read.
    RETURNS (List[Path]): The files, without repetition, in the order of the patterns and sorted
        within each. Subdirectories of a directory are not searched.
    RAISES (ValueError): If the format is unknown, or a pattern matches no file.
    """
    _check(format, FORMATS)
    wanted = [name for name in SUFFIXES if format in (AUTO, name)]
    suffixes = (*(suffix for name in wanted for suffix in SUFFIXES[name]), *also)
    return files.find_files(patterns, suffixes, outputs)


def _check(format: str, known: Sequence[str]) -> None:
    if format not in known:
        raise ValueError(f"Unknown format {format!r}; give one of {', '.join(known)}.")


def read_documents(
    path: PathLike, format: str = AUTO, lang: str = "en", dropped: Dropped | None = None
) -> Iterator[CorefDocument]:
    """Read a text file of one of the formats.

    path (Union[str, Path]): The file.
    format (str): "conll", "corefud" or "jsonl", or "auto" to infer it from the name.
    lang (str): Language of the words.
    dropped (Optional[Dropped]): Counts the data that is left out.
    YIELDS (CorefDocument): Each document.
    RAISES (ValueError): If the format is unknown, or if a document cannot be read and is not left
        out.
    """
    format = guess_format(path) if format == AUTO else format
    _check(format, (CONLL, COREFUD, JSONL))
    if format == CONLL:
        return read_conll(path, lang, dropped)
    if format == COREFUD:
        return read_corefud(path, dropped)
    return read_jsonl(path, dropped)


def read_coref(
    path: PathLike,
    format: str = AUTO,
    vocab: Vocab | None = None,
    prefix: str = DEFAULT_PREFIX,
    dropped: Dropped | None = None,
) -> Iterator[Doc]:
    """Read a file as Docs.

    path (Union[str, Path]): The file.
    format (str): "conll", "corefud", "jsonl" or "spacy", or "auto" to infer it from the name.
    vocab (Optional[Vocab]): Vocabulary of the Docs; a new one if None.
    prefix (str): Prefix of the keys of clusters.
    dropped (Optional[Dropped]): Counts the data that is left out.
    YIELDS (Doc): A Doc for each document, or for each numbered part of a document; see
        `CorefDocument.to_doc`. The Docs of a .spacy file are not changed.
    RAISES (ValueError): If the format is unknown, or if a document cannot be read and is not left
        out.
    """
    vocab = Vocab() if vocab is None else vocab
    dropped = Dropped() if dropped is None else dropped
    format = guess_format(path) if format == AUTO else format
    try:
        if format == DOCS:
            yield from read_docbin(Path(path), vocab, dropped)
            return
        for document in read_documents(path, format, vocab.lang or "en", dropped):
            yield document.to_doc(vocab, prefix, dropped)
    except ValueError as error:  # an error of the file, not of one document
        dropped.refuse(error)


def write_coref(
    docs: Iterable[Doc],
    path: PathLike,
    format: str = AUTO,
    prefix: str = DEFAULT_PREFIX,
    dropped: Dropped | None = None,
) -> None:
    """Write Docs to a file.

    docs (Iterable[Doc]): The Docs.
    path (Union[str, Path]): The file.
    format (str): "spacy", "conll" or "jsonl", or "auto" to infer it from the name.
        CoNLL and JSON contain words, sentences, clusters, speakers, and names and part numbers of
        documents; JSON also contains the genre. Docs that are not annotated are left out, because
        these formats cannot distinguish them from Docs without clusters.
    prefix (str): Prefix of the keys of clusters.
    dropped (Optional[Dropped]): Counts the data that the format cannot represent.
    RAISES (ValueError): If the format is unknown.
    """
    dropped = Dropped() if dropped is None else dropped
    format = guess_format(path) if format == AUTO else format
    _check(format, (DOCS, CONLL, JSONL))
    if format == DOCS:
        DocBin(docs=docs, store_user_data=True).to_disk(path)
        return
    documents = (CorefDocument.from_doc(doc, prefix) for doc in _annotated(docs, prefix, dropped))
    with Path(path).open("w", encoding="utf8", newline="\n") as file:
        if format == CONLL:
            write_conll(documents, file, dropped)
        else:
            write_jsonl(documents, file)


def _annotated(docs: Iterable[Doc], prefix: str, dropped: Dropped) -> Iterator[Doc]:
    for doc in docs:
        if is_annotated(doc, prefix):
            yield doc
        else:
            dropped[UNANNOTATED] += 1
