"""Stateless randomness: a draw depends only on the seed, the purpose and the step.

No generator is carried from step to step, so there is no random state to save, and the draws do
not depend on the number of processes.
"""

import numpy as np

# one number for each purpose. Do not change them: a training that resumes must draw the same values
DRAW_ORDER, DRAW_RESET, DRAW_SAMPLES, DRAW_DROPOUT = range(4)


def draw_generator(seed: int, purpose: int, *where: int) -> np.random.Generator:
    """Return the generator for one draw.

    seed (int): The seed of the training.
    purpose (int): One of the constants of this module.
    where (int): Other numbers that distinguish the draw: the step, the window within the step, the
        direction.
    RETURNS (Generator): A new generator.
    """
    return np.random.default_rng([seed, purpose, *where])
