"""Information on the ELMo components of a pipeline, which the command `info` prints."""

from dataclasses import asdict
from typing import Any

from .mixes import collect_mixes, load_pipeline


def pipeline_info(name: str) -> dict[str, Any]:
    """Collect the settings of the `elmo` components of a pipeline, and the mixes of all components.

    name (str): Directory or package of the pipeline.
    RETURNS (Dict[str, Any]): The settings and mixes, JSON-serializable.
    RAISES (ValueError): If there is no such pipeline, or it does not use ELMo.
    """
    from .elmo import Elmo

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
