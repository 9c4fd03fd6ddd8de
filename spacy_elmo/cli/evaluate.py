"""`evaluate`: the perplexity of a text under a language model.

Owns the command. The work is in `spacy_elmo.pretrain`, imported when it is done.
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.cli._util import Arg, Opt

from . import elmo_app
from .messages import msg

if TYPE_CHECKING:
    from ..lm.evaluate import Perplexity


@elmo_app.command("evaluate")
def evaluate_cli(
    model: Path = Arg(..., metavar="MODEL", help="Directory that `pretrain` wrote"),
    texts: list[Path] = Arg(..., metavar="TEXT...", help="Files, directories or patterns"),
    lang: str = Opt("en", "--lang", "-l", help="Language whose tokenizer cuts running text"),
    tokenized: bool = Opt(
        False, "--tokenized", help="Text files hold a whitespace-tokenized sentence per line"
    ),
    text_key: str = Opt("text", "--text-key", help="Key of the text in JSONL records"),
    cache: Path | None = Opt(
        None, "--cache", help="Keep the tokenized text here, e.g. the cache of the training"
    ),
    gpu_id: int = Opt(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
    as_json: bool = Opt(False, "--json", help="Print JSON"),
) -> None:
    """Print the perplexity of a text, forward and backward. All words and ends of sentences
    are counted, those outside of the vocabulary as <UNK>."""
    found = evaluate(
        model,
        texts,
        lang=lang,
        tokenized=tokenized,
        text_key=text_key,
        cache=cache,
        gpu_id=gpu_id,
        progress=not as_json,
    )
    if as_json:
        means = {"geometric": found.geometric, "arithmetic": found.arithmetic}
        print(json.dumps({**asdict(found), **means}, indent=2))
        return
    msg.table(
        [
            ("Forward", f"{found.forward:.2f}"),
            ("Backward", f"{found.backward:.2f}"),
            ("Geometric mean", f"{found.geometric:.2f}"),
            ("Arithmetic mean", f"{found.arithmetic:.2f}"),
            ("Words predicted", f"{found.n_positions:,} in each direction"),
            ("<UNK> among them", f"{found.unknown:.2%}"),
        ],
        title="Perplexity",
    )


def evaluate(
    model: Path,
    texts: list[Path],
    *,
    lang: str = "en",
    tokenized: bool = False,
    text_key: str = "text",
    cache: Path | None = None,
    gpu_id: int = -1,
    progress: bool = True,
) -> "Perplexity":
    """Perplexity of a text; see `evaluate_cli`.

    RETURNS (Perplexity): Of both directions.
    """
    from ..bilm.languages import warn_of_language
    from ..corpus.corpus_cache import open_corpus
    from ..corpus.readers import TextSettings
    from ..lm.evaluate import evaluate
    from ..lm.language_model import LanguageModel
    from ..runtime.workers import Workers

    workers = Workers.join(gpu_id)
    try:
        language_model = LanguageModel.load(model).to(workers.device)
        if not tokenized:
            warn_of_language(language_model.bilm.languages, lang, "--lang")
        settings = TextSettings(lang, tokenized, text_key)
        with tempfile.TemporaryDirectory() as temporary:
            corpus = open_corpus(texts, settings, cache or temporary, progress=progress)
            return evaluate(language_model, corpus, workers)
    finally:
        workers.leave()
