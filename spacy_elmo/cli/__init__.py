"""`python -m spacy elmo ...`: one module per command.

This module is imported by every call of spaCy's command line, so it and the command
modules import only typer and wasabi at the top; the work is imported when it is done.
"""

from spacy.cli._util import app

from .group import ElmoGroup

HELP = "Run, convert and inspect ELMo models."

elmo_app = ElmoGroup(name="elmo", help=HELP, no_args_is_help=True)
app.add_typer(elmo_app)

# each registers its command
from . import convert, convert_coref, embed, evaluate, info, mix, pretrain, show_coref  # noqa: E402, F401
