"""All readable formats."""

from typing import Dict

from . import pipelines, texts, trainings, weights
from .target import Target

TARGETS: Dict[str, Target] = {
    target.name: target
    for module in (weights, texts, trainings, pipelines)
    for target in module.TARGETS
}
