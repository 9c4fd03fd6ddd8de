"""Reading .spacy files, with error messages for damaged files.

spaCy does not check the Docs of a DocBin. Arrays of wrong lengths, unknown strings and spans
outside the Doc raise errors only when they are used, if at all.
"""

from collections.abc import Iterator
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ...files.streams import open_bytes
from .dropped import Dropped

REMEDY = "Write it again with DocBin.to_disk"


def read_docbin(path: Path, vocab: Vocab, dropped: Dropped) -> Iterator[Doc]:
    """Read a DocBin.

    path (Path): The file.
    vocab (Vocab): Vocabulary of the Docs.
    dropped (Dropped): Its `skip_errors` determines whether Docs that cannot be read are left out.
    YIELDS (Doc): Each Doc.
    RAISES (ValueError): If the file cannot be read, or a Doc cannot be read and is not left out.
    """
    with open_bytes(path) as stream:
        data = stream.read()
    try:
        doc_bin = DocBin().from_bytes(data)
        n_docs = len(doc_bin)
    except Exception as error:  # zlib, msgpack and spaCy raise errors of several types
        raise ValueError(
            f"{path} cannot be read as a DocBin: {_reason(error)}. {REMEDY}."
        ) from error
    for number in range(n_docs):
        try:
            doc = _read_doc(doc_bin, number, vocab)
        except Exception as error:
            refused = ValueError(
                f"{path}, Doc {number + 1} of {n_docs}, cannot be read: {_reason(error)}. {REMEDY}."
            )
            refused.__cause__ = error
            dropped.refuse(refused)
        else:
            yield doc


def _read_doc(doc_bin: DocBin, number: int, vocab: Vocab) -> Doc:
    """Read one Doc separately, so that a damaged Doc does not affect the others."""
    alone = DocBin(attrs=(), store_user_data=doc_bin.store_user_data)
    alone.attrs, alone.strings = doc_bin.attrs, doc_bin.strings
    for name in ("tokens", "spaces", "cats", "flags", "span_groups", "user_data"):
        setattr(alone, name, getattr(doc_bin, name)[number : number + 1])
    (doc,) = alone.get_docs(vocab)
    # constructs all spans of the Doc and looks up all of its strings
    DocBin(store_user_data=True).add(doc)
    return doc


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
