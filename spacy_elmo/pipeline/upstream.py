"""The methods of the `elmo` component that manage its listeners, and checks of listeners."""

import warnings
from typing import TYPE_CHECKING, Any, cast

from spacy.language import Language
from thinc.api import Model

from ..models.encoder import Encoder, n_layers_of
from ..models.scalar_mix import settings_of
from .doc_tensor import TensorSharing, check_providers
from .listener import ElmoListener
from .pending_batch import PendingBatch
from .upstream_ref import UpstreamRef

if TYPE_CHECKING:
    from .elmo import Elmo

NO_LISTENERS = (
    "No component listens to '{name}', so none will be trained on its vectors. To listen, a "
    "component must come after '{name}' in the pipeline, and the tok2vec of its model must be a "
    "spacy-elmo.ElmoListener.v1. `spacy init config` writes spacy.Tok2VecListener.v1, which "
    "listens to 'tok2vec': replace its block, and remove 'tok2vec' if no other component listens "
    "to it. If you need '{name}' only for its vectors, leave it out of this training and add it "
    'later with nlp.add_pipe("elmo").initialize().'
)


class UpstreamMixin:
    """The methods of a component that has listeners. The class precedes `TrainablePipe` in the list
    of base classes."""

    name: str
    model: Encoder
    store_layers: bool
    tensor_sharing: TensorSharing
    _listener_map: dict[str, list[ElmoListener]]
    _pending: PendingBatch | None = None
    _warned_no_listeners = False

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

    def find_listeners(self, component: Any) -> None:
        """Add the listeners in a component's model that name this component as their upstream.

        component (Any): The component.
        RAISES (ValueError): See `add_listener`.
        """
        self.tensor_sharing.add(component)
        for listener in _listeners_in(component):
            if listener.upstream_name in ("*", self.name):
                self.add_listener(listener, component.name)

    def link_enabled(self) -> None:
        """Find the listeners of components that are enabled now, but were disabled when spaCy
        linked the pipeline. `spacy train` links it while sourced and frozen components are
        disabled."""
        names = self.tensor_sharing.not_linked
        nlp = self.tensor_sharing.pipeline_of(self) if names else None
        if nlp is None:
            return
        for name in [name for name in names if name in nlp.pipe_names]:
            self.find_listeners(nlp.get_pipe(name))
            names.remove(name)

    def add_listener(self, listener: ElmoListener, component_name: str) -> None:
        """Add a listener of a downstream component, unless it was already added.

        listener (ElmoListener): The listener.
        component_name (str): Name of the downstream component.
        RAISES (ValueError): If the listener has another width or depth, or if this component does
            not store the layers.
        """
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
                f"it would get no layers at inference. Set store_layers = true."
            )
        listener.upstream = UpstreamRef(cast("Elmo", self))
        known = self.listener_map.setdefault(component_name, [])
        if listener not in known:
            known.append(listener)

    def remove_listener(self, listener: ElmoListener, component_name: str) -> bool:
        """Remove a listener of a downstream component.

        listener (ElmoListener): The listener.
        component_name (str): Name of the downstream component.
        RETURNS (bool): Whether the component had this listener.
        """
        known = self.listener_map.get(component_name, [])
        if listener not in known:
            return False
        listener.upstream = UpstreamRef()
        # a new list: spaCy iterates over the old one while it removes its listeners
        left = [other for other in known if other is not listener]
        if left:
            self.listener_map[component_name] = left
        else:
            del self.listener_map[component_name]
        return True

    def warn_if_no_listeners(self) -> None:
        """Warn once if there is no listener, as in a config from `spacy init config`."""
        if self.listeners or self._warned_no_listeners:
            return
        self._warned_no_listeners = True
        warnings.warn(NO_LISTENERS.format(name=self.name), stacklevel=3)

    def send_to_listeners(self, pending: PendingBatch) -> None:
        """Send a training batch to all listeners.

        pending (PendingBatch): The batch.
        """
        self._pending = pending
        for listener in self.listeners:
            listener.receive(pending)

    def flush_pending(self) -> None:
        """Run the backward pass of the last batch, if it has not run."""
        if self._pending is None:
            return
        self._pending.flush()
        if self._pending.flushed or self._pending.complete:
            self.drop_pending()

    def drop_pending(self) -> None:
        """Drop all references to the last batch, which may be large."""
        self._pending = None
        for listener in self.listeners:
            listener.pending = None


def check_upstreams(nlp: Language) -> None:
    """Check that each listener of a pipeline can read the layers of its upstream component.

    nlp (Language): The pipeline.
    RAISES (ValueError): If a listener names no `elmo` component of the pipeline, if it names "*"
        while there are several, or if another `elmo` component overwrites the layers before the
        listener reads them.
    """
    check_providers(nlp)
    names = [name for name, pipe in nlp.pipeline if isinstance(pipe, UpstreamMixin)]
    # while spaCy initializes a pipeline, its sourced components are disabled
    known = ["*", *(name for name, pipe in nlp.components if isinstance(pipe, UpstreamMixin))]
    stored_by: list[str] = []  # components before the current one that set doc._.elmo
    for name, pipe in nlp.pipeline:
        if isinstance(pipe, UpstreamMixin):
            stored_by += [name] if pipe.store_layers else []
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
            if listener.upstream_name in stored_by[:-1]:
                raise ValueError(
                    f"'{name}' listens to '{listener.upstream_name}', but '{stored_by[-1]}' comes "
                    f"between them and overwrites doc._.elmo. Put '{name}' before "
                    f"'{stored_by[-1]}'."
                )


def _listeners_in(component: Any) -> list[ElmoListener]:
    model = getattr(component, "model", None)
    nodes = model.walk() if isinstance(model, Model) else ()
    return [node for node in nodes if isinstance(node, ElmoListener)]
