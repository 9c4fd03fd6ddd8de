"""The mixes of a pipeline's components, which the commands `info` and `mix` print."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.language import Language

ENCODER = "spacy-elmo.BiLM.v1"


@dataclass(frozen=True)
class ComponentMix:
    """The mix of one component.

    component (str): Name of the component.
    source (str): Name of the `elmo` component to which it listens, "*", "its own biLM", or
        "doc.tensor" for the mix that an `elmo` component stores there.
    learned (bool): Whether the weights are trained.
    weights (List[float]): Weights of the layers after the softmax, the token layer first.
    gamma (float): Scale of the mixed vectors.
    """

    component: str
    source: str
    learned: bool
    weights: list[float]
    gamma: float


def is_pipeline(name: str) -> bool:
    """Return whether there is a pipeline with this name.

    name (str): A path or the name of a package.
    RETURNS (bool): Whether it is the directory of a saved pipeline, or an installed package.
    """
    from spacy.util import is_package

    path = Path(name)
    if path.exists():
        return (path / "config.cfg").is_file() and (path / "meta.json").is_file()
    return is_package(name)


def load_pipeline(name: str) -> "Language":
    """Load a pipeline. The `device` settings of its biLMs are ignored, so that it can be loaded on
    a machine without these devices.

    name (str): Directory or package of the pipeline.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): If there is no such pipeline.
    """
    import spacy
    from spacy.util import get_package_path, load_config

    if not is_pipeline(name):
        raise ValueError(
            f"{name} is not a pipeline: expected a directory with config.cfg and meta.json, as "
            f"nlp.to_disk or 'spacy train' writes it, or the name of an installed package."
        )
    path = Path(name) if Path(name).exists() else get_package_path(name)
    if not (path / "config.cfg").is_file():  # a package has its pipeline in a subdirectory
        path = next(path.glob("*/config.cfg")).parent
    config = load_config(path / "config.cfg", interpolate=False)
    devices = _device_settings(config["components"], "components")
    return spacy.load(path, config=dict.fromkeys(devices))


def collect_mixes(nlp: "Language") -> list[ComponentMix]:
    """Collect the mixes of a pipeline's components, disabled ones included.

    nlp (Language): The pipeline.
    RETURNS (List[ComponentMix]): The mixes, in the order of the pipeline.
    """
    from thinc.api import Model

    from ..models.encoder import n_layers_of
    from ..models.scalar_mix import fixed_mix, mix_weights, settings_of
    from .elmo import Elmo

    mixes: list[ComponentMix] = []
    for name, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if isinstance(pipe, Elmo):
            weights = fixed_mix(pipe.model.ops, n_layers_of(pipe.model), pipe.mix).tolist()
            mixes.append(
                ComponentMix(
                    component=name,
                    source="doc.tensor",
                    learned=False,
                    weights=weights,
                    gamma=1.0,
                )
            )
        elif isinstance(model, Model):
            upstream = {
                node.layers[0].id: str(getattr(node, "upstream_name", "*"))
                for node in model.walk()
                if node.name == "elmo-listener"
            }
            for node in model.walk():
                if node.name == "scalar_mix":
                    values, gamma = mix_weights(node)
                    mixes.append(
                        ComponentMix(
                            component=name,
                            source=upstream.get(node.id, "its own biLM"),
                            learned=settings_of(node).weights is None,
                            weights=values.tolist(),
                            gamma=gamma,
                        )
                    )
    return mixes


def mixes_of_pipeline(name: str) -> list[ComponentMix]:
    """Load a pipeline and collect the mixes of its components.

    name (str): Directory or package of the pipeline.
    RETURNS (List[ComponentMix]): The mixes, at least one.
    RAISES (ValueError): If there is no such pipeline, or none of its components uses ELMo.
    """
    mixes = collect_mixes(load_pipeline(name))
    if not mixes:
        raise ValueError(
            f"No component of {name} uses ELMo: it has no 'elmo' component, and no other component "
            f"contains a listener or a biLM."
        )
    return mixes


def table_of(mixes: list[ComponentMix]) -> dict[str, Any]:
    """Format mixes as a table with a row for each mix.

    mixes (List[ComponentMix]): The mixes, at least one.
    RETURNS (Dict[str, Any]): Arguments of wasabi's `table`.
    """
    depth = max(len(mix.weights) for mix in mixes) - 1
    rows = [
        (
            mix.component,
            mix.source,
            *(f"{weight:.3f}" for weight in mix.weights),
            *("" for _ in range(depth + 1 - len(mix.weights))),
            f"{mix.gamma:.3f}",
            "learned" if mix.learned else "fixed",
        )
        for mix in mixes
    ]
    header = ("Component", "Layers of", "Tokens", *(f"LSTM {i + 1}" for i in range(depth)))
    return {"data": rows, "header": (*header, "Gamma", ""), "divider": True}


def _device_settings(block: Any, path: str) -> Iterator[str]:
    """Find the settings of a config that name the device of a biLM.

    block (Any): A block or value of the config.
    path (str): Its path in dot notation.
    YIELDS (str): The path of a setting.
    """
    if not isinstance(block, dict):
        return
    if block.get("@architectures") == ENCODER and block.get("device") is not None:
        yield f"{path}.device"
    for key, value in block.items():
        yield from _device_settings(value, f"{path}.{key}")
