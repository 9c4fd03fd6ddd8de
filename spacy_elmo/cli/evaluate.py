"""The command `evaluate`: print the perplexity of a text under a language model."""

import json
from dataclasses import asdict
from pathlib import Path

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg


@elmo_app.command("evaluate")
def evaluate_cli(
    model: Path = Arg(..., metavar="MODEL", help="Directory written by `pretrain`"),
    texts: list[Path] = Arg(..., metavar="TEXT...", help="Files, directories or patterns"),
    lang: str = Opt("en", "--lang", "-l", help="Language of the tokenizer for running text"),
    tokenized: bool = Opt(
        False, "--tokenized", help="Each line of a text file is a whitespace-tokenized sentence"
    ),
    text_key: str = Opt("text", "--text-key", help="Key of the text in JSONL records"),
    cache: Path | None = Opt(
        None,
        "--cache",
        help="Directory to store the tokenized text in, e.g. the cache of the training",
    ),
    gpu_id: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
    as_json: bool = Opt(False, "--json", help="Print JSON"),
) -> None:
    """Print the perplexity of a text in both directions, over all words and sentence ends.
    Words outside the vocabulary count as <UNK>."""
    from ..corpus.readers import TextSettings
    from ..lm.evaluate_texts import evaluate_texts

    perplexity = evaluate_texts(
        model,
        texts,
        TextSettings(lang, tokenized, text_key),
        cache=cache,
        gpu_id=gpu_id,
        progress=not as_json,
    )
    if as_json:
        means = {"geometric": perplexity.geometric, "arithmetic": perplexity.arithmetic}
        print(json.dumps({**asdict(perplexity), **means}, indent=2))
        return
    msg.table(
        [
            ("Forward", f"{perplexity.forward:.2f}"),
            ("Backward", f"{perplexity.backward:.2f}"),
            ("Geometric mean", f"{perplexity.geometric:.2f}"),
            ("Arithmetic mean", f"{perplexity.arithmetic:.2f}"),
            ("Words predicted", f"{perplexity.n_positions:,} in each direction"),
            ("<UNK> among them", f"{perplexity.unknown:.2%}"),
        ],
        title="Perplexity",
    )
