"""A training run of a component: its settings, its files, and whether it is finished."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from weasel.util.hashing import get_checksum

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Run:
    """A training run.

    task (str): The component: "ner", "spancat" or "coref".
    model (str): "elmo", or "baseline" for the same component without ELMo.
    seed (int): The random seed.
    share (int): Percentage of the training books.
    config (str): The config file.
    corpus (str): Folder of train.spacy, dev.spacy and test.spacy.
    training (str): Folder for trained pipelines.
    metrics (str): Folder for scores.
    gpu_id (int): The GPU, -1 for the CPU.
    overrides (Dict[str, Any]): Further settings of the config.
    """

    task: str
    model: str
    seed: int
    share: int
    config: str
    corpus: str
    training: str
    metrics: str
    gpu_id: int
    overrides: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the run and of its files."""
        return f"{self.task}_{self.model}_{self.share}_{self.seed}"

    @property
    def output(self) -> Path:
        """Output directory of `spacy train`."""
        return Path(self.training) / self.name

    @property
    def pipeline(self) -> Path:
        """Directory of the trained pipeline."""
        return self.output / "model-best"

    @property
    def scores(self) -> Path:
        """JSON file of the results."""
        return Path(self.metrics) / f"{self.name}.json"

    def settings(self) -> dict[str, Any]:
        """Return the settings that determine the scores, except the seed and the share: the config,
        its overrides, and checksums of the corpus and of the biLM."""
        corpus = {split: get_checksum(Path(self.corpus) / f"{split}.spacy") for split in SPLITS}
        bilm = self.overrides.get("paths.bilm")
        weights = Path(str(bilm))
        if weights.is_dir():
            weights = weights / "model.safetensors"
        return {
            "config": Path(self.config).read_text(encoding="utf8"),
            "overrides": self.overrides,
            "corpus": corpus,
            "bilm": get_checksum(weights) if weights.is_file() else bilm,
        }

    def is_done(self) -> bool:
        """Return whether the scores and the pipeline exist and come from these settings."""
        if not (self.scores.is_file() and self.pipeline.is_dir()):
            return False
        found = json.loads(self.scores.read_text(encoding="utf8"))
        return bool(found["settings"] == self.settings())

    def to_json(self) -> str:
        """Return the run as JSON, which `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Run":
        """Create a run from the output of `to_json`."""
        return cls(**json.loads(text))
