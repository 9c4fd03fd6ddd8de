"""The command `show-coref`: write the entities of Docs or texts to an HTML page."""

from pathlib import Path

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .coref_options import FORCE, FORMAT, PREFIX, Format
from .messages import msg


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
        help="Directory or name of a trained pipeline that predicts the entities; without it, "
        "the page shows the entities that are annotated in the inputs",
    ),
    format: Format = FORMAT,
    lang: str = Opt("en", "--lang", "-l", help="Language of the inputs, without --pipeline"),
    prefix: str = PREFIX,
    force: bool = FORCE,
) -> None:
    """Write a self-contained HTML page with the entities of documents: one colour per
    entity, mentions underlined in the text, and a list of the entities next to it."""
    from ..coref.show import show_coref

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
            f"The documents contain no entities under {prefix}_1 and so on. Give --prefix for "
            f"other keys, or --pipeline to predict entities."
        )
    msg.good(f"Wrote {n_docs:,} documents with {n_entities:,} entities to {output}")
