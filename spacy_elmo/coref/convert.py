"""Converting files with coreference annotation between formats."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import spacy
from spacy.tokens import Doc

from ..files.atomic import atomic_file
from ..files.output_file import check_output
from ..files.paths import PathLike
from .clusters import DEFAULT_PREFIX, get_clusters
from .formats import Dropped, find_files, read_coref, write_coref
from .formats.registry import AUTO, OUTPUTS, guess_format


@dataclass
class Counts:
    """Counts of documents and their annotation."""

    documents: int = 0
    tokens: int = 0
    entities: int = 0
    mentions: int = 0
    singletons: int = 0

    def count(self, docs: Iterable[Doc], prefix: str) -> Iterator[Doc]:
        """Count a stream of Docs.

        docs (Iterable[Doc]): The Docs.
        prefix (str): Prefix of the keys of `doc.spans` that hold the clusters.
        YIELDS (Doc): The same Docs.
        """
        for doc in docs:
            sizes = [len(cluster) for cluster in get_clusters(doc, prefix)]
            self.documents += 1
            self.tokens += len(doc)
            self.entities += len(sizes)
            self.mentions += sum(sizes)
            self.singletons += sizes.count(1)
            yield doc


def convert_coref(
    inputs: Sequence[PathLike],
    output: PathLike,
    *,
    format: str = AUTO,
    lang: str = "en",
    prefix: str = DEFAULT_PREFIX,
    force: bool = False,
    skip_errors: bool = False,
) -> tuple[Counts, Dropped]:
    """Convert files with coreference annotation to one file.

    inputs (Sequence[Union[str, Path]]): Files, directories or patterns; see `find_files`.
    output (Union[str, Path]): The file to write: .spacy, .conll or .jsonl.
    format (str): Format of the inputs, "auto" to infer it from their names.
    lang (str): Language of the inputs.
    prefix (str): Prefix of the keys of `doc.spans` that hold the clusters.
    force (bool): Whether to replace an existing output.
    skip_errors (bool): Whether to skip documents that cannot be read.
    RETURNS (Tuple[Counts, Dropped]): Counts of the converted annotation, and of the annotation that
        was left out.
    RAISES (ValueError): If the output exists or has another suffix, or if an input cannot be
        read; with `skip_errors`, if no document can be read.
    """
    output = check_output(output, OUTPUTS, force)
    paths = find_files(inputs, format, outputs=[output])
    vocab = spacy.blank(lang).vocab
    counts, dropped = Counts(), Dropped(skip_errors)
    docs = (doc for path in paths for doc in read_coref(path, format, vocab, prefix, dropped))
    with atomic_file(output) as temporary:
        write_coref(counts.count(docs, prefix), temporary, guess_format(output), prefix, dropped)
        if dropped.errors and not counts.documents:
            raise ValueError(
                f"None of {len(dropped.errors):,} documents can be read. {dropped.errors[0]}"
            )
    return counts, dropped
