"""The pretraining config: types, ranges and defaults of the settings of each block."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..bilm.options import BiLMOptions
from ..corpus.documents import DocumentRule
from ..weights.build import check_options
from .recipes import Modern, Recipe
from .settings import Fraction, Settings, describe

Precision = Literal["float32", "tf32", "bfloat16"]
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
AtLeast0 = Annotated[int, Field(ge=0)]
AtLeast1 = Annotated[int, Field(ge=1)]


class TextConfig(Settings):
    """[text]: the text to train on and the text to evaluate on.

    train, heldout (list[str]): Files, directories or patterns; a string or a list.
    cache (str): Directory for the tokenized text.
    lang (str): Language of the text. Running text is tokenized by its tokenizer, and the language
        is saved with the biLM.
    tokenized (bool): Whether text files hold a whitespace-tokenized sentence per line.
    text_key (str): Key of the text in JSONL records.
    document (str): The documents of a text file: "file" for one, or "blank_line" if blank lines
        separate documents. With the order "documents" in [batches], documents are shuffled.
    """

    train: list[str]
    heldout: list[str]
    cache: str = "corpus_cache"
    lang: str = "en"
    tokenized: bool = False
    text_key: str = "text"
    document: DocumentRule = "file"


class VocabConfig(Settings):
    """[vocab]: the words to predict. All other words share the class <UNK>.

    file (str | None): A vocab.txt to read, instead of counting the words of the training text.
    max_size (int): Maximum number of words, including <S>, </S> and <UNK>; 0 for no limit.
    min_count (int): Minimum number of occurrences of a word in the training text.
    """

    file: str | None = None
    max_size: AtLeast0 = 0
    min_count: AtLeast1 = 3


class ModelConfig(Settings):
    """[model]: sizes of a new biLM. All other options are as in the original implementation.

    hidden_dim (int): Width of the LSTM cells.
    projection_dim (int): Width of one direction of a layer.
    n_layers (int): Number of LSTM layers.
    filters (list[list[int]]): Width and number of the filters over characters.
    char_dim (int): Width of the character embeddings.
    max_characters (int): Characters of a word, including its start and end; the rest of a longer
        word is not read.
    activation (str): Activation of the filters, "relu" or "tanh".
    n_highway (int): Number of highway layers.
    cell_clip, proj_clip (float | None): Bounds of the cell states and of the projected states; None
        for no clipping.
    skip_connections (bool): Whether to add the input of each LSTM layer after the first to its
        output.
    bidirectional (bool): Whether to train both directions, or the forward direction only.
    """

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
        """Return the options of the biLM.

        RAISES (ValueError): If the sizes contradict each other.
        """
        options = BiLMOptions(**self.model_dump())
        check_options(options, "[model]")
        return options


class InitConfig(Settings):
    """[init]: start from the weights of a biLM instead of a new one.

    path (str): A biLM of any supported format.
    """

    path: str


class SoftmaxConfig(Settings):
    """[softmax]: the softmax over the vocabulary.

    kind (str): "adaptive", "sampled" or "full".
    cutoffs (list[int]): For "adaptive": the first word of each cluster after the head, ascending.
    n_samples (int): For "sampled": distinct words sampled for each window and direction. If this
        is more than half of the vocabulary, the full softmax is used.
    """

    kind: Literal["adaptive", "sampled", "full"] = "adaptive"
    cutoffs: list[int] = [4000]
    n_samples: AtLeast1 = 8192

    @model_validator(mode="after")
    def _check_cutoffs(self) -> "SoftmaxConfig":
        cutoffs = self.cutoffs
        if cutoffs != sorted(set(cutoffs)) or any(cutoff < 1 for cutoff in cutoffs):
            raise ValueError(f"[softmax] cutoffs is {cutoffs}; they must ascend and be above 0.")
        return self


class BatchConfig(Settings):
    """[batches]: the size of a batch, and the order of the text.

    n_rows (int): Rows of text in a batch, over all processes.
    n_steps (int): Words of each row in a window. The LSTM states carry over to the next window.
    accumulate (int): Windows whose gradients are averaged in a step.
    order (str): "documents": each row reads documents from start to end, which are shuffled once;
        "shuffled": each row reads sentences, which are shuffled for each epoch, as in the original
        implementation.
    reset (float): The fraction of the rows whose states are set to zero before a window, so that
        the model also learns to start without context.
    """

    n_rows: AtLeast1 = 128
    n_steps: AtLeast1 = 20
    accumulate: AtLeast1 = 1
    order: Literal["documents", "shuffled"] = "documents"
    reset: Fraction = 0.02


class TrainingConfig(Settings):
    """[training]: length, precision, evaluation and logging.

    epochs (float): Passes over the training text.
    max_minutes (float): Maximum minutes of training; 0 for no limit. The learning rates follow the
        fraction of the time limit if it is larger than the fraction of the epochs, so that they
        still decay to their final values. The results of a training with a time limit are not
        bitwise reproducible.
    dropout (float): Dropout rate of the inputs of each layer and of the outputs.
    precision (str): Precision of the matrix products: "float32", "tf32" (on a GPU, 10-bit
        mantissas) or "bfloat16" (7-bit mantissas).
    eval_every (int): Steps between two evaluations on held-out text, each followed by a checkpoint.
    checkpoint_every (int): Steps between additional checkpoints; 0 for none.
    patience (int): Stop after this many evaluations without a lower perplexity; 0 for no limit.
    seed (int): Seed of the initial weights, the order of the text and all sampling.
    tensorboard (bool): Whether to write TensorBoard files as well.
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
    """All blocks of a pretraining config.

    model (ModelConfig | None): Sizes of a new biLM.
    init (InitConfig | None): The biLM to start from, instead of `model`.
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

        values (dict[str, Any]): A dictionary of settings for each block. `paths`, which other
            blocks refer to, is ignored.
        RETURNS (PretrainConfig): The settings.
        RAISES (ValueError): If a name is unknown, a type is wrong, or a value is out of range.
        """
        blocks = {name: value for name, value in values.items() if name != "paths"}
        text = dict(blocks.get("text", {}))
        for name in ("train", "heldout"):
            if isinstance(text.get(name), str):
                text[name] = [text[name]]
            elif text.get(name) is None:
                raise ValueError(
                    f"[text] {name} is not set. Set it to files, directories or patterns in the "
                    f"config or on the command line: --text.{name} FILES (--paths.{name} with the "
                    f"configs of spacy-elmo)."
                )
        blocks |= {"text": text, "recipe": {"name": "modern", **blocks.get("recipe", {})}}
        try:
            return cls.model_validate(blocks)
        except ValidationError as error:
            raise ValueError(describe(error, cls, blocks)) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the blocks that `from_dict` reads, JSON-serializable."""
        absent = {name for name in ("model", "init") if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude=absent)
