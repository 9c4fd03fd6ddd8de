"""Writing an HTML page with the annotated or predicted entities of files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..files.atomic import atomic_file
from ..files.finding import plain_name
from ..files.output_file import check_output
from ..files.paths import PathLike
from .clusters import DEFAULT_PREFIX, set_clusters
from .convert import Counts
from .formats import find_files, read_coref
from .formats.coref_document import DOCUMENT_ID
from .formats.lines import numbered_lines
from .formats.registry import AUTO
from .page import page_parts

TEXT = ".txt"


def show_coref(
    inputs: Sequence[PathLike],
    output: PathLike,
    *,
    pipeline: str | None = None,
    format: str = AUTO,
    lang: str = "en",
    prefix: str = DEFAULT_PREFIX,
    force: bool = False,
) -> tuple[int, int]:
    """Write a page with the text and the entities of documents. Docs are written one at a time, so
    that large inputs are not held in memory.

    inputs (Sequence[Union[str, Path]]): Files, directories or patterns; see `find_files`.
    output (Union[str, Path]): The .html file to write.
    pipeline (Optional[str]): Directory or name of a trained pipeline that predicts the entities;
        if None, the entities annotated in the inputs are shown.
    format (str): Format of the inputs, "auto" to infer it from their names.
    lang (str): Language of the inputs. Ignored if a pipeline is given.
    prefix (str): Prefix of the keys of `doc.spans` that hold the clusters.
    force (bool): Whether to replace an existing output.
    RETURNS (Tuple[int, int]): Number of documents and of entities on the page.
    RAISES (ValueError): If the output exists or has another suffix, an input cannot be read, or
        plain text is given without a pipeline.
    """
    output = check_output(output, [".html"], force)
    predict = pipeline is not None
    also = (TEXT,) if predict and format == AUTO else ()
    paths = find_files(inputs, format, also, outputs=[output])
    texts = [path for path in paths if _is_text(path, format)]
    if texts and not predict:
        raise ValueError(
            f"{texts[0]} is plain text without entities. Give --pipeline to predict them."
        )
    nlp = spacy.blank(lang) if pipeline is None else spacy.load(pipeline)
    docs = (doc for path in paths for doc in _read(path, format, nlp, predict, prefix))
    counts = Counts()
    # the page shows names of files, which need not be valid UTF-8
    with (
        atomic_file(output) as temporary,
        temporary.open("w", encoding="utf8", errors="replace") as page,
    ):
        page.writelines(page_parts(counts.count(docs, prefix), prefix, output.stem))
    return counts.documents, counts.entities


def _is_text(path: Path, format: str) -> bool:
    return format == AUTO and plain_name(path).endswith(TEXT)


def _read(path: Path, format: str, nlp: Language, predict: bool, prefix: str) -> Iterator[Doc]:
    if _is_text(path, format):
        # the tokenizer has no limit on the length of the text, unlike nlp.make_doc
        doc = nlp.tokenizer("\n".join(line for _, line in numbered_lines(path)))
        doc.user_data[DOCUMENT_ID] = path.stem
        yield nlp(doc)
        return
    for doc in read_coref(path, format, nlp.vocab, prefix):
        if predict:
            set_clusters(doc, [], prefix)  # only predicted entities are shown
            doc = nlp(doc)
        yield doc
