"""`mix`: which layers the components of a pipeline use."""

from pathlib import Path
from typing import List, Optional

from spacy.cli._util import Arg, Opt
from wasabi import msg

from . import elmo_app
from .errors import errors_as_sentences
from .mixes import ComponentMix, collect_mixes, load_pipeline, table_of


@elmo_app.command("mix")
def mix_cli(
    pipeline: str = Arg(
        ...,
        metavar="PIPELINE",
        help="Directory of a saved pipeline, or the name of an installed one",
    ),
    plot: Optional[Path] = Opt(
        None, "--plot", "-p", help="PNG file for a bar chart of the weights"
    ),
) -> None:
    """Show how the components of a trained pipeline mix the layers of the biLM: the
    weight of each layer, and the scale gamma."""
    with errors_as_sentences():
        mixes = mix(pipeline)
        msg.table(**table_of(mixes))
        if plot is not None:
            plot_mixes(mixes, plot)
            msg.good(f"Wrote the chart to {plot}")


def mix(pipeline: str) -> List[ComponentMix]:
    """Collect the mixes of a pipeline; see `mix_cli`.

    RETURNS (List[ComponentMix]): The mixes.
    """
    mixes = collect_mixes(load_pipeline(pipeline))
    if not mixes:
        raise ValueError(
            f"No component of {pipeline} uses ELMo: there is neither an 'elmo' component nor a "
            f"listener or biLM within another."
        )
    return mixes


def plot_mixes(mixes: List[ComponentMix], path: Path) -> None:
    """Draw a group of bars for each mix.

    mixes (List[ComponentMix]): The mixes.
    path (Path): The PNG file.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} must end in .png.")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(
            "Charts need matplotlib: install it with 'pip install spacy-elmo[plots]'."
        ) from error
    from ..weights.atomic import atomic_file

    depth = max(len(item.weights) for item in mixes)
    figure = Figure(figsize=(1.5 + 1.5 * len(mixes), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / depth
    for layer in range(depth):
        having = [i for i, item in enumerate(mixes) if layer < len(item.weights)]
        places = [i + (layer - (depth - 1) / 2) * width for i in having]
        heights = [mixes[i].weights[layer] for i in having]
        label = f"LSTM {layer}" if layer else "tokens"
        bars = axes.bar(places, heights, width, label=label)
        axes.bar_label(bars, fmt="%.2f", fontsize="x-small")
    names = [f"{item.component}\n{item.source}\n$\\gamma$ = {item.gamma:.2f}" for item in mixes]
    axes.set_xticks(range(len(mixes)), names)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("weight of the layer")
    axes.legend(fontsize="small")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
