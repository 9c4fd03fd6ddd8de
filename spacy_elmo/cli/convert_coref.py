"""`convert-coref`: files with coreference to training data, and back for the scorers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.cli._util import Arg, Opt
from typer import echo

from . import elmo_app
from .coref_options import FORCE, FORMAT, PREFIX, Counts, Format, check_output
from .messages import msg

if TYPE_CHECKING:
    from ..coref.formats import Dropped


@elmo_app.command("convert-coref")
def convert_coref_cli(
    inputs: list[Path] = Arg(
        ..., metavar="INPUT...", help="Files, directories, or patterns such as 'data/**/*.conll'"
    ),
    output: Path = Arg(..., metavar="OUTPUT", help="File to write: .spacy, .conll or .jsonl"),
    format: Format = FORMAT,
    lang: str = Opt("en", "--lang", "-l", help="Language of the inputs"),
    prefix: str = PREFIX,
    force: bool = FORCE,
    skip_errors: bool = Opt(
        False, "--skip-errors", "-S", help="Leave out documents that cannot be read"
    ),
) -> None:
    """Convert coreference from CoNLL-2012, LitBank, CorefUD (CoNLL-U) or JSON lines to a
    .spacy file to train with, and from there to .conll for the official scorers, or to
    .jsonl.

    Words, sentences, entities, speakers, and names and parts of documents are kept, and
    genres but in CoNLL. What a format cannot hold is counted and left out.
    """
    counts, dropped = convert_coref(
        inputs,
        output,
        format=format.value,
        lang=lang,
        prefix=prefix,
        force=force,
        skip_errors=skip_errors,
    )
    if dropped.errors:
        n_left_out = len(dropped.errors)
        echo(f"Left out {n_left_out:,} of {counts.documents + n_left_out:,} documents:", err=True)
        for error in dropped.errors:
            echo(error, err=True)
    msg.table([(name, f"{number:,}") for name, number in vars(counts).items()], aligns=("l", "r"))
    for reason, number in dropped.rows():
        msg.warn(f"{number:,} {reason}")
    if not counts.mentions:
        msg.warn(
            f"There is no entity in what was read. Are the inputs annotated, and, if they are "
            f".spacy files, under {prefix}_1 (--prefix)?"
        )
    msg.good(f"Wrote {output}")


def convert_coref(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    format: str = "auto",
    lang: str = "en",
    prefix: str = "coref_clusters",
    force: bool = False,
    skip_errors: bool = False,
) -> "tuple[Counts, Dropped]":
    """Convert files; see `convert_coref_cli`.

    RETURNS (Tuple[Counts, Dropped]): What was converted, and what was left out.
    """
    import spacy

    from ..coref.formats import Dropped, find_files, read_coref, write_coref
    from ..coref.formats.registry import OUTPUTS, guess_format
    from ..files.atomic import atomic_file

    output = check_output(output, OUTPUTS, force)
    paths = find_files(inputs, format, outputs=[output])
    vocab = spacy.blank(lang).vocab
    counts, dropped = Counts(), Dropped(skip_errors)
    docs = (doc for path in paths for doc in read_coref(path, format, vocab, prefix, dropped))
    with atomic_file(output) as temporary:
        write_coref(counts.of(docs, prefix), temporary, guess_format(output), prefix, dropped)
        if dropped.errors and not counts.documents:
            raise ValueError(
                f"None of {len(dropped.errors):,} documents can be read. {dropped.errors[0]}"
            )
    return counts, dropped
