"""The command `convert-senses`: JSON lines with word senses to a file for training."""

from pathlib import Path

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg


@elmo_app.command("convert-senses")
def convert_senses_cli(
    inputs: list[Path] = Arg(
        ..., metavar="INPUT...", help="Files in JSON lines", exists=True, dir_okay=False
    ),
    output: Path = Arg(..., metavar="OUTPUT", help="File to write: .spacy"),
    lang: str = Opt("en", "--lang", "-l", help="Language of the texts"),
    spans_key: str = Opt("senses", "--spans-key", help="Key of the senses in doc.spans"),
    force: bool = Opt(False, "--force", "-F", help="Replace OUTPUT if it exists"),
) -> None:
    """Convert texts with annotated word senses from JSON lines to a .spacy file for training.

    Each line has a text and spans of characters, whose labels are the word, a percent sign and the
    name of the sense: {"text": "They sat on the bank.", "spans": [{"start": 16, "end": 20, "label":
    "bank%river"}]}.
    """
    from ..senses.convert import convert_senses

    counts = convert_senses(inputs, output, lang=lang, spans_key=spans_key, force=force)
    msg.table([(name, f"{number:,}") for name, number in vars(counts).items()], aligns=("l", "r"))
    if counts.misaligned:
        msg.warn(
            f"Left out {counts.misaligned:,} spans that do not begin and end with a token. Check "
            f"their offsets and the language (--lang)."
        )
    msg.good(f"Wrote {output}")
