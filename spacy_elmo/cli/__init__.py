"""`python -m spacy elmo ...`: one module per command.

Every call of spaCy's command line imports this package. The command modules therefore import only
spaCy's command line, typer and wasabi at the top, and the rest of spacy-elmo inside the commands.
"""

from spacy.cli._util import app

from .group import ElmoGroup

HELP = "Run, convert and inspect ELMo models."

elmo_app = ElmoGroup(name="elmo", help=HELP, no_args_is_help=True)
app.add_typer(elmo_app)

# each module registers its command
from . import convert, convert_coref, embed, evaluate, info, mix, pretrain, show_coref  # noqa: E402, F401
