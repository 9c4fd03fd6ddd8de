"""`show-coref`: the entities of Docs or texts as an HTML page."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.cli._util import Arg, Opt

from ..files.finding import plain_name
from . import elmo_app
from .coref_options import FORCE, FORMAT, PREFIX, Counts, Format, check_output
from .messages import msg

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

TEXT = ".txt"


@elmo_app.command("show-coref")
def show_coref_cli(
    inputs: list[Path] = Arg(
        ...,
        metavar="INPUT...",
        help="Files, directories or patterns: .spacy, .conll, .conllu, .jsonl; with --pipeline "
        "also .txt",
    ),
    output: Path = Arg(..., metavar="OUTPUT", help="File to write: .html"),
    pipeline: str | None = Opt(
        None,
        "--pipeline",
        "-m",
        help="Trained pipeline, a directory or a name, to find the entities; without one, those "
        "of the inputs are shown",
    ),
    format: Format = FORMAT,
    lang: str = Opt("en", "--lang", "-l", help="Language of inputs without a pipeline"),
    prefix: str = PREFIX,
    force: bool = FORCE,
) -> None:
    """Show the entities of documents in an HTML page that can be sent around: one colour
    per entity, mentions underlined in the text, and a list of the entities beside it."""
    n_docs, n_entities = show_coref(
        inputs,
        output,
        pipeline=pipeline,
        format=format.value,
        lang=lang,
        prefix=prefix,
        force=force,
    )
    if not n_entities:
        msg.warn(
            f"There is no entity under {prefix}_1 and so on in what is shown. Give --prefix for "
            f"another name, or --pipeline to find entities."
        )
    msg.good(f"Wrote {n_docs:,} documents with {n_entities:,} entities to {output}")


def show_coref(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    pipeline: str | None = None,
    format: str = "auto",
    lang: str = "en",
    prefix: str = "coref_clusters",
    force: bool = False,
) -> tuple[int, int]:
    """Write the page; see `show_coref_cli`.

    RETURNS (Tuple[int, int]): Documents and entities that are shown.
    """
    import spacy

    from ..coref.formats import find_files
    from ..coref.page import page_parts
    from ..files.atomic import atomic_file

    output = check_output(output, [".html"], force)
    predict = pipeline is not None
    also = (TEXT,) if predict and format == "auto" else ()
    paths = find_files(inputs, format, also, outputs=[output])
    texts = [path for path in paths if _is_text(path, format)]
    if texts and not predict:
        raise ValueError(
            f"{texts[0]} is plain text, without entities. Give --pipeline to find them."
        )
    nlp = spacy.blank(lang) if pipeline is None else spacy.load(pipeline)
    docs = (doc for path in paths for doc in _read(path, format, nlp, predict, prefix))
    counts = Counts()
    # names of files, which are shown, need not be UTF-8
    with (
        atomic_file(output) as temporary,
        temporary.open("w", encoding="utf8", errors="replace") as page,
    ):
        page.writelines(page_parts(counts.of(docs, prefix), prefix, output.stem))
    return counts.documents, counts.entities


def _is_text(path: Path, format: str) -> bool:
    return format == "auto" and plain_name(path).endswith(TEXT)


def _read(path: Path, format: str, nlp: "Language", predict: bool, prefix: str) -> "Iterator[Doc]":
    from ..coref.clusters import set_clusters
    from ..coref.formats import read_coref
    from ..coref.formats.coref_document import DOCUMENT_ID
    from ..coref.formats.lines import numbered_lines

    if _is_text(path, format):
        # nlp.make_doc refuses long texts for the sake of components that hold too much of them
        doc = nlp.tokenizer("\n".join(line for _, line in numbered_lines(path)))
        doc.user_data[DOCUMENT_ID] = path.stem
        yield nlp(doc)
        return
    for doc in read_coref(path, format, nlp.vocab, prefix):
        if predict:
            set_clusters(doc, [], prefix)  # those of the file are not what was found
            doc = nlp(doc)
        yield doc
