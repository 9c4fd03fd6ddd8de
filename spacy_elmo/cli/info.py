"""The command `info`: print the sizes of a biLM, or the ELMo components of a pipeline."""

import json
from pathlib import Path
from typing import Any

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg


@elmo_app.command("info")
def info_cli(
    name: str = Arg(
        ...,
        metavar="MODEL",
        help="biLM in any supported format, the name of a packaged biLM, or a pipeline",
    ),
    options_file: Path | None = Opt(
        None,
        "--options-file",
        help="Options of HDF5 or AllenNLP weights, if they are not next to the weights",
    ),
    as_json: bool = Opt(False, "--json", help="Print JSON"),
) -> None:
    """Print the sizes, format and checksum of a biLM, and the config block that loads it.
    For a pipeline, print the settings of its 'elmo' components and the mix of each listener."""
    facts = info(name, options_file)
    if as_json:
        print(json.dumps(facts, indent=2))
    elif "components" in facts:
        _print_pipeline(facts)
    else:
        _print_bilm(facts)


def info(name: str, options_file: Path | None = None) -> dict[str, Any]:
    """Collect what the command prints about a biLM or a pipeline.

    name (str): A biLM in any supported format, the name of a packaged biLM, or a pipeline.
    options_file (Optional[Path]): The options of a biLM, if they are not next to its weights.
    RETURNS (Dict[str, Any]): JSON-serializable facts; see `bilm_info` and `pipeline_info`.
    """
    from ..pipeline.mixes import is_pipeline
    from ..pipeline.pipeline_info import pipeline_info
    from ..weights.bilm_info import bilm_info

    return pipeline_info(name) if is_pipeline(name) else bilm_info(name, options_file)


def _print_bilm(facts: dict[str, Any]) -> None:
    filters = ", ".join(f"{count} of width {width}" for width, count in facts["filters"])
    msg.table(
        [
            ("Format", facts["format"]),
            ("Layers", f"{facts['layers']} of width {facts['width']}, depth {facts['depth']}"),
            ("Languages", ", ".join(facts["languages"]) or "not recorded"),
            ("Cell, projection", f"{facts['cell']}, {facts['projection']}"),
            ("Filters", filters or "none"),
            ("Highway layers", facts["highway_layers"]),
            ("Characters", f"{facts['characters']}, {facts['max_characters']} in a word"),
            ("Vocabulary", f"{facts['vocabulary']:,} words" if facts["vocabulary"] else "open"),
            ("Parameters", f"{facts['parameters']:,}"),
            ("SHA-256 of the weights", facts["sha256"]),
            ("Load time", f"{facts['load_seconds']:.2f} s"),
            ("Size on disk", f"{facts['bytes_on_disk']:,} bytes"),
            *((f"Mix {i}", _mix_text(mix)) for i, mix in enumerate(facts["mixes"])),
        ],
        title=facts["name"],
    )
    print(facts["config"])


def _mix_text(mix: dict[str, Any]) -> str:
    weights = ", ".join(f"{weight:.3f}" for weight in mix["weights"])
    return f"{weights} before the softmax, gamma {mix['gamma']:.3f}"


def _print_pipeline(facts: dict[str, Any]) -> None:
    from ..pipeline.mixes import ComponentMix, table_of

    for name, settings in facts["components"].items():
        rows = [(key, json.dumps(value)) for key, value in settings.items() if key != "model"]
        model = settings.get("model", {})
        rows += [(f"model.{key}", json.dumps(value)) for key, value in model.items()]
        msg.table(rows, title=name)
    msg.table(**table_of([ComponentMix(**mix) for mix in facts["mixes"]]))
