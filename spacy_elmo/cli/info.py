"""`info`: what a biLM or a pipeline with ELMo is made of."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.cli._util import Arg, Opt

from ..pipeline.mixes import ComponentMix, collect_mixes, is_pipeline, load_pipeline, table_of
from . import elmo_app
from .messages import msg

if TYPE_CHECKING:
    from ..bilm.bilm import BiLM

CONFIG = """[components.elmo]
factory = "elmo"

[components.elmo.model]
@architectures = "spacy-elmo.BiLM.v1"
width = {width}
depth = {depth}

[initialize]

[initialize.components]

[initialize.components.elmo]

[initialize.components.elmo.loader]
@misc = "spacy-elmo.PretrainedLoader.v1"
path = {path}"""


@elmo_app.command("info")
def info_cli(
    name: str = Arg(
        ...,
        metavar="MODEL",
        help="biLM of any known format, the name of a packaged one, or a pipeline",
    ),
    options_file: Path | None = Opt(
        None,
        "--options-file",
        help="Options of HDF5 or AllenNLP weights, where they do not lie beside them",
    ),
    as_json: bool = Opt(False, "--json", help="Print JSON"),
) -> None:
    """Print the sizes and origin of a biLM, and the config block that loads it; or, for
    a pipeline, the settings of its 'elmo' components and the mix of each listener."""
    facts = info(name, options_file)
    if as_json:
        print(json.dumps(facts, indent=2))
    elif "components" in facts:
        _print_pipeline(facts)
    else:
        _print_bilm(facts)


def info(name: str, options_file: Path | None = None) -> dict[str, Any]:
    """Collect the facts; see `info_cli`.

    RETURNS (Dict[str, Any]): The facts, as JSON can hold them.
    """
    if is_pipeline(name):
        return pipeline_info(name)
    return bilm_info(name, options_file)


def bilm_info(name: str, options_file: Path | None = None) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): The facts about a biLM."""
    from ..weights import load_bilm
    from ..weights.checksum import weights_checksum
    from ..weights.formats import PRETRAINED

    start = time.perf_counter()
    bilm = load_bilm(name, options_file)
    seconds = time.perf_counter() - start
    path = Path(name) if Path(name).exists() else PRETRAINED / name
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    options = bilm.options
    return {
        "name": name,
        "format": _format_of(path),
        "layers": options.n_reported,
        "width": options.width,
        "depth": options.n_layers,
        "languages": list(bilm.languages),
        "cell": options.hidden_dim,
        "projection": options.projection_dim,
        "filters": [list(pair) for pair in options.filters],
        "highway_layers": options.n_highway,
        "characters": _characters_of(bilm),
        "max_characters": options.max_characters,
        "vocabulary": options.n_words,
        "parameters": bilm.n_parameters,
        "sha256": weights_checksum(bilm),
        "load_seconds": round(seconds, 3),
        "bytes_on_disk": sum(p.stat().st_size for p in files),
        "mixes": [{"weights": list(mix.weights), "gamma": mix.gamma} for mix in bilm.mixes],
        "config": _config_of(bilm, name, options_file),
    }


def pipeline_info(name: str) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): The facts about the ELMo in a pipeline."""
    from ..pipeline.elmo import Elmo

    nlp = load_pipeline(name)
    components: dict[str, Any] = {}
    for component, pipe in nlp.components:
        if isinstance(pipe, Elmo):
            config = nlp.get_pipe_config(component)
            settings = {key: value for key, value in config.items() if key != "factory"}
            components[component] = {**settings, "listeners": pipe.listening_components}
    mixes = collect_mixes(nlp)
    if not components and not mixes:
        raise ValueError(f"No component of {name} uses ELMo.")
    return {
        "name": name,
        "pipeline": list(nlp.component_names),
        "components": components,
        "mixes": [asdict(mix) for mix in mixes],
    }


def _format_of(path: Path) -> str:
    import zipfile

    from ..weights import allennlp, many_langs, store

    if path.is_dir():
        if store.is_store(path):
            return "spacy-elmo directory"
        return "ELMoForManyLangs" if many_langs.is_many_langs(path) else "original HDF5"
    if allennlp.is_allennlp(path):
        return "AllenNLP"
    return "zip" if zipfile.is_zipfile(path) else "original HDF5"


def _characters_of(bilm: "BiLM") -> str:
    if not bilm.options.filters:
        return "none"
    return f"{bilm.options.n_characters} {bilm.options.char_unit}"


def _config_of(bilm: "BiLM", name: str, options_file: Path | None) -> str:
    if "${" in f"{name}\n{options_file}":
        return "# ${...} is a variable in configs, which cannot name this path. Rename it."
    options = bilm.options
    text = CONFIG.format(width=options.width, depth=options.n_layers, path=_config_value(name))
    if options_file is not None:
        text += f"\noptions_file = {_config_value(str(options_file))}"
    if "$" in f"{name}{options_file or ''}":
        text += "\n# commands that write this block again, such as init fill-config, double each $"
    return text


def _config_value(text: str) -> str:
    """RETURNS (str): A string as spaCy's configs read it back. "$" is written as a JSON escape,
    because "$$" stays double where a config is read without interpolation, as in training."""
    return json.dumps(text).replace("$", "\\u0024")


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
            ("Weights' sha256", facts["sha256"]),
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
    for name, settings in facts["components"].items():
        rows = [(key, json.dumps(value)) for key, value in settings.items() if key != "model"]
        model = settings.get("model", {})
        rows += [(f"model.{key}", json.dumps(value)) for key, value in model.items()]
        msg.table(rows, title=name)
    msg.table(**table_of([ComponentMix(**mix) for mix in facts["mixes"]]))
