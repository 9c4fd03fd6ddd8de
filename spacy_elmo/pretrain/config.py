"""The settings of a pretraining, read strictly: an unknown name or a wrong type is an
error that names it.

Owns the blocks of a config file and their defaults. It knows nothing of how they are
used, and reads dictionaries, wherever they come from.
"""

import math
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, Dict, List, Optional, Tuple, Type, TypeVar

from ..bilm.options import BiLMOptions
from ..weights.build import check_options
from .recipes import RECIPES, Modern, Recipe

T = TypeVar("T")
SOFTMAXES = ("adaptive", "sampled", "full")
ORDERS = ("documents", "shuffled")
PRECISIONS = ("float32", "tf32", "bfloat16")
# what [model] may say: all else of a new biLM is as the original has it
MODEL_SETTINGS = (
    *("hidden_dim", "projection_dim", "n_layers", "filters", "char_dim", "max_characters"),
    *("activation", "n_highway", "cell_clip", "proj_clip", "skip_connections", "bidirectional"),
)
# ranges of the settings of these names
AT_LEAST_0 = (
    *("max_size", "max_minutes", "checkpoint_every", "patience", "seed", "reset", "dropout"),
    *("warmup", "beta1", "beta2", "weight_decay", "initial_accumulator"),
)
AT_LEAST_1 = ("min_count", "n_samples", "n_rows", "n_steps", "accumulate", "eval_every")
ABOVE_0 = ("learn_rate", "matrix_rate", "clip", "epochs")
BELOW_1 = ("reset", "dropout", "warmup", "beta1", "beta2")


@dataclass(frozen=True)
class TextConfig:
    """[text]

    train, heldout (List[str]): Files, directories or globs, one or a list, to train on and
        to watch the perplexity on.
    cache (str): Directory for the tokenized text.
    lang (str): Language of the text, which the biLM records. Its tokenizer cuts running text.
    tokenized (bool): Whether text files hold a whitespace-tokenized sentence per line.
    text_key (str): Key of the text in JSONL records.
    """

    train: List[str]
    heldout: List[str]
    cache: str = "corpus_cache"
    lang: str = "en"
    tokenized: bool = False
    text_key: str = "text"


@dataclass(frozen=True)
class VocabConfig:
    """[vocab]: the words to predict; all others are one class.

    file (Optional[str]): A vocab.txt to take, instead of counting the training text.
    max_size (int): Words at the most, the three special ones included; 0 for no limit.
    min_count (int): How often a word must occur.
    """

    file: Optional[str] = None
    max_size: int = 0
    min_count: int = 3


@dataclass(frozen=True)
class SoftmaxConfig:
    """[softmax]

    kind (str): "adaptive", "sampled" or "full".
    cutoffs (List[int]): adaptive: first word of each further cluster.
    n_samples (int): sampled: distinct words drawn for each window and direction. Where
        these are more than half of the vocabulary, the full softmax is taken.
    """

    kind: str = "adaptive"
    cutoffs: List[int] = field(default_factory=lambda: [4000])
    n_samples: int = 8192


@dataclass(frozen=True)
class BatchConfig:
    """[batches]

    n_rows (int): Rows of text read side by side, over all processes.
    n_steps (int): Words of each row in a window. The states carry over to the next one.
    accumulate (int): Windows of which the gradients are averaged in a step.
    order (str): "documents", each row reads on in a document, or "shuffled" sentences.
    reset (float): Share of the rows that start from zero states at a window, so that the
        model also knows how to begin.
    """

    n_rows: int = 128
    n_steps: int = 20
    accumulate: int = 1
    order: str = "documents"
    reset: float = 0.02


@dataclass(frozen=True)
class TrainingConfig:
    """[training]

    epochs (float): Passes over the training text.
    max_minutes (float): Stop after so many minutes of training at the latest; 0 for no limit.
        Learning rates follow the time where it is further on than the epochs, so that they
        end low. The weights are then not the same twice.
    dropout (float): Share of each layer's inputs, and of the outputs, to drop.
    precision (str): "float32"; for the matrix products "tf32" (on a GPU, inputs of 10 bits) or
        "bfloat16" (of 8 bits).
    eval_every (int): Steps between two looks at the held-out text, each followed by a
        checkpoint.
    checkpoint_every (int): Steps between checkpoints, if there should be more of them.
    patience (int): Looks without a better perplexity before it stops; 0 for no limit.
    seed (int): Decides the initial weights, the order of the text and all that is drawn.
    tensorboard (bool): Whether to log for TensorBoard as well.
    """

    epochs: float = 1.0
    max_minutes: float = 0.0
    dropout: float = 0.0
    precision: str = "float32"
    eval_every: int = 1000
    checkpoint_every: int = 0
    patience: int = 0
    seed: int = 0
    tensorboard: bool = False


