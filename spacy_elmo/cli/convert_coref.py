"""The command `convert-coref`: convert coreference annotation between the common formats."""

from pathlib import Path

from spacy.cli._util import Arg, Opt
from typer import echo

from . import elmo_app
from .coref_options import FORCE, FORMAT, PREFIX, Format
from .messages import msg


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
        False, "--skip-errors", "-S", help="Skip documents that cannot be read"
    ),
) -> None:
    """Convert coreference annotation from CoNLL-2012, LitBank, CorefUD (CoNLL-U) or JSON
    lines to a .spacy file for training, or to .conll for the official scorers, or to .jsonl.

    Words, sentences, entities, speakers, document names and part numbers are preserved,
    and genres except in .conll. What the output format cannot represent is left out, and
    its amount is printed.
    """
    from ..coref.convert import convert_coref

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
            f"The inputs contain no entities. Check that they are annotated. In .spacy files, the "
            f"keys of the entities must be {prefix}_1 and so on; --prefix changes them."
        )
    msg.good(f"Wrote {output}")
