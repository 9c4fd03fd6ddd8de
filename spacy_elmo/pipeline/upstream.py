"""The side of the `elmo` component that listeners see.

Owns which listeners of which components are known, and the checks when one is added.
It does not know when they are served.
"""

from typing import TYPE_CHECKING, Any, cast

from spacy.language import Language
from thinc.api import Model

from ..models.encoder import Encoder, n_layers_of
from ..models.scalar_mix import settings_of
from .doc_tensor import TensorSharing, check_providers
from .listener import ElmoListener
from .upstream_ref import UpstreamRef

if TYPE_CHECKING:
    from .elmo import Elmo


class ListenedTo:
    """What spaCy asks of a component that others listen to."""

    name: str
    model: Encoder
    store_layers: bool
    tensor_sharing: TensorSharing
    _listener_map: dict[str, list[ElmoListener]]

    @property
    def listener_map(self) -> dict[str, list[ElmoListener]]:
        """RETURNS (Dict[str, List[ElmoListener]]): The listeners of each component. spaCy sets
        an empty dictionary whenever it links a pipeline, and then calls `find_listeners` with
        each enabled component that comes later."""
        return self._listener_map

    @listener_map.setter
    def listener_map(self, listeners: dict[str, list[ElmoListener]]) -> None:
        self._listener_map = listeners
        self.tensor_sharing.reset(self)

    @property
    def listeners(self) -> list[ElmoListener]:
        """RETURNS (List[ElmoListener]): The listeners of all components."""
        return [listener for found in self.listener_map.values() for listener in found]

    @property
    def listening_components(self) -> list[str]:
        """RETURNS (List[str]): Names of the components that listen."""
        return list(self.listener_map)

    def add_listener(self, listener: ElmoListener, component_name: str) -> None:
        """Add a listener of a downstream component; nothing happens if it is known."""
        found = (settings_of(listener.mix).n_layers, listener.get_dim("nO"))
        expected = (n_layers_of(self.model), self.model.get_dim("nO"))
        if found != expected:
            raise ValueError(
                f"The listener of '{component_name}' has width {found[1]} and depth "
                f"{found[0] - 1}, but '{self.name}' has width {expected[1]} and depth "
                f"{expected[0] - 1}. Refer to ${{components.{self.name}.model.width}} and "
                f"${{components.{self.name}.model.depth}} in the listener's block."
            )
        if not self.store_layers:
            raise ValueError(
                f"'{component_name}' listens to '{self.name}', which has store_layers = false: "
                f"outside of training nothing would reach it. Set store_layers = true."
            )
        listener.upstream = UpstreamRef(cast("Elmo", self))
        known = self.listener_map.setdefault(component_name, [])
        if listener not in known:
            known.append(listener)

    def remove_listener(self, listener: ElmoListener, component_name: str) -> bool:
        """RETURNS (bool): Whether there was such a listener, which is removed."""
        known = self.listener_map.get(component_name, [])
        if listener not in known:
            return False
        listener.upstream = UpstreamRef()
        # a new list: spaCy goes through the former one while it removes what is in it
        left = [other for other in known if other is not listener]
        if left:
            self.listener_map[component_name] = left
        else:
            del self.listener_map[component_name]
        return True

    def find_listeners(self, component: Any) -> None:
        """Add the listeners in a component's model that are meant for this component."""
        self.tensor_sharing.add(component)
        for listener in _listeners_in(component):
            if listener.upstream_name in ("*", self.name):
                self.add_listener(listener, component.name)

    def link_enabled(self) -> None:
        """Find the listeners of components that were disabled when spaCy linked the pipeline, and
        are enabled now. `spacy train` links it while sourced and frozen components are disabled.
        """
        names = self.tensor_sharing.not_linked
        nlp = self.tensor_sharing.pipeline_of(self) if names else None
        if nlp is None:
            return
        for name in [name for name in names if name in nlp.pipe_names]:
            self.find_listeners(nlp.get_pipe(name))
            names.remove(name)


def check_upstreams(nlp: Language) -> None:
    """A listener must name an `elmo` component that is there. With two of them it must say
    which it means, and stand where that one's layers are still on the Docs.

    nlp (Language): The pipeline.
    """
    check_providers(nlp)
    names = [name for name, pipe in nlp.pipeline if isinstance(pipe, ListenedTo)]
    # spaCy disables those that come from another pipeline while it initializes the rest
    known = ["*", *(name for name, pipe in nlp.components if isinstance(pipe, ListenedTo))]
    done: list[str] = []  # those before the component that is looked at
    for name, pipe in nlp.pipeline:
        if isinstance(pipe, ListenedTo):
            done += [name] if pipe.store_layers else []
        for listener in _listeners_in(pipe):
            if listener.upstream_name not in known:
                raise ValueError(
                    f"The listener of '{name}' has upstream \"{listener.upstream_name}\", but the "
                    f"'elmo' components of the pipeline are {', '.join(known[1:])}."
                )
            if listener.upstream_name == "*" and len(names) > 1:
                raise ValueError(
                    f"The listener of '{name}' has upstream \"*\", but the pipeline has "
                    f"{len(names)} 'elmo' components: {', '.join(names)}. Set its upstream to "
                    f"one of them."
                )
            if listener.upstream_name in done[:-1]:
                raise ValueError(
                    f"'{name}' listens to '{listener.upstream_name}', but '{done[-1]}' comes "
                    f"between them and overwrites doc._.elmo. Put '{name}' before '{done[-1]}'."
                )


def _listeners_in(component: Any) -> list[ElmoListener]:
    model = getattr(component, "model", None)
    nodes = model.walk() if isinstance(model, Model) else ()
    return [node for node in nodes if isinstance(node, ElmoListener)]
