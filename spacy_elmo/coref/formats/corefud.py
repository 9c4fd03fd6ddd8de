"""Reading CorefUD and GUM: CoNLL-U with entities, through udapi.

Owns the brackets, and which mentions a Doc can have: those of neighbouring words. Nodes,
tokens and comments are left to udapi, an optional package that is imported when a file is
read. Its own entities are not used, as they have no mentions that go on in the next sentence.
"""

import gc
import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING

from ...files.paths import PathLike
from ..clusters import Clusters, Mention
from .coref_document import CorefDocument
from .dropped import DISCONTINUOUS, EMPTY_NODES, SHORTENED, Dropped
from .lines import numbered_lines

if TYPE_CHECKING:
    from udapi.core.document import Document
    from udapi.core.node import Node

NEWDOC = re.compile(r"#\s*newdoc\b(?:\s+id\s*=\s*(?P<name>.*\S))?")
SPEAKER = re.compile(r"^\s*speaker\s*=\s*(.*\S)", re.M)
GENRE = re.compile(r"^\s*meta::genre\s*=\s*(.*\S)", re.M)
PIECE = re.compile(r"\([^()]+\)?|[^()]+\)")
# of a mention with gaps
NUMBERED = re.compile(r"(.+)\[(\d+)/(\d+)\]")
N_COLUMNS = 10
# in GUM's own files it is that of the document
IDENTITY = ("eid", "GRP")

Lines = list[tuple[int, str]]


def read_corefud(path: PathLike, dropped: Dropped | None = None) -> Iterator[CorefDocument]:
    """Read a file.

    path (Union[str, Path]): The file; "# newdoc" begins a document.
    dropped (Optional[Dropped]): Counts mentions that were left out, and those that lost
        empty nodes; and says whether documents that cannot be read are left out.
    YIELDS (CorefDocument): Each document. Its words are the syntactic ones, without empty
        nodes. Speakers and genre are those of GUM's comments.
    """
    try:
        import udapi.core.document  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"CorefUD files are read with udapi, which cannot be imported here ({error}). Install "
            f"it with: pip install 'spacy-elmo[corefud]'"
        ) from error
    dropped = Dropped() if dropped is None else dropped
    header = ""
    for lines in _split_documents(path):
        try:
            document = _parse(lines)
            # it may be there once for all documents
            header = document.meta.get("global.Entity") or header
            clusters = _read_clusters(list(document.nodes_and_empty), header, dropped)
            found = _make_document(document, clusters, lines)
        except Exception as error:  # udapi raises all kinds
            reason = str(error) or type(error).__name__
            dropped.refuse(
                ValueError(
                    f"{path}, the document from line {lines[0][0]} on, cannot be read: {reason}. "
                    f"Expected CoNLL-U with mentions as CorefUD has them, such as "
                    f"'Entity=(e1-person-1-' to 'Entity=e1)'."
                )
            )
        else:
            yield found


def _split_documents(path: PathLike) -> Iterator[Lines]:
    """YIELDS (Lines): The lines of each document with their numbers; sentences end with ""."""
    lines: Lines = []
    sentence: Lines = []
    number = 0
    for number, line in numbered_lines(path):
        if line.strip():
            sentence.append((number, line))
            if NEWDOC.match(line):
                if lines:
                    yield lines
                lines = []
        elif _has_words(sentence):
            lines += [*sentence, (number, "")]
            sentence = []
    lines += [*sentence, (number + 1, "")] if _has_words(sentence) else []
    if lines:
        yield lines


def _has_words(sentence: Lines) -> bool:
    """Whether it is more than comments, which belong to the next sentence."""
    return not all(line.startswith("#") for _, line in sentence)


def _parse(lines: Lines) -> "Document":
    """Parse a document with udapi, which takes rows of any number of columns for whole ones."""
    for number, line in lines:
        columns = line.count("\t") + 1
        if line and not line.startswith("#") and columns != N_COLUMNS:
            raise ValueError(
                f"line {number} has {columns} columns, not {N_COLUMNS} with tabs between them"
            )
    try:
        return _run_udapi([line for _, line in lines])
    except Exception as error:
        begin = 0
        for end, (_, line) in enumerate(lines):
            if not line:
                try:
                    _run_udapi([line for _, line in lines[begin : end + 1]])
                except Exception as first:
                    place = f"the sentence from line {lines[begin][0]} on"
                    raise ValueError(f"{place}: {first or type(first).__name__}") from error
                begin = end + 1
        raise


def _run_udapi(lines: list[str]) -> "Document":
    from udapi.block.read.conllu import Conllu
    from udapi.core.document import Document

    document = Document()
    text = io.StringIO("\n".join(lines) + "\n")
    with _quiet():
        # heads are of no interest here, so they may be missing or wrong
        reader = Conllu(filehandle=text, empty_parent="ignore", fix_cycles=True)
        reader.process_document(document)
    return document


