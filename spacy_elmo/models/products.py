"""The products of thinc's layers by numpy's BLAS, which uses all cores."""

from multiprocessing import parent_process

from thinc.api import Model, NumpyOps


class FastOps(NumpyOps):
    """thinc's own products use one core, and little of it. So do these in processes that run side
    by side, as of `nlp.pipe`: they have no more than that."""

    @property
    def use_blis(self) -> bool:
        # asked anew: a pipeline is sent to a process that was just started
        return parent_process() is not None

    @use_blis.setter
    def use_blis(self, value: bool) -> None:
        pass


FAST = FastOps()


def use_fast_products(model: Model) -> Model:
    """Give the layers of a model that are on the CPU the faster products.

    model (Model): It and all layers in it.
    RETURNS (Model): The same.
    """
    for node in model.walk():
        if type(node.ops) is NumpyOps:
            node.ops = FAST
    return model
