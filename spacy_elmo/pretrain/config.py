"""The settings of pretraining: types, ranges and defaults of the blocks of a config file."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..bilm.options import BiLMOptions
from ..weights.build import check_options
from .recipes import Modern, Recipe
from .settings import Settings, describe

Precision = Literal["float32", "tf32", "bfloat16"]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
AtLeast0 = Annotated[int, Field(ge=0)]
AtLeast1 = Annotated[int, Field(ge=1)]


class TextConfig(Settings):
    """[text]

    train, heldout (list[str]): Files, directories or globs, one or a list, to train on and to
        evaluate on.
    cache (str): Directory for the tokenized text.
    lang (str): Language of the text, which the biLM records. Its tokenizer splits running text.
    tokenized (bool): Whether text files hold a whitespace-tokenized sentence per line.
    text_key (str): Key of the text in JSONL records.
    """

    train: list[str]
    heldout: list[str]
    cache: str = "corpus_cache"
    lang: str = "en"
    tokenized: bool = False
    text_key: str = "text"


class VocabConfig(Settings):
    """[vocab]: the words to predict; all others are one class.

    file (str | None): A vocab.txt to read, instead of counting the training text.
    max_size (int): At most this many words, the three special ones included; 0 for no limit.
    min_count (int): Least number of occurrences of a word.
    """

    file: str | None = None
    max_size: AtLeast0 = 0
    min_count: AtLeast1 = 3


class ModelConfig(Settings):
    """[model]: sizes of a new biLM; see `BiLMOptions`. Everything else is as in the original."""

    hidden_dim: int
    projection_dim: int
    n_layers: int = 2
    filters: Annotated[list[Pair], Field(description="a list of [width, count] pairs")] = []
    char_dim: int = 16
    max_characters: int = 50
    activation: str = "relu"
    n_highway: int = 0
    cell_clip: float | None = 3.0
    proj_clip: float | None = 3.0
    skip_connections: bool = True
    bidirectional: bool = True

    def to_options(self) -> BiLMOptions:
        """RETURNS (BiLMOptions): The sizes of the biLM.
        RAISES (ValueError): If they do not agree with each other.
        """
        options = BiLMOptions(**self.model_dump())
        check_options(options, "[model]")
        return options


class InitConfig(Settings):
    """[init]

    path (str): A biLM of any known format whose weights the training starts from.
    """

    path: str


class SoftmaxConfig(Settings):
    """[softmax]

    kind (str): "adaptive", "sampled" or "full".
    cutoffs (list[int]): adaptive: first word of each further cluster, ascending.
    n_samples (int): sampled: distinct words drawn for each window and direction. If this is
        more than half of the vocabulary, the full softmax is used.
    """

    kind: Literal["adaptive", "sampled", "full"] = "adaptive"
    cutoffs: list[int] = [4000]
    n_samples: AtLeast1 = 8192

    @model_validator(mode="after")
    def _check_cutoffs(self) -> "SoftmaxConfig":
        cutoffs = self.cutoffs
        if cutoffs != sorted(set(cutoffs)) or any(cutoff < 1 for cutoff in cutoffs):
            raise ValueError(f"[softmax] cutoffs is {cutoffs}; they must be above 0 and ascend.")
        return self


class BatchConfig(Settings):
    """[batches]

    n_rows (int): Rows of text in a batch, over all processes.
    n_steps (int): Words of each row in a window. The states carry over to the next window.
    accumulate (int): Windows whose gradients are averaged in a step.
    order (str): "documents", each row reads a document from start to end, or "shuffled" sentences.
    reset (float): Fraction of the rows whose states are set to zero at a window, so that the model
        also learns to start without context.
    """

    n_rows: AtLeast1 = 128
    n_steps: AtLeast1 = 20
    accumulate: AtLeast1 = 1
    order: Literal["documents", "shuffled"] = "documents"
    reset: Fraction = 0.02


class TrainingConfig(Settings):
    """[training]

    epochs (float): Passes over the training text.
    max_minutes (float): Stop after at most this many minutes of training; 0 for no limit. The
        learning rates follow the elapsed time where it is further advanced than the epochs, so
        that they end low. The weights of two such runs differ.
    dropout (float): Dropout rate of each layer's inputs and of the outputs.
    precision (str): "float32"; for the matrix products "tf32" (on a GPU, 10-bit mantissas) or
        "bfloat16" (7-bit mantissas).
    eval_every (int): Steps between two evaluations on held-out text, each followed by a checkpoint.
    checkpoint_every (int): Steps between additional checkpoints; 0 for none.
    patience (int): Stop after this many evaluations without a lower perplexity; 0 for no limit.
    seed (int): Seed of the initial weights, the order of the text and all sampling.
    tensorboard (bool): Whether to log to TensorBoard as well.
    """

    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_minutes: Annotated[float, Field(ge=0)] = 0.0
    dropout: Fraction = 0.0
    precision: Precision = "float32"
    eval_every: AtLeast1 = 1000
    checkpoint_every: AtLeast0 = 0
    patience: AtLeast0 = 0
    seed: AtLeast0 = 0
    tensorboard: bool = False


class PretrainConfig(Settings):
    """All blocks of a config.

    model (ModelConfig | None): Sizes of a new biLM.
    init (InitConfig | None): Instead of `model`: the biLM to start from.
    """

    text: TextConfig
    vocab: VocabConfig = VocabConfig()
    softmax: SoftmaxConfig = SoftmaxConfig()
    batches: BatchConfig = BatchConfig()
    recipe: Recipe = Field(default=Modern(), discriminator="name")
    training: TrainingConfig = TrainingConfig()
    model: ModelConfig | None = None
    init: InitConfig | None = None

    @model_validator(mode="after")
    def _check_start(self) -> "PretrainConfig":
        if self.model is not None:
            self.model.to_options()
        if (self.model is None) == (self.init is None):
            raise ValueError(
                "The config must have either a [model] block with the sizes of a new biLM, or an "
                "[init] block with the path of a biLM to start from."
            )
        return self

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PretrainConfig":
        """Read the blocks of a config file; missing settings have their defaults.

        values (dict[str, Any]): A dictionary of settings for each block. `paths` is ignored: other
            blocks refer to it.
        RETURNS (PretrainConfig): The settings.
        RAISES (ValueError): For unknown names, wrong types and values out of range.
        """
        blocks = {name: value for name, value in values.items() if name != "paths"}
        text = dict(blocks.get("text", {}))
        for name in ("train", "heldout"):
            if isinstance(text.get(name), str):
                text[name] = [text[name]]
            elif text.get(name) is None:
                raise ValueError(
                    f"[text] {name} is not set. Name files, directories or patterns there, or on "
                    f"the command line: --text.{name} FILES (--paths.{name} with the configs that "
                    f"come with spacy-elmo)."
                )
        blocks |= {"text": text, "recipe": {"name": "modern", **blocks.get("recipe", {})}}
        try:
            return cls.model_validate(blocks)
        except ValidationError as error:
            raise ValueError(describe(error, cls, blocks)) from error

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): What `from_dict` reads, as JSON has it."""
        absent = {name for name in ("model", "init") if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude=absent)
