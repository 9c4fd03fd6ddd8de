"""Options of the commands that read and write coreference annotation."""

from enum import Enum

from spacy.cli._util import Opt


class Format(str, Enum):
    """Formats of input files, with their names in `spacy_elmo.coref.formats`."""

    auto = "auto"
    conll = "conll"
    corefud = "corefud"
    jsonl = "jsonl"
    spacy = "spacy"


FORMAT = Opt(
    Format.auto,
    "--format",
    "-f",
    help="Format of the inputs; auto infers it from their file names",
)
PREFIX = Opt(
    "coref_clusters",
    "--prefix",
    "-p",
    help="Prefix of the span groups of the entities: doc.spans[PREFIX_1] and so on",
)
FORCE = Opt(False, "--force", "-F", help="Replace OUTPUT if it exists")
