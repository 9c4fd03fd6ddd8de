"""Whether ELMo helped, in words, and where it did not, what explains it."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tables import METRICS, TASKS, Runs, Spread

# points between two runs of one model that differ in their seed only; where each model has
# several runs, their own deviation counts
SEED_POINTS = 1.0
# a biLM whose perplexity is above this fraction of the unigram perplexity is hardly trained
HARDLY_TRAINED = 0.5
# a score without ELMo from which there is little to gain
NEARLY_PERFECT = 98.0


def unigram_perplexity(sentences: Sequence[tuple[str, ...]]) -> float:
    """Perplexity of a text under the frequencies of its own words and ends of sentences: what
    a language model reaches that reads no context.

    sentences (Sequence[Tuple[str, ...]]): The words of each sentence.
    RETURNS (float): The perplexity; 1 for an empty text.
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    counts[""] = len(sentences)
    total = max(1, sum(counts.values()))
    entropy = -sum(n / total * math.log(n / total) for n in counts.values() if n)
    return math.exp(entropy)


def on_gains(runs: Runs, looks: Sequence[dict[str, Any]], unigram: float | None) -> Iterator[str]:
    """Say for each task whether ELMo helped, and give the reasons where it did not.

    runs (Runs): All runs.
    looks (Sequence[Dict[str, Any]]): The evaluations of the pretraining, in order; empty for a
        biLM that was pretrained elsewhere.
    unigram (Optional[float]): See `unigram_perplexity`; None if there is no text.
    YIELDS (str): Paragraphs in Markdown.
    """
    yield "## What ELMo brings"
    without_gain: list[Spread] = []
    lines: list[str] = []
    for task in runs.of(share=100).tasks():
        name, key = METRICS[task][0]
        baseline, elmo = (
            runs.of(task=task, model=model, share=100).score("test", key)
            for model in ("baseline", "elmo")
        )
        if baseline is None or elmo is None:
            continue
        points = elmo.mean - baseline.mean
        noise = noise_of(baseline, elmo)
        change = f"{name} on test is {baseline} without and {elmo} with ELMo ({points:+.1f})"
        if points > noise:
            lines.append(f"- **{TASKS[task]}: ELMo helps.** {change}.")
            continue
        without_gain.append(baseline)
        verdict = "ELMo hurts" if points < -noise else "no gain"
        lines.append(
            f"- **{TASKS[task]}: {verdict}.** {change}, where differences of up to {noise:.1f} "
            f"points come from the seed alone."
        )
    yield "\n".join(lines) if lines else "There are no runs with and without ELMo to compare."
    trained = describe_pretraining(looks, unigram)
    if trained:
        yield trained
    if without_gain:
        yield from reasons(without_gain, looks, unigram)


def noise_of(baseline: Spread, elmo: Spread) -> float:
    """RETURNS (float): Points that two means differ by without a reason: their standard
    deviations over seeds where there are several runs, else `SEED_POINTS`."""
    if min(baseline.n, elmo.n) > 1:
        return max(baseline.deviation, elmo.deviation)
    return SEED_POINTS


def describe_pretraining(looks: Sequence[dict[str, Any]], unigram: float | None) -> str:
    """RETURNS (str): How well the biLM predicts held-out text; empty if that is unknown."""
    if not looks:
        return ""
    last = looks[-1]
    compared = f", where word frequencies alone reach {unigram:.1f}" if unigram else ""
    return (
        f"The biLM has read {last['words']:,} words in {last['step']:,} steps. Its perplexity on "
        f"held-out text is {perplexity(last):.1f}{compared}."
    )


def perplexity(look: dict[str, Any]) -> float:
    """RETURNS (float): Geometric mean of both directions."""
    return math.sqrt(look["forward"] * look["backward"])


def reasons(
    baselines: Sequence[Spread], looks: Sequence[dict[str, Any]], unigram: float | None
) -> Iterator[str]:
    """YIELDS (str): Why tasks with these scores without ELMo may have gained nothing."""
    found = False
    if looks and unigram and perplexity(looks[-1]) > HARDLY_TRAINED * unigram:
        found = True
        yield (
            f"**The biLM is hardly trained**: after {looks[-1]['step']:,} steps it predicts little "
            f"better than word frequencies do, so that its vectors hold little of the context. "
            f"Pretrain it for more steps (`training.epochs`), then fine-tune again."
        )
    if any(score.mean >= NEARLY_PERFECT for score in baselines):
        found = True
        yield "A score without ELMo is nearly perfect already, which leaves little to gain."
    if any(score.n == 1 for score in baselines):
        found = True
        yield (
            "Each model was trained once. Runs from several seeds (`seeds`) show whether a small "
            "difference is chance."
        )
    if not found:
        yield (
            "Neither the pretraining nor the scores explain it. More steps of fine-tuning, or a "
            "biLM that was pretrained on text of the same kind, may help."
        )
