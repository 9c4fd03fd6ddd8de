"""The layer mixes of a pipeline: who mixes the biLM's layers, and how.

Owns how mixes are found in components and how pipelines are opened for it; `info` and
`mix` show them.
"""

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

    component (str): Its name.
    source (str): The `elmo` component it listens to, "*", "its own biLM", or
        "doc.tensor" for the mix that an `elmo` component writes there.
    learned (bool): Whether training sets the weights.
    weights (List[float]): After the softmax, the token layer first.
    gamma (float): The scale.
    """

    component: str
    source: str
    learned: bool
    weights: list[float]
    gamma: float


def is_pipeline(name: str) -> bool:
    """RETURNS (bool): Whether this is a saved pipeline or an installed one."""
    from spacy.util import is_package

    path = Path(name)
    if path.exists():
        return (path / "config.cfg").is_file() and (path / "meta.json").is_file()
    return is_package(name)


def load_pipeline(name: str) -> "Language":
    """Load a pipeline, with its biLMs where there is room, whatever device they had.

    name (str): Its directory or package.
    RETURNS (Language): The pipeline.
    """
    import spacy
    from spacy.util import get_package_path, load_config

    if not is_pipeline(name):
        raise ValueError(
            f"{name} is no pipeline: expected a directory with config.cfg and meta.json, as "
            f"nlp.to_disk or 'spacy train' writes it, or the name of an installed package."
        )
    path = Path(name) if Path(name).exists() else get_package_path(name)
    if not (path / "config.cfg").is_file():  # a package keeps its pipeline one level down
        path = next(path.glob("*/config.cfg")).parent
    config = load_config(path / "config.cfg", interpolate=False)
    devices = _device_settings(config["components"], "components")
    return spacy.load(path, config=dict.fromkeys(devices))


def collect_mixes(nlp: "Language") -> list[ComponentMix]:
    """RETURNS (List[ComponentMix]): The mixes of all components, disabled ones included."""
    from thinc.api import Model

    from ..models.encoder import n_layers_of
    from ..models.scalar_mix import fixed_mix, mix_weights, settings_of
    from .elmo import Elmo

    mixes: list[ComponentMix] = []
    for name, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if isinstance(pipe, Elmo):
            weights = fixed_mix(pipe.model.ops, n_layers_of(pipe.model), pipe.mix).tolist()
            mixes.append(ComponentMix(name, "doc.tensor", False, weights, 1.0))
        elif isinstance(model, Model):
            upstream = {
                node.layers[0].id: str(getattr(node, "upstream_name", "*"))
                for node in model.walk()
                if node.name == "elmo-listener"
            }
            for node in model.walk():
                if node.name == "scalar_mix":
                    values, gamma = mix_weights(node)
                    source = upstream.get(node.id, "its own biLM")
                    learned = settings_of(node).weights is None
                    mixes.append(ComponentMix(name, source, learned, values.tolist(), gamma))
    return mixes


def table_of(mixes: list[ComponentMix]) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): Arguments for wasabi's table, a row for each mix."""
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
    """Where a config pins a biLM to a device, in dot notation."""
    if not isinstance(block, dict):
        return
    if block.get("@architectures") == ENCODER and block.get("device") is not None:
        yield f"{path}.device"
    for key, value in block.items():
        yield from _device_settings(value, f"{path}.{key}")
