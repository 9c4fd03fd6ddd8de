"""What the commands that read and write coreference have in common: how inputs and entities
are named, how they are counted, and what an output may be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.cli._util import Opt

if TYPE_CHECKING:
    from spacy.tokens import Doc


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


@dataclass
class Counts:
    """What was read."""

    documents: int = 0
    tokens: int = 0
    entities: int = 0
    mentions: int = 0
    singletons: int = 0

    def of(self, docs: "Iterable[Doc]", prefix: str) -> "Iterator[Doc]":
        """Count Docs while they pass.

        docs (Iterable[Doc]): The Docs.
        prefix (str): Of the keys of their entities.
        """
        from ..coref.clusters import get_clusters

        for doc in docs:
            sizes = [len(cluster) for cluster in get_clusters(doc, prefix)]
            self.documents += 1
            self.tokens += len(doc)
            self.entities += len(sizes)
            self.mentions += sum(sizes)
            self.singletons += sizes.count(1)
            yield doc


def check_output(output: str | Path, suffixes: Sequence[str], force: bool) -> Path:
    """Refuse what cannot be written or should not be replaced.

    output (Union[str, Path]): The file to write.
    suffixes (Sequence[str]): What its name may end in.
    force (bool): Whether it may be there already.
    RETURNS (Path): The file.
    """
    output = Path(output)
    if output.suffix.lower() not in suffixes:
        raise ValueError(f"OUTPUT is {output}, but it must end in {', '.join(suffixes)}.")
    if output.exists() and not force:
        raise ValueError(
            f"{output} is there already, and the last file that is named is the OUTPUT. Give "
            f"--force to replace it."
        )
    return output
