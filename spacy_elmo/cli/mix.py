"""The command `mix`: print the layer weights that the components of a pipeline have learned."""

from pathlib import Path

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg


@elmo_app.command("mix")
def mix_cli(
    pipeline: str = Arg(
        ...,
        metavar="PIPELINE",
        help="Directory of a saved pipeline, or the name of an installed one",
    ),
    plot: Path | None = Opt(None, "--plot", "-p", help="PNG file for a bar chart of the weights"),
) -> None:
    """Print how each component of a trained pipeline mixes the layers of the biLM: the
    weight of each layer, and the scale gamma."""
    from ..pipeline.mix_plot import plot_mixes
    from ..pipeline.mixes import mixes_of_pipeline, table_of

    mixes = mixes_of_pipeline(pipeline)
    msg.table(**table_of(mixes))
    if plot is not None:
        plot_mixes(mixes, plot)
        msg.good(f"Wrote the chart to {plot}")
