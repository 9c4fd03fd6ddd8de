"""`mix`: which layers the components of a pipeline use."""

from pathlib import Path
from textwrap import wrap

from spacy.cli._util import Arg, Opt

from ..pipeline.mixes import ComponentMix, collect_mixes, load_pipeline, table_of
from . import elmo_app
from .messages import msg

NAME_WIDTH = 16  # characters


@elmo_app.command("mix")
def mix_cli(
    pipeline: str = Arg(
        ...,
        metavar="PIPELINE",
        help="Directory of a saved pipeline, or the name of an installed one",
    ),
    plot: Path | None = Opt(None, "--plot", "-p", help="PNG file for a bar chart of the weights"),
) -> None:
    """Show how the components of a trained pipeline mix the layers of the biLM: the
    weight of each layer, and the scale gamma."""
    mixes = mix(pipeline)
    msg.table(**table_of(mixes))
    if plot is not None:
        plot_mixes(mixes, plot)
        msg.good(f"Wrote the chart to {plot}")


def mix(pipeline: str) -> list[ComponentMix]:
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


def plot_mixes(mixes: list[ComponentMix], path: Path) -> None:
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
    from ..files.atomic import atomic_file

    depth = max(len(item.weights) for item in mixes)
    figure = Figure(figsize=(2 + 1.5 * max(2, len(mixes)), 4), layout="constrained")
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
    axes.set_xticks(range(len(mixes)), [_describe(item) for item in mixes], fontsize="small")
    axes.set_xlim(-0.6, len(mixes) - 0.4)
    axes.set_ylim(0, 1.05)
    axes.set(xlabel="component, and where its layers come from", ylabel="weight of the layer")
    # above the axes, where it covers no bar
    figure.legend(loc="outside upper center", ncols=min(depth, 4), fontsize="small")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _describe(item: ComponentMix) -> str:
    """RETURNS (str): The name of a component and its source, in lines as wide as its bars. A "$"
    is no formula."""
    names = [line for name in (item.component, item.source) for line in wrap(name, NAME_WIDTH)]
    return "\n".join(names).replace("$", r"\$") + f"\n$\\gamma$ = {item.gamma:.2f}"
