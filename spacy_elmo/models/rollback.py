"""Loading a thinc model completely or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thinc.api import Model


@contextmanager
def rollback_on_error(model: Model[Any, Any]) -> Iterator[None]:
    """Restore the previous state of a model and its layers if the context raises an error.

    References to the previous parameters and modules are stored, not copies. Loading must therefore
    replace parameters and the modules in shims, as thinc and `TorchShim` do, and must not overwrite
    their values.

    model (Model): The model, which is restored in place.
    """
    nodes = [
        (
            node,
            node.name,
            dict(node._dims),
            dict(node._refs),
            dict(node.attrs),
            {name: node.get_param(name) for name in node.param_names if node.has_param(name)},
            dict(node._has_params),
            [(shim, dict(vars(shim))) for shim in node.shims],
        )
        for node in model.walk()
    ]
    try:
        yield
    except BaseException:
        for node, name, dims, refs, attrs, params, has_params, shims in nodes:
            node.name, node._dims, node._refs = name, dims, refs
            node.attrs.clear()
            node.attrs.update(attrs)
            for param, value in params.items():
                node.set_param(param, value)
            node._has_params = has_params
            for shim, values in shims:
                vars(shim).clear()
                vars(shim).update(values)
        raise
