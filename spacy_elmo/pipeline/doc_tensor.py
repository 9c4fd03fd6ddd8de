"""Which component of a pipeline sets `doc.tensor`.

`doc.tensor` holds the vectors of one component. spaCy's `tok2vec` sets it. At inference, spaCy's
`Tok2VecListener` reads it without checking which component set it last, or its width. `elmo`
therefore finds the later components that use `doc.tensor`, and does not overwrite the vectors that
they read.
"""

import warnings
import weakref
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec, Tok2VecListener
from thinc.api import Model

TENSOR = "doc.tensor"


class TensorUser(NamedTuple):
    """How a component uses `doc.tensor`.

    reads (bool): Whether the component reads it.
    sets (bool): Whether the component sets it.
    """

    reads: bool
    sets: bool


class TensorSharing:
    """The components after an `elmo` component that use `doc.tensor`."""

    def __init__(self) -> None:
        # later components that were disabled when spaCy linked the pipeline; spaCy does not link
        # the pipeline again when it enables them
        self.not_linked: list[str] = []
        self._linked: dict[str, TensorUser] = {}
        self._disabled: dict[str, TensorUser] = {}
        self._nlp: weakref.ref[Language] | None = None
        self._warned = False

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_nlp": None}  # a weak reference cannot be pickled

    @property
    def users(self) -> dict[str, TensorUser]:
        """RETURNS (Dict[str, TensorUser]): The components by their names, in the order of the
        pipeline, followed by disabled ones."""
        return {**self._linked, **self._disabled}

    def join(self, nlp: Language) -> None:
        """Set the pipeline of the `elmo` component. The reference to it is weak.

        nlp (Language): The pipeline.
        """
        self._nlp = weakref.ref(nlp)

    def pipeline_of(self, component: Any) -> Language | None:
        """Return the pipeline if it contains a component.

        component (Any): The component.
        RETURNS (Optional[Language]): The pipeline; None if it does not contain the component, was
            never set, or no longer exists.
        """
        nlp = None if self._nlp is None else self._nlp()
        found = nlp is not None and any(pipe is component for _, pipe in nlp.components)
        return nlp if found else None

    def reset(self, elmo: Any) -> None:
        """Start to collect components. Called when spaCy links the pipeline, before `add` is called
        with each later component that is enabled.

        elmo (Elmo): The component.
        """
        nlp = self.pipeline_of(elmo)
        later = {} if nlp is None else components_after(nlp, elmo)
        later = {name: pipe for name, pipe in later.items() if nlp and name in nlp.disabled}
        self.not_linked, self._linked = list(later), {}
        found = {name: find_user(pipe, nlp, name) for name, pipe in later.items()}
        self._disabled = {name: user for name, user in found.items() if user is not None}

    def add(self, component: Any) -> None:
        """Add a later component if it uses `doc.tensor`.

        component (Any): The component.
        """
        # None if `elmo` was sourced into a pipeline that `join` was not called with
        nlp = self.pipeline_of(component)
        names = [] if nlp is None else [name for name, pipe in nlp.components if pipe is component]
        user = find_user(component, nlp, *names)
        if user is not None:
            self._linked[getattr(component, "name", None) or names[0]] = user

    def decide(self, name: str, store_tensor: bool | None) -> bool:
        """Return whether `elmo` sets `doc.tensor`. Warn once if `doc.tensor` will not hold ELMo's
        vectors at the end of the pipeline.

        name (str): Name of the `elmo` component.
        store_tensor (Optional[bool]): The setting. None: set it unless a later component uses it.
        RETURNS (bool): Whether to set it.
        RAISES (ValueError): If a later component reads `doc.tensor` and would get ELMo's vectors.
        """
        if store_tensor is False or not (self._linked or self._disabled):
            return store_tensor is not False
        if store_tensor:
            check_overwritten(name, self.users)
        if not self._warned:
            self._warned = True
            warn_of_users(name, self.users, bool(store_tensor))
        return bool(store_tensor)


