"""Stateless randomness: what is drawn depends on the seed, the purpose and the step alone.

No generator is carried from step to step, so there is no random state to save, and the draws do
not depend on the number of processes.
"""

import numpy as np

# one number for each purpose; part of what makes a resumed training bitwise identical
DRAW_ORDER, DRAW_RESET, DRAW_SAMPLES, DRAW_DROPOUT = range(4)


def draw_generator(seed: int, purpose: int, *where: int) -> np.random.Generator:
    """Return the generator for one draw.

    seed (int): The seed of the training.
    purpose (int): One of the constants of this module.
    where (int): What else distinguishes the draw: the step, the window in it, the direction.
    RETURNS (Generator): A new generator.
    """
    return np.random.default_rng([seed, purpose, *where])
