"""Loading a thinc model whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager

from thinc.api import Model


@contextmanager
def restored_on_error(model: Model) -> Iterator[None]:
    """Give a model back all that it had if what is done inside fails.

    What it had is held by reference: parameters and the modules in our shims are replaced when
    they are loaded, not overwritten.
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
