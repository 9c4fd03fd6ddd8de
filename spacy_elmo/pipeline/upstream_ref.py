"""The way from a listener to its upstream component, which it does not keep alive."""

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
        """RETURNS (Optional[Elmo]): The component; None where it is gone."""
        return self._ref() if self._ref is not None else None

    def __reduce__(self) -> Any:
        return UpstreamRef, (self(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> "UpstreamRef":
        # the component's copy if it is being copied as well: a copy of a listener alone, as for
        # rehearsal, does not need another biLM
        component = self()
        return UpstreamRef(memo.get(id(component), component))
