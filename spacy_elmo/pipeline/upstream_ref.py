"""A listener's reference to its upstream component, which does not keep the component alive."""

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
        # refers to the copy of the component if that is copied too; a copy of the listener alone,
        # as for rehearsal, keeps the component and does not copy its biLM
        component = self()
        return UpstreamRef(memo.get(id(component), component))
