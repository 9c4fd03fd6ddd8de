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
from . import (  # noqa: E402
    convert,  # noqa: F401
    convert_coref,  # noqa: F401
    convert_senses,  # noqa: F401
    embed,  # noqa: F401
    evaluate,  # noqa: F401
    info,  # noqa: F401
    mix,  # noqa: F401
    pretrain,  # noqa: F401
    show_coref,  # noqa: F401
)
