"""The command `evaluate`: print the perplexity of text files under a language model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg

if TYPE_CHECKING:
    from ..lm.evaluate import Perplexity

# wider than all numbers and headers
MAX_WIDTH = 30


@elmo_app.command("evaluate")
def evaluate_cli(
    model: Path = Arg(..., metavar="MODEL", help="Directory written by `pretrain`"),
    texts: list[Path] = Arg(..., metavar="TEXT...", help="Files, directories or patterns"),
    vocab: Path | None = Opt(
        None,
        "--vocab",
        help="Score only words that are also in this vocabulary: a vocab.txt, or the directory of "
        "another model to compare with",
    ),
    lang: str = Opt("en", "--lang", "-l", help="Language of the tokenizer for running text"),
    tokenized: bool = Opt(
        False, "--tokenized", help="Each line of a text file is a whitespace-tokenized sentence"
    ),
    text_key: str = Opt("text", "--text-key", help="Key of the text in JSONL records"),
    cache: Path | None = Opt(
        None, "--cache", help="Directory to store the tokenized text of each file in"
    ),
    gpu_id: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
    as_json: bool = Opt(False, "--json", help="Print JSON"),
) -> None:
    """Print the perplexity of each text file and of all files together, in both directions, over
    all words and sentence ends. Words outside the vocabulary count as <UNK>.

    To compare two models with different vocabularies, evaluate each with the other as `--vocab`,
    so that the same words are scored."""
    from ..corpus.readers import TextSettings
    from ..lm.evaluate import pool
    from ..lm.evaluate_texts import evaluate_texts

    found = evaluate_texts(
        model,
        texts,
        TextSettings(lang, tokenized, text_key),
        vocab=vocab,
        cache=cache,
        gpu_id=gpu_id,
        progress=not as_json,
    )
    total = pool(list(found.values()))
    if as_json:
        files = [{"file": str(path), **_values(one)} for path, one in found.items()]
        print(json.dumps({**_values(total), "files": files}, indent=2))
        return
    rows = [_row(name, one) for name, one in zip(_names(list(found)), found.values())]
    counts = ("Predicted", "<UNK>") if vocab is None else ("Scored", "Left out")
    msg.table(
        rows,
        title="Perplexity" if vocab is None else "Perplexity of the words in both vocabularies",
        header=("File", *counts, "Forward", "Backward", "Geometric", "Arithmetic"),
        footer=_row("Total", total) if len(rows) > 1 else None,
        divider=True,
        aligns=("l", *"r" * 6),
        max_col=max(MAX_WIDTH, *(len(name) for name, *_ in rows)),
    )


def _names(paths: list[Path]) -> list[str]:
    """Return the names of files, or their paths if two of them have the same name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _row(name: str, found: "Perplexity") -> tuple[str, ...]:
    means = (found.forward, found.backward, found.geometric, found.arithmetic)
    counts = (f"{found.n_scored:,}", f"{found.unknown:.2%}")
    return (name, *counts, *(f"{mean:.2f}" for mean in means))


def _values(found: "Perplexity") -> dict[str, Any]:
    return {**asdict(found), "geometric": found.geometric, "arithmetic": found.arithmetic}