@dataclass(frozen=True)
class PretrainConfig:
    """All blocks.

    model (Optional[BiLMOptions]): [model]: sizes of a new biLM.
    init (Optional[str]): [init] path: a biLM of any known format to go on from instead.
    """

    text: TextConfig
    vocab: VocabConfig
    softmax: SoftmaxConfig
    batches: BatchConfig
    recipe: Recipe
    training: TrainingConfig
    model: Optional[BiLMOptions] = None
    init: Optional[str] = None

    def __post_init__(self) -> None:
        _one_of("softmax", "kind", self.softmax.kind, SOFTMAXES)
        _one_of("batches", "order", self.batches.order, ORDERS)
        _one_of("training", "precision", self.training.precision, PRECISIONS)
        for block in ("vocab", "softmax", "batches", "recipe", "training"):
            for name, value in asdict(getattr(self, block)).items():
                _check_range(block, name, value)
        cutoffs = self.softmax.cutoffs
        if cutoffs != sorted(set(cutoffs)) or any(cutoff < 1 for cutoff in cutoffs):
            raise ValueError(f"[softmax] cutoffs is {cutoffs}; they must be above 0 and ascend.")
        if self.model is not None:
            check_options(self.model, "[model]")
        if (self.model is None) == (self.init is None):
            raise ValueError(
                "The config must have either a [model] block with the sizes of a new biLM, or an "
                "[init] block with the path of one to go on from."
            )

    @classmethod
    def from_dict(cls, values: Dict[str, Any]) -> "PretrainConfig":
        """Read the blocks of a config file; what is missing has its default.

        values (Dict[str, Any]): A dictionary of settings for each block. `paths` is left
            alone, being there for the other blocks to refer to.
        RETURNS (PretrainConfig): The settings. ValueError for unknown names, wrong types
            and values out of range.
        """
        blocks = {name: value for name, value in values.items() if name != "paths"}
        known = ("text", "vocab", "softmax", "batches", "recipe", "training", "model", "init")
        unknown = sorted(set(blocks) - set(known))
        if unknown:
            raise ValueError(
                f"The config has the block [{unknown[0]}], which pretraining does not know. Known "
                f"are {', '.join(f'[{name}]' for name in known)} and [paths]."
            )
        recipe = dict(blocks.get("recipe", {}))
        name = recipe.pop("name", "modern")
        _one_of("recipe", "name", name, tuple(RECIPES))
        text = dict(blocks.get("text", {}))
        for part in ("train", "heldout"):
            if isinstance(text.get(part), str):
                text[part] = [text[part]]
            elif text.get(part) is None:
                raise ValueError(
                    f"[text] {part} is not set. Name files, directories or patterns there, or on "
                    f"the command line: --text.{part} FILES (--paths.{part} with the configs that "
                    f"come with spacy-elmo)."
                )
        init = blocks.get("init")
        if init is not None and (set(init) != {"path"} or not isinstance(init["path"], str)):
            raise ValueError("The block [init] must have one setting, path, and nothing else.")
        return cls(
            text=_read(TextConfig, "text", text),
            vocab=_read(VocabConfig, "vocab", blocks.get("vocab", {})),
            softmax=_read(SoftmaxConfig, "softmax", blocks.get("softmax", {})),
            batches=_read(BatchConfig, "batches", blocks.get("batches", {})),
            recipe=_read(RECIPES[name], "recipe", recipe),
            training=_read(TrainingConfig, "training", blocks.get("training", {})),
            model=_read_model(blocks["model"]) if "model" in blocks else None,
            init=None if init is None else init["path"],
        )

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What `from_dict` reads."""
        names = ("text", "vocab", "softmax", "batches", "training")
        blocks: Dict[str, Any] = {name: asdict(getattr(self, name)) for name in names}
        name = "modern" if isinstance(self.recipe, Modern) else "paper"
        blocks["recipe"] = {"name": name, **asdict(self.recipe)}
        if self.model is not None:
            options = self.model.to_dict()
            blocks["model"] = {name: options[name] for name in MODEL_SETTINGS}
        if self.init is not None:
            blocks["init"] = {"path": self.init}
        return blocks


def _read_model(values: Dict[str, Any]) -> BiLMOptions:
    for name in values:
        if name not in MODEL_SETTINGS:
            raise ValueError(
                f"[model] has the setting {name!r}, which it does not know. Known are "
                f"{', '.join(MODEL_SETTINGS)}."
            )
    return _read(BiLMOptions, "model", values)


def _read(cls: Type[T], block: str, values: Dict[str, Any]) -> T:
    """A settings class from a block, with names and types checked."""
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in known:
            raise ValueError(
                f"[{block}] has the setting {name!r}, which it does not know. Known are "
                f"{', '.join(known)}."
            )
        _check_type(block, known[name], value)
    for name, item in known.items():
        if name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"[{block}] lacks the setting {name!r}. State it in the config.")
    return cls(**values)


def _check_type(block: str, item: "Field[Any]", value: Any) -> None:
    kinds: Dict[Any, Any] = {
        int: (int, "a whole number"),
        float: ((int, float), "a number"),
        bool: (bool, "true or false"),
        str: (str, "a string in quotes"),
        List[str]: (list, "a list of strings"),
        List[int]: (list, "a list of whole numbers"),
        Optional[str]: ((str, type(None)), "a string in quotes, or null"),
        Optional[float]: ((int, float, type(None)), "a number, or null"),
        Tuple[Tuple[int, int], ...]: ((list, tuple), "a list of [width, count] pairs"),
    }
    kind, wording = kinds[item.type]
    fits = isinstance(value, kind) and (item.type is bool or not isinstance(value, bool))
    if isinstance(value, (list, tuple)):
        inner: Dict[Any, Any] = {List[str]: _is_string, List[int]: _is_whole}
        fits = fits and all(map(inner.get(item.type, _is_pair), value))
    if not fits or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"[{block}] {item.name} is {value!r}; it must be {wording}.")


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_whole, value))


def _check_range(block: str, name: str, value: Any) -> None:
    rules = (
        (AT_LEAST_0, "at least 0", lambda: value >= 0),
        (AT_LEAST_1, "at least 1", lambda: value >= 1),
        (ABOVE_0, "above 0", lambda: value > 0),
        (BELOW_1, "below 1", lambda: value < 1),
    )
    for names, wording, holds in rules:
        if name in names and not holds():
            raise ValueError(f"[{block}] {name} is {value}; it must be {wording}.")


def _one_of(block: str, name: str, value: str, known: "tuple[str, ...]") -> None:
    if value not in known:
        raise ValueError(f"[{block}] {name} is {value!r}; it must be one of {', '.join(known)}.")