def _read_clusters(nodes: "Sequence[Node]", header: str, dropped: Dropped) -> Clusters:
    numbers = list(accumulate((not node.is_empty() for node in nodes), initial=0))
    clusters: Clusters = []
    shortened: list[tuple[list[Mention], Mention]] = []
    for mentions in _read_mentions(nodes, header).values():
        cluster: list[Mention] = []
        clusters.append(cluster)
        for places in mentions:
            tokens = [numbers[i] for i in places if not nodes[i].is_empty()]
            if not tokens:
                dropped[EMPTY_NODES] += 1
            elif tokens[-1] - tokens[0] >= len(tokens):
                dropped[DISCONTINUOUS] += 1
            elif len(tokens) < len(places):
                shortened.append((cluster, (tokens[0], tokens[-1] + 1)))
            else:
                cluster.append((tokens[0], tokens[-1] + 1))
    _add_shortened(clusters, shortened, dropped)
    return [cluster for cluster in clusters if cluster]


def _read_mentions(nodes: "Sequence[Node]", header: str) -> dict[str, list[list[int]]]:
    """The nodes of the mentions of each entity."""
    found: dict[str, list[list[int]]] = {}
    # mentions that the piece of that number and total is missing from
    waiting: dict[tuple[str, int, int], list[list[int]]] = {}
    for name, places in _read_pieces(nodes, header):
        match = NUMBERED.fullmatch(name)
        entity, number, total = (match[1], int(match[2]), int(match[3])) if match else (name, 1, 1)
        if number == 1:
            mention: list[int] = []
            found.setdefault(entity, []).append(mention)
        elif not waiting.get((entity, number, total)):
            raise ValueError(f"there is a piece {name}, but none with the number before it")
        else:
            mention = waiting[entity, number, total].pop(0)
        mention.extend(places)
        if number < total:
            waiting.setdefault((entity, number + 1, total), []).append(mention)
    for (entity, number, total), mentions in waiting.items():
        if mentions:
            raise ValueError(f"there is no piece {entity}[{number}/{total}] to go with the others")
    return found


def _read_pieces(nodes: "Sequence[Node]", header: str) -> Iterator[tuple[str, range]]:
    """Stretches of nodes with the entities that they are of, in the order of their ends."""
    fields = header.split("-")
    field = next((i for i, name in enumerate(fields) if name in IDENTITY), None)
    begun: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        entity = node.misc["Entity"]
        if entity and field is None:
            raise ValueError(
                f"there are entities, but no line such as '# global.Entity = eid-etype-head-other' "
                f"before {node.address()}"
            )
        pieces = PIECE.findall(entity)
        if "".join(pieces) != entity:
            raise ValueError(f"the mentions {entity!r} at {node.address()} have no such brackets")
        for piece in pieces:
            values = piece.strip("()").split("-")
            if piece.startswith("("):
                name = values[field or 0]
                begun.setdefault(name, []).append(i)
            else:
                name = values[0]
            if piece.endswith(")"):
                if not begun.get(name):
                    raise ValueError(
                        f"a mention of {name} ends at {node.address()}, but none began"
                    )
                yield name, range(begun[name].pop(), i + 1)
    for name, places in begun.items():
        for i in places:
            raise ValueError(f"a mention of {name} begins at {nodes[i].address()} without an end")


def _add_shortened(
    clusters: Clusters, shortened: list[tuple[list[Mention], Mention]], dropped: Dropped
) -> None:
    """Add mentions that lost empty nodes, but none that now looks like another mention."""
    taken: set[Mention] = {mention for cluster in clusters for mention in cluster}
    for cluster, mention in shortened:
        if mention in taken:
            dropped[EMPTY_NODES] += 1
        else:
            cluster.append(mention)
            taken.add(mention)
            dropped[SHORTENED] += 1


def _make_document(document: "Document", clusters: Clusters, lines: Lines) -> CorefDocument:
    words: list[str] = []
    sent_starts: list[bool] = []
    spaces: list[bool] = []
    speakers: list[str] = []
    comments = ""
    for tree in document.trees:
        comments += tree.comment or ""
        speaker = SPEAKER.search(tree.comment or "")
        for i, node in enumerate(tree.descendants):
            words.append(node.form)
            sent_starts.append(i == 0)
            spaces.append(_has_space(node))
            speakers.append(speaker[1] if speaker else "")
    genre = GENRE.search(comments)
    headers = (NEWDOC.match(line) for _, line in lines)
    name = next((match["name"] for match in headers if match), None)
    return CorefDocument(
        words=words,
        clusters=clusters,
        sent_starts=sent_starts,
        spaces=spaces,
        speakers=speakers,
        name=name or "",
        genre=genre[1] if genre else "",
    )


def _has_space(node: "Node") -> bool:
    """Whether a space follows a word. Words of one token that do not spell it, such as "de"
    and "el" of "del", are kept apart."""
    token = node.multiword_token
    if token is not None and node is not token.words[-1]:
        return bool("".join(word.form for word in token.words) != token.form)
    return not (token or node).no_space_after


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave the program's logging as it is, which udapi would set up when it warns, and have
    no full garbage collection after each document."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        if enabled:
            gc.enable()
