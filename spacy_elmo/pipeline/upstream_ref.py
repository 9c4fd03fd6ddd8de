"""A weak reference from a listener to its upstream component."""

from typing import TYPE_CHECKING, Any, Optional
from weakref import ref

if TYPE_CHECKING:
    from .elmo import Elmo


class UpstreamRef:
    """A weak reference to a component that can be copied and pickled together with it.

    component (Optional[Elmo]): The component.
    """

    def __init__(self, component: Optional["Elmo"] = None) -> None:
        self._ref = ref(component) if component is not None else None

    def __call__(self) -> Optional["Elmo"]:
        """RETURNS (Optional[Elmo]): The component; None if it no longer exists."""
        return self._ref() if self._ref is not None else None

    def __reduce__(self) -> tuple[Any, ...]:
        return UpstreamRef, (self(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> "UpstreamRef":
        # If the component is copied too, the copy refers to the copied component. If the listener
        # is copied alone, e.g. for rehearsal, it refers to the same component, so that the biLM is
        # not copied.
        component = self()
        return UpstreamRef(memo.get(id(component), component))
