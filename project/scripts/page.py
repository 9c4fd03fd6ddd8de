"""Rendering of the report as one self-contained HTML page.

All text is escaped: Markdown is rendered with HTML disabled, and the Jinja template escapes its
values. The exceptions are displaCy's output and the pages in frames, which escape their text.
"""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup

IMAGE = re.compile(r'src="([^":]+\.png)"')
TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { max-width: 60rem; margin: 0 auto; padding: 1rem; font: 1rem/1.5 Georgia, serif; color: #222;
  background: #fff; overflow-wrap: anywhere }
table { border-collapse: collapse; font: 0.9rem sans-serif }
th, td { border-bottom: 1px solid #ccc; padding: 0.25rem 0.7rem; text-align: left;
  vertical-align: top; overflow-wrap: normal }
img { max-width: 100% }
iframe { width: 100%; height: 30rem; border: 1px solid #ccc; box-sizing: border-box }
.wide { overflow-x: auto; margin: 1rem 0; max-width: 100% }
.drawing { border: 1px solid #ccc; padding: 0.5rem 1rem; overflow: auto hidden;
  overflow-wrap: normal }
.drawing figure { margin: 0 !important }
@media (max-width: 40rem) { th, td { padding: 0.25rem 0.4rem } table { font-size: 0.8rem } }
</style>
</head>
<body>
{{ body }}
{% if drawings %}<h2>An example</h2>{% endif %}
{% for drawing in drawings %}
<h3>{{ drawing.title }}</h3>
{% if drawing.is_page %}<iframe title="{{ drawing.title }}" srcdoc="{{ drawing.html }}"></iframe>
{% else %}<div class="drawing" dir="auto">{{ drawing.html|safe }}</div>
{% endif %}{% endfor %}
<script>
// fit the height of each frame to its page, also after each change of the window's width
const fit = frame => {
  const page = frame.contentDocument && frame.contentDocument.documentElement;
  if (!page) return;
  frame.style.height = "0";
  frame.style.height = page.scrollHeight + 4 + "px";
};
const fitAll = () => document.querySelectorAll("iframe").forEach(fit);
document.querySelectorAll("iframe").forEach(frame => frame.addEventListener("load", fitAll));
addEventListener("resize", fitAll);
addEventListener("load", fitAll);
</script>
</body>
</html>
"""


class Drawing(NamedTuple):
    """A visualization of the predictions of a pipeline.

    title (str): Name of the task.
    html (str): The visualization, with escaped text.
    is_page (bool): Whether it is a whole page, which is shown in a frame.
    """

    title: str
    html: str
    is_page: bool


def to_html(text: str, folder: Path, title: str, drawings: Sequence[Drawing]) -> str:
    """Render the report.

    text (str): The report in Markdown.
    folder (Path): Folder of its plots.
    title (str): Title of the page.
    drawings (Sequence[Drawing]): Visualizations to show after the report.
    RETURNS (str): The page.
    """

    def inline(match: "re.Match[str]") -> str:
        data = base64.b64encode((folder / match[1]).read_bytes()).decode("ascii")
        return f'src="data:image/png;base64,{data}"'

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = IMAGE.sub(inline, body)
    # wide tables scroll horizontally within the page
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE)
    return template.render(body=Markup(body), title=title, drawings=drawings) + "\n"
