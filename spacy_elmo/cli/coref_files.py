"""What the commands that read and write coreference have in common: how inputs and entities
are named, and what an output may be."""

from enum import Enum
from pathlib import Path
from typing import Sequence, Union

from spacy.cli._util import Opt


class Format(str, Enum):
    auto = "auto"
    conll = "conll"
    corefud = "corefud"
    jsonl = "jsonl"
    spacy = "spacy"


FORMAT = Opt(
    Format.auto, "--format", "-f", help="Format of the inputs; auto for what their names tell"
)
PREFIX = Opt(
    "coref_clusters", "--prefix", "-p", help="The entities are doc.spans[PREFIX_1] and so on"
)
FORCE = Opt(False, "--force", "-F", help="Replace OUTPUT if it is there")


def check_output(output: Union[str, Path], suffixes: Sequence[str], force: bool) -> Path:
    """Refuse what cannot be written or should not be replaced.

    output (Union[str, Path]): The file to write.
    suffixes (Sequence[str]): What its name may end in.
    force (bool): Whether it may be there already.
    RETURNS (Path): The file.
    """
    output = Path(output)
    if output.suffix not in suffixes:
        raise ValueError(f"OUTPUT is {output}, but it must end in {', '.join(suffixes)}.")
    if not output.parent.is_dir():
        raise ValueError(f"There is no directory {output.parent} to write {output.name} to.")
    if output.exists() and not force:
        raise ValueError(
            f"{output} is there already, and the last file that is named is the OUTPUT. Give "
            f"--force to replace it."
        )
    return output
