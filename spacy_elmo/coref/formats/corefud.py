"""Reading CorefUD and GUM: CoNLL-U with coreference.

The optional package udapi reads nodes, tokens and comments. The brackets of mentions are read here,
because udapi does not support mentions across sentences. Discontinuous mentions are left out,
because a span of a Doc consists of consecutive tokens.
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
BRACKETS = re.compile(r"\([^()]+\)?|[^()]+\)")
# a part of a discontinuous mention: entity, number of the part, number of parts
NUMBERED = re.compile(r"(.+)\[(\d+)/(\d+)\]")
N_COLUMNS = 10
# names of the field with the entity; GUM's own files use "GRP"
IDENTITY = ("eid", "GRP")

Lines = list[tuple[int, str]]


def read_corefud(path: PathLike, dropped: Dropped | None = None) -> Iterator[CorefDocument]:
    """Read a file.

    path (Union[str, Path]): The file. "# newdoc" begins a document.
    dropped (Optional[Dropped]): Counts mentions that are left out or lose empty nodes. Its
        `skip_errors` determines whether documents that cannot be read are left out.
    YIELDS (CorefDocument): Each document. Its words are the syntactic words, without empty nodes.
        Speakers and genre are read from GUM's comments.
    RAISES (ImportError): If udapi is not installed.
    RAISES (ValueError): If a document cannot be read and is not left out.
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
            # a file may have one header for all documents
            header = document.meta.get("global.Entity") or header
            clusters = _read_clusters(list(document.nodes_and_empty), header, dropped)
            found = _make_document(document, clusters, lines)
        except Exception as error:  # udapi raises errors of several types
            reason = str(error) or type(error).__name__
            dropped.refuse(
                ValueError(
                    f"{path}, the document from line {lines[0][0]} on, cannot be read: {reason}. "
                    f"Expected CoNLL-U with mentions in the format of CorefUD, such as "
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
    """Return whether lines contain words. Comments without words belong to the next sentence."""
    return not all(line.startswith("#") for _, line in sentence)


def _parse(lines: Lines) -> "Document":
    """Parse a document with udapi, after checking the number of columns, which udapi does not.

    lines (Lines): The lines of the document.
    RETURNS (udapi.core.document.Document): The document.
    RAISES (ValueError): If a line has a wrong number of columns, or if udapi cannot read a
        sentence.
    """
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
        # heads are not used, so they may be missing or wrong
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
    """Read the mentions, and join the parts of discontinuous mentions.

    nodes (Sequence[Node]): The nodes of the document, including empty nodes.
    header (str): The value of "global.Entity", which names the fields of a mention.
    RETURNS (Dict[str, List[List[int]]]): For each entity, the nodes of each mention.
    RAISES (ValueError): If a part of a mention is missing, or if brackets are invalid.
    """
    found: dict[str, list[list[int]]] = {}
    # incomplete discontinuous mentions, by their next part: entity, number, number of parts
    waiting: dict[tuple[str, int, int], list[list[int]]] = {}
    for name, places in _read_brackets(nodes, header):
        match = NUMBERED.fullmatch(name)
        entity, number, total = (match[1], int(match[2]), int(match[3])) if match else (name, 1, 1)
        if number == 1:
            mention: list[int] = []
            found.setdefault(entity, []).append(mention)
        elif not waiting.get((entity, number, total)):
            raise ValueError(f"there is a part {name}, but none with the number before it")
        else:
            mention = waiting[entity, number, total].pop(0)
        mention.extend(places)
        if number < total:
            waiting.setdefault((entity, number + 1, total), []).append(mention)
    for (entity, number, total), mentions in waiting.items():
        if mentions:
            raise ValueError(f"the part {entity}[{number}/{total}] of a mention is missing")
    return found


def _read_brackets(nodes: "Sequence[Node]", header: str) -> Iterator[tuple[str, range]]:
    """Read the pairs of brackets, in the order of their ends.

    nodes, header: See `_read_mentions`.
    YIELDS (Tuple[str, range]): The entity and the nodes of a pair.
    RAISES (ValueError): If the header is missing, or if brackets are invalid.
    """
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
        brackets = BRACKETS.findall(entity)
        if "".join(brackets) != entity:
            raise ValueError(f"the mentions {entity!r} at {node.address()} have no valid brackets")
        for bracket in brackets:
            values = bracket.strip("()").split("-")
            if bracket.startswith("("):
                name = values[field or 0]
                begun.setdefault(name, []).append(i)
            else:
                name = values[0]
            if bracket.endswith(")"):
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
    """Add mentions that lost empty nodes, unless they now equal another mention."""
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
    """Return whether a space follows a word. A space follows the words of a multiword token if
    their concatenation differs from the token, e.g. "de" and "el" of "del"."""
    token = node.multiword_token
    if token is not None and node is not token.words[-1]:
        return bool("".join(word.form for word in token.words) != token.form)
    return not (token or node).no_space_after


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep udapi from configuring the process's logging when it warns, and from running a full
    garbage collection after each document."""
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
