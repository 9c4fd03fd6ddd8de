"""All readable formats by name."""

from . import pipelines, texts, trainings, weights
from .target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (weights, texts, trainings, pipelines)
    for target in module.TARGETS
}
