"""The side of the `elmo` component that listeners see.

Owns which listeners of which components are known, and the checks when one is added.
It does not know when they are served.
"""

from typing import Any, Dict, List

from spacy.language import Language
from thinc.api import Model

from .listener import ElmoListener
from .models.encoder import Encoder, n_layers_of


class ListenedTo:
    """What spaCy asks of a component that others listen to."""

    name: str
    model: Encoder
    listener_map: Dict[str, List[ElmoListener]]

    @property
    def listeners(self) -> List[ElmoListener]:
        """RETURNS (List[ElmoListener]): The listeners of all components."""
        return [listener for found in self.listener_map.values() for listener in found]

    @property
    def listening_components(self) -> List[str]:
        """RETURNS (List[str]): Names of the components that listen."""
        return list(self.listener_map)

    def add_listener(self, listener: ElmoListener, component_name: str) -> None:
        """Add a listener of a downstream component; nothing happens if it is known."""
        found = (listener.mix.attrs["n_layers"], listener.get_dim("nO"))
        expected = (n_layers_of(self.model), self.model.get_dim("nO"))
        if found != expected:
            raise ValueError(
                f"The listener of '{component_name}' has width {found[1]} and depth "
                f"{found[0] - 1}, but '{self.name}' has width {expected[1]} and depth "
                f"{expected[0] - 1}. Refer to ${{components.{self.name}.model.width}} and "
                f"${{components.{self.name}.model.depth}} in the listener's block."
            )
        known = self.listener_map.setdefault(component_name, [])
        if listener not in known:
            known.append(listener)

    def remove_listener(self, listener: ElmoListener, component_name: str) -> bool:
        """RETURNS (bool): Whether there was such a listener, which is removed."""
        known = self.listener_map.get(component_name, [])
        if listener not in known:
            return False
        known.remove(listener)
        if not known:
            del self.listener_map[component_name]
        return True

    def find_listeners(self, component: Any) -> None:
        """Add the listeners in a component's model that are meant for this component."""
        model = getattr(component, "model", None)
        if isinstance(model, Model):
            for node in model.walk():
                if isinstance(node, ElmoListener) and node.upstream_name in ("*", self.name):
                    self.add_listener(node, component.name)


def check_upstreams(nlp: Language) -> None:
    """With two `elmo` components a listener must say which it means; an error if not.

    nlp (Language): The pipeline.
    """
    names = [name for name, pipe in nlp.pipeline if isinstance(pipe, ListenedTo)]
    for name, pipe in nlp.pipeline if len(names) > 1 else ():
        model = getattr(pipe, "model", None)
        for node in model.walk() if isinstance(model, Model) else ():
            if isinstance(node, ElmoListener) and node.upstream_name == "*":
                raise ValueError(
                    f"The listener of '{name}' has upstream \"*\", but the pipeline has "
                    f"{len(names)} 'elmo' components: {', '.join(names)}. Set its upstream to "
                    f"one of them."
                )