def find_user(component: Any, nlp: Language | None = None, name: str = "") -> TensorUser | None:
    """Return how a component uses `doc.tensor`.

    component (Any): The component.
    nlp (Optional[Language]): The pipeline, which knows what the component's factory requires and
        assigns.
    name (str): Name of the component in the pipeline.
    RETURNS (Optional[TensorUser]): How the component uses it; None if it does not, or if it is an
        `elmo` component that only sets it.
    """
    reads, sets = has_tok2vec_listener(component), isinstance(component, Tok2Vec)
    if nlp is not None:
        meta = nlp.get_pipe_meta(name)
        reads = reads or TENSOR in meta.requires
        sets = sets or (TENSOR in meta.assigns and meta.factory != "elmo")
    return TensorUser(reads, sets) if reads or sets else None


def has_tok2vec_listener(component: Any) -> bool:
    """RETURNS (bool): Whether a component's model contains a spacy.Tok2VecListener.v1."""
    model = getattr(component, "model", None)
    nodes = model.walk() if isinstance(model, Model) else ()
    return any(isinstance(node, Tok2VecListener) for node in nodes)


def components_after(nlp: Language, component: Any) -> dict[str, Any]:
    """Return the components of a pipeline that come after a component, disabled ones included.

    nlp (Language): The pipeline.
    component (Any): A component of the pipeline.
    RETURNS (Dict[str, Any]): The components by their names.
    """
    components = nlp.components
    start = next(i for i, (_, pipe) in enumerate(components) if pipe is component) + 1
    return dict(components[start:])


def check_overwritten(name: str, users: dict[str, TensorUser]) -> None:
    """Check that no later component reads ELMo's vectors from `doc.tensor` instead of its own.

    name (str): Name of the `elmo` component.
    users (Dict[str, TensorUser]): The later components.
    RAISES (ValueError): If a component reads `doc.tensor` before another one sets it.
    """
    for reader, user in users.items():
        if user.reads:
            raise ValueError(
                f"'{name}' has store_tensor = true and overwrites doc.tensor, from which "
                f"'{reader}' reads the vectors of another component, as spacy.Tok2VecListener.v1 "
                f"does. Set store_tensor = null or false; or put '{name}' after '{reader}'; or "
                f"give '{reader}' a spacy-elmo.ElmoListener.v1, which reads doc._.elmo."
            )
        if user.sets:
            return


def warn_of_users(name: str, users: dict[str, TensorUser], overwritten: bool) -> None:
    """Warn that `doc.tensor` will not hold ELMo's vectors.

    name (str): Name of the `elmo` component.
    users (Dict[str, TensorUser]): The later components, at least one.
    overwritten (bool): Whether `elmo` sets `doc.tensor` before a later component does.
    """
    setter = next((other for other, user in users.items() if user.sets), None)
    if overwritten:
        found = f"'{setter}' comes after '{name}' and overwrites doc.tensor."
    else:
        other, use = setter or next(iter(users)), "sets" if setter else "reads"
        found = f"'{name}' does not set doc.tensor, because '{other}' comes later and {use} it."
    warnings.warn(
        f"{found} The vectors of '{name}' are in doc._.elmo, token._.elmo and span._.elmo. To "
        f"disable this warning, set store_tensor = false. To have them in doc.tensor, put '{name}' "
        f"after '{list(users)[-1]}'.",
        stacklevel=4,
    )


def check_providers(nlp: Language) -> None:
    """Check that an earlier component sets `doc.tensor` for each of spaCy's listeners.

    nlp (Language): The pipeline.
    RAISES (ValueError): If there is no such component for a listener.
    """
    provided = False
    for name, pipe in nlp.components:
        if not provided and has_tok2vec_listener(pipe):
            raise ValueError(
                f"'{name}' has a spacy.Tok2VecListener.v1, which listens to a 'tok2vec' component, "
                f"and no such component comes before '{name}'. To listen to 'elmo', replace the "
                f"listener by a spacy-elmo.ElmoListener.v1 with the width and depth of 'elmo'."
            )
        user = find_user(pipe, nlp, name)
        provided = provided or (user is not None and user.sets)
