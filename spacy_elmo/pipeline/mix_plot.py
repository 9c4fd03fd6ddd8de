"""A bar chart of the mixes of a pipeline's components."""

from pathlib import Path
from textwrap import wrap

from ..files.atomic import atomic_file
from .mixes import ComponentMix

NAME_WIDTH = 16  # characters in a line of a label


def plot_mixes(mixes: list[ComponentMix], path: Path) -> None:
    """Plot the layer weights of each mix as a group of bars.

    mixes (List[ComponentMix]): The mixes, at least one.
    path (Path): The PNG file to write.
    RAISES (ValueError): If the path does not end in .png, or matplotlib is not installed.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} must end in .png.")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(
            "Charts require matplotlib: install it with 'pip install spacy-elmo[plots]'."
        ) from error

    n_layers = max(len(mix.weights) for mix in mixes)
    figure = Figure(figsize=(2 + 1.5 * max(2, len(mixes)), 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / n_layers
    for layer in range(n_layers):
        with_layer = [i for i, mix in enumerate(mixes) if layer < len(mix.weights)]
        centers = [i + (layer - (n_layers - 1) / 2) * width for i in with_layer]
        heights = [mixes[i].weights[layer] for i in with_layer]
        bars = axes.bar(centers, heights, width, label=f"LSTM {layer}" if layer else "tokens")
        axes.bar_label(bars, fmt="%.2f", fontsize="x-small")
    axes.set_xticks(range(len(mixes)), [_label(mix) for mix in mixes], fontsize="small")
    axes.set_xlim(-0.6, len(mixes) - 0.4)
    axes.set_ylim(0, 1.05)
    axes.set(xlabel="component and source of its layers", ylabel="weight of the layer")
    # above the axes, where it covers no bar
    figure.legend(loc="outside upper center", ncols=min(n_layers, 4), fontsize="small")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _label(mix: ComponentMix) -> str:
    """Return the name, source and gamma of a mix, wrapped to the width of its bars. "$" is escaped,
    because matplotlib reads it as the start of a formula."""
    lines = [line for name in (mix.component, mix.source) for line in wrap(name, NAME_WIDTH)]
    return "\n".join(lines).replace("$", r"\$") + f"\n$\\gamma$ = {mix.gamma:.2f}"
