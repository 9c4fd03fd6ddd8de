"""Entities of Docs as an HTML page that needs nothing beside it.

Each entity has a colour and a number. Mentions are underlined, and one that lies in another
nearer to the text than the other, so that nested and crossing ones can be told apart.
Owns the page; it reads entities off Docs and knows no model.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from spacy.tokens import Doc

from .clusters import DEFAULT_PREFIX, Clusters, get_named_clusters
from .entities import representatives
from .formats.coref_document import NAME, PART

HUE_STEP = 137.508  # degrees: the golden angle, which keeps any number of hues apart
LONG_NAME = 60  # characters of a mention in the list of entities

STYLE = """
body { margin: 0 auto; max-width: 80rem; padding: 1rem; font: 1rem/1.5 Georgia, serif;
  color: #222; background: #fff }
h1 { font-size: 1.2rem } h2 { font-size: 1rem }
.doc { display: flex; gap: 2rem; align-items: flex-start; margin-bottom: 3rem }
.text { flex: 3; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 2.6 }
.entities { flex: 1; position: sticky; top: 1rem; max-height: 95vh; overflow: auto;
  font: 0.85rem/1.4 sans-serif; list-style: none; margin: 0; padding: 0 }
.entities a { color: inherit; text-decoration: none }
.m { border-bottom: 2px solid hsl(var(--h) 65% 45%); padding-bottom: calc(var(--lane) * 4px) }
.m > sub { font: 0.6rem sans-serif; color: hsl(var(--h) 65% 32%); line-height: 0 }
.alone { border-bottom-style: dotted }
.swatch { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em;
  background: hsl(var(--h) 65% 45%) }
.lit { background: hsl(var(--h) 85% 88%) }
@media (max-width: 50rem) { .doc { display: block } .entities { position: static } }
"""

# lights up all mentions of the entity under the pointer, of nested ones the innermost
SCRIPT = """
document.addEventListener("mouseover", event => {
  document.querySelectorAll(".lit").forEach(part => part.classList.remove("lit"));
  const under = event.target.closest("[data-entity]");
  if (under) document.querySelectorAll(`[data-entity="${under.dataset.entity}"]`)
    .forEach(part => part.classList.add("lit"));
});
"""


class _Mention(NamedTuple):
    start: int
    end: int
    entity: int
    first: bool  # of its entity


def render_page(docs: Iterable[Doc], prefix: str = DEFAULT_PREFIX, title: str = "Entities") -> str:
    """Render Docs with their text, and the entities of each by their number of mentions.

    docs (Iterable[Doc]): The Docs.
    prefix (str): Entities are `<prefix>_<number>`.
    title (str): Of the page.
    RETURNS (str): A whole HTML document. It loads nothing, and all text is escaped.
    """
    return "".join(page_parts(docs, prefix, title))


def page_parts(
    docs: Iterable[Doc], prefix: str = DEFAULT_PREFIX, title: str = "Entities"
) -> Iterator[str]:
    """The page of `render_page` in parts, so that no more than one Doc need be held.

    docs (Iterable[Doc]): The Docs.
    prefix (str): Entities are `<prefix>_<number>`.
    title (str): Of the page.
    YIELDS (str): What comes before the Docs, a part for each of them, and what comes after.
    """
    title = escape(title)
    # the page's own words are English, whatever the texts are
    yield (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )
    for number, doc in enumerate(docs, start=1):
        yield _section(doc, number, prefix)
    yield f"<script>{SCRIPT}</script>\n</body>\n</html>\n"


def _section(doc: Doc, number: int, prefix: str) -> str:
    named = get_named_clusters(doc, prefix, words_only=True)
    best = representatives(doc, prefix)
    entries: list[tuple[int, str]] = []
    for entity, (key, mentions) in enumerate(named.items()):
        name = " ".join(best[key].text.split())
        name = name if len(name) <= LONG_NAME else name[: LONG_NAME - 1] + "…"
        label = f"{escape(name)} <small>{entity + 1} · {len(mentions)}×</small>"
        id_ = f"d{number}e{entity + 1}"
        entry = (
            f'<li data-entity="{id_}" style="{_hue(entity)}"><a href="#{id_}">'
            f'<span class="swatch"></span>{label}</a></li>\n'
        )
        entries.append((-len(mentions), entry))
    entries.sort(key=lambda entry: entry[0])
    listed = "".join(entry for _, entry in entries)
    return (
        f"<h2>{escape(_name(doc, number))}</h2>\n"
        f'<div class="doc" lang="{escape(doc.lang_)}">\n<div class="text" dir="auto">'
        f"{_text(doc, number, list(named.values()))}</div>\n"
        f'<ul class="entities">\n{listed}</ul>\n</div>\n'
    )


def _name(doc: Doc, number: int) -> str:
    name, part = (str(doc.user_data.get(key) or "") for key in (NAME, PART))
    return f"Document {number}{f': {name}' if name else ''}{f', part {part}' if part else ''}"


def _hue(entity: int) -> str:
    return f"--h:{entity * HUE_STEP % 360:.1f}"


def _text(doc: Doc, number: int, clusters: Clusters) -> str:
    """The text with an element around each mention. Elements cannot cross, so a mention
    that another one's end cuts is closed and opened again there."""
    mentions = [
        _Mention(start, end, entity, place == 0)
        for entity, entity_mentions in enumerate(clusters)
        for place, (start, end) in enumerate(entity_mentions)
    ]
    lanes = dict(zip(mentions, _lanes(mentions, len(doc))))
    starting: defaultdict[int, list[_Mention]] = defaultdict(list)
    for mention in sorted(mentions, key=lambda mention: -mention.end):
        starting[mention.start].append(mention)

    def opening(mention: _Mention, again: bool) -> str:
        id_ = f"d{number}e{mention.entity + 1}"
        anchor = f' id="{id_}"' if mention.first and not again else ""
        alone = " alone" if len(clusters[mention.entity]) == 1 else ""
        return (
            f'<span class="m{alone}" data-entity="{id_}"{anchor} '
            f'style="{_hue(mention.entity)};--lane:{lanes[mention]}">'
        )

    parts: list[str] = []
    inside: list[_Mention] = []  # the innermost last
    for token in doc:
        for mention in starting[token.i]:
            parts.append(opening(mention, again=False))
            inside.append(mention)
        parts.append(escape(token.text))
        cut: list[_Mention] = []
        while any(mention.end == token.i + 1 for mention in inside):
            mention = inside.pop()
            if mention.end == token.i + 1:
                parts.append(f"<sub>{mention.entity + 1}</sub></span>")
            else:
                parts.append("</span>")
                cut.append(mention)
        for mention in reversed(cut):
            parts.append(opening(mention, again=True))
            inside.append(mention)
        parts.append(token.whitespace_)
    return "".join(parts)


def _lanes(mentions: list[_Mention], n_tokens: int) -> list[int]:
    """How far below the text each mention is underlined: below all shorter ones that it
    overlaps."""
    used = [0] * n_tokens  # lanes under each token
    lanes = [0] * len(mentions)
    for place in sorted(range(len(mentions)), key=lambda i: mentions[i].end - mentions[i].start):
        start, end = mentions[place].start, mentions[place].end
        lanes[place] = max(used[start:end])
        used[start:end] = [lanes[place] + 1] * (end - start)
    return lanes
