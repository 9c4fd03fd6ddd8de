"""The products of thinc's layers by numpy's BLAS, which uses all cores."""

from thinc.api import Model, NumpyOps

# thinc's own products use one core, and not all of it where a processor lacks AVX-512
FAST = NumpyOps(use_blis=False)


def use_fast_products(model: Model) -> Model:
    """Give the layers of a model that are on the CPU the faster products.

    model (Model): It and all layers in it.
    RETURNS (Model): The same.
    """
    for node in model.walk():
        if type(node.ops) is NumpyOps:
            node.ops = FAST
    return model
