"""Rendering of the clusters of Docs as a self-contained HTML page.

Each entity has a color and a number. Mentions are underlined. The underline of a mention inside
another mention is closer to the text, so that nested and crossing mentions can be distinguished.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader
from spacy.tokens import Doc

from .clusters import DEFAULT_PREFIX, Clusters, get_named_clusters
from .entities import representatives
from .formats.coref_document import DOCUMENT_ID, DOCUMENT_PART

HUE_STEP = 137.508  # degrees: multiples of the golden angle are distinct hues
MAX_NAME = 60  # characters of a name in the list of entities


class PageEntity(NamedTuple):
    """An entity in the list of entities.

    id (str): Identifier in the page.
    number (int): Number in the document, from 1.
    hue (str): Hue of its color, in degrees.
    name (str): Text of its representative mention.
    n_mentions (int): Number of mentions.
    """

    id: str
    number: int
    hue: str
    name: str
    n_mentions: int


class MentionTag(NamedTuple):
    """The start or end tag of a mention in the text.

    is_start (bool): Whether it is a start tag.
    id (str): Identifier of the entity in the page.
    hue (str): Hue of the entity's color, in degrees.
    lane (int): Distance of the underline from the text.
    is_singleton (bool): Whether the entity has no other mention.
    is_anchor (bool): Whether the list of entities links to this tag.
    number (int): Number of the entity, shown before an end tag; 0 to show none.
    """

    is_start: bool
    id: str = ""
    hue: str = ""
    lane: int = 0
    is_singleton: bool = False
    is_anchor: bool = False
    number: int = 0


class _Mention(NamedTuple):
    start: int
    end: int
    entity: int
    is_first: bool  # of its entity


def render_page(docs: Iterable[Doc], prefix: str = DEFAULT_PREFIX, title: str = "Entities") -> str:
    """Render Docs as a page that shows the text and the entities of each Doc, most mentions first.

    docs (Iterable[Doc]): The Docs.
    prefix (str): Prefix of the keys of clusters.
    title (str): Title of the page.
    RETURNS (str): A complete HTML document, which loads no other files. All text is escaped.
    """
    return "".join(page_parts(docs, prefix, title))


def page_parts(
    docs: Iterable[Doc], prefix: str = DEFAULT_PREFIX, title: str = "Entities"
) -> Iterator[str]:
    """Render the page of `render_page` one Doc at a time, to bound memory.

    docs (Iterable[Doc]): The Docs.
    prefix (str): Prefix of the keys of clusters.
    title (str): Title of the page.
    YIELDS (str): The start of the page, each Doc, and the end of the page.
    """
    yield str(_macros().start(title))
    for number, doc in enumerate(docs, start=1):
        yield render_doc(doc, number, prefix)
    yield str(_macros().end())


def render_doc(doc: Doc, number: int, prefix: str = DEFAULT_PREFIX) -> str:
    """Render the section of a Doc.

    doc (Doc): The Doc.
    number (int): Number of the Doc in the page, from 1.
    prefix (str): Prefix of the keys of clusters.
    RETURNS (str): HTML of the section.
    """
    named = get_named_clusters(doc, prefix, words_only=True)
    best = representatives(doc, prefix)
    entities = [
        PageEntity(
            id=_id(number, entity),
            number=entity + 1,
            hue=_hue(entity),
            name=_shorten(best[key].text),
            n_mentions=len(mentions),
        )
        for entity, (key, mentions) in enumerate(named.items())
    ]
    section = _macros().document(
        heading=_heading(doc, number),
        lang=doc.lang_,
        items=_text_and_tags(doc, number, list(named.values())),
        entities=sorted(entities, key=lambda entity: -entity.n_mentions),
    )
    return str(section)


@cache
def _macros() -> Any:
    """RETURNS (jinja2.environment.TemplateModule): The macros of the template."""
    environment = Environment(
        loader=PackageLoader("spacy_elmo.coref"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.jinja").module


def _heading(doc: Doc, number: int) -> str:
    heading = f"Document {number}"
    if name := str(doc.user_data.get(DOCUMENT_ID) or ""):
        heading += f": {name}"
    if part := str(doc.user_data.get(DOCUMENT_PART) or ""):
        heading += f", part {part}"
    return heading


def _id(number: int, entity: int) -> str:
    return f"d{number}e{entity + 1}"


def _hue(entity: int) -> str:
    return f"{entity * HUE_STEP % 360:.1f}"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def _text_and_tags(doc: Doc, number: int, clusters: Clusters) -> Iterator[str | MentionTag]:
    """Yield the text of a Doc with a start and an end tag for each mention.

    HTML elements cannot cross. If a mention ends inside another mention that began later, the
    element of the later mention is closed and reopened.

    doc (Doc): The Doc.
    number (int): Number of the Doc in the page.
    clusters (Clusters): The mentions of each entity.
    YIELDS (Union[str, MentionTag]): Text, which is not escaped, and tags.
    """
    mentions = [
        _Mention(start=start, end=end, entity=entity, is_first=index == 0)
        for entity, cluster in enumerate(clusters)
        for index, (start, end) in enumerate(cluster)
    ]
    lanes = dict(zip(mentions, _lanes(mentions, len(doc))))
    starting: defaultdict[int, list[_Mention]] = defaultdict(list)
    for mention in sorted(mentions, key=lambda mention: -mention.end):
        starting[mention.start].append(mention)

    def start_tag(mention: _Mention, is_anchor: bool) -> MentionTag:
        return MentionTag(
            is_start=True,
            id=_id(number, mention.entity),
            hue=_hue(mention.entity),
            lane=lanes[mention],
            is_singleton=len(clusters[mention.entity]) == 1,
            is_anchor=is_anchor,
        )

    texts: list[str] = []  # since the last tag
    open_mentions: list[_Mention] = []  # the innermost one is the last
    for token in doc:
        if token.i in starting:
            yield "".join(texts)
            texts = []
            for mention in starting[token.i]:
                yield start_tag(mention, mention.is_first)
                open_mentions.append(mention)
        texts.append(token.text)
        end = token.i + 1
        if any(mention.end == end for mention in open_mentions):
            yield "".join(texts)
            texts = []
            reopened: list[_Mention] = []
            while any(mention.end == end for mention in open_mentions):
                mention = open_mentions.pop()
                if mention.end == end:
                    yield MentionTag(is_start=False, number=mention.entity + 1)
                else:
                    yield MentionTag(is_start=False)
                    reopened.append(mention)
            for mention in reversed(reopened):
                yield start_tag(mention, is_anchor=False)
                open_mentions.append(mention)
        texts.append(token.whitespace_)
    yield "".join(texts)


def _lanes(mentions: list[_Mention], n_tokens: int) -> list[int]:
    """Return the lane of each mention's underline. The lane is below the lanes of all shorter
    mentions that overlap the mention.

    mentions (List[_Mention]): The mentions.
    n_tokens (int): Tokens of the Doc.
    RETURNS (List[int]): Lanes from 0, the one closest to the text.
    """
    used = [0] * n_tokens  # lanes under each token
    lanes = [0] * len(mentions)
    for index in sorted(range(len(mentions)), key=lambda i: mentions[i].end - mentions[i].start):
        start, end = mentions[index].start, mentions[index].end
        lanes[index] = max(used[start:end])
        used[start:end] = [lanes[index] + 1] * (end - start)
    return lanes
