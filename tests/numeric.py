"""Numerical gradients, a reference for backward passes."""

import numpy as np


def numeric(function, array, step=1e-5):
    """Return the gradient of a scalar function by central differences.

    function (Callable): Maps an array to a number.
    array (ndarray): Point of differentiation, floats of any shape.
    step (float): Half of the distance between the two points of a difference.
    RETURNS (ndarray): The gradient, in the shape of the array.
    """
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        values = []
        for sign in (1, -1):
            moved = array.copy()
            moved[index] += sign * step
            values.append(function(moved))
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient
