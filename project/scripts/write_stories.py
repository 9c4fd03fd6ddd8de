"""Generate a small synthetic corpus of stories: raw text, and stories with annotated entities.

With this corpus, the project runs in minutes and without a network. The names of people, towns and
ships consist of the same syllables, so that only the context of a name shows what it refers to. The
few annotated stories contain only some of the names. A language model that was trained on many
stories has seen all of them.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import spacy
import typer
from spacy.cli._util import Arg, Opt
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab
from wasabi import msg

from spacy_elmo.coref.clusters import set_clusters

SYLLABLES = "bel dor mar ven tal ros fen lin gar hol wyn ash per cor sel nor".split()
ENDINGS = "a an en is or ey ow et".split()
N_NAMES = 80  # of people, of towns, and of ships
LABELS = {"A": "PER", "B": "PER", "P": "GPE", "S": "VEH"}
JOBS = "miller baker doctor painter smith sailor teacher widow weaver gardener".split()
THINGS = "lamp letter clock basket violin map coat mirror key watch ring".split()
ADJECTIVES = "old small heavy broken golden strange".split()

# A scene is one or more sentences. {A} and {B} are people, {P} is a town, {S} a ship and {T} a
# thing. The form of the mention follows the dot. One of the alternatives in brackets is chosen at
# random.
OPENINGS = (
    "{A} was [a|the only] {A.job} and lived in {P} . {A.He} had never been far from {P.the} .",
    "When {A} came to {P} , {A.he} was [young|poor|alone] . {A.His} friend {B} came later .",
    "{P} is a [quiet|busy|grey] town on the coast . {A} was born there .",
    "{B} and {A} grew up in {P} . People of {P.the} still speak of {B} .",
    "The [captain|cook|owner] of {S} was called {A} . {A.He} had sailed with {S.it} from {P} .",
)
SCENES = (
    "{A} owned {T.a} . {A.He} kept {T.it} in [a drawer|the cellar|the kitchen] .",
    "One [morning|evening|night] {B} knocked at the door . {A} let {B.him} in .",
    "{B} wanted to buy {T.a} . {A} shook {A.his} head .",
    "{A} gave {T} to {B} . {B.He} thanked {A.him} and left .",
    '" {A.I} have lost {T} , " said {A} . " {B} must have taken {T.it} . "',
    "{S} lay in the harbour of {P} . {S.It} had come in with the [tide|storm|wind] .",
    "{A} wrote to {B} from {P} . {B.He} never answered .",
    "{S} sailed at noon , and {A} was on board . {A.He} looked back at {P.the} .",
    "The [road|railway|river] to {P} was closed . {P.The} was silent under the snow .",
    "{A} was silent . Then {A.he} took {T} and went out .",
    "Everybody had heard of {A} . Nobody had seen {A.him} since the [summer|winter|war] .",
    "{P} was silent . Only {B} was still awake in {P.the} .",
    "{S} was old , but {S.it} was fast . {B} trusted {S.it} more than [maps|money|men] .",
    "{B} laughed . {B.His} [hands|eyes|clothes] smelled of the sea .",
    "It rained on {P} for a week . {A} and {B} stayed indoors .",
    "Nobody knew that {S} had gone down . {A} waited at the pier for {S.it} .",
    "{A.The} found {T.a} on the beach . {A.He} showed {T.it} to {B} .",
    "The news of {S} reached {P} . {B.The} wept when {B.he} heard it .",
    "{A} had forgotten {T} . {B} brought {T.it} to {A.him} .",
    "There was a letter from {P} . {B} read it to {A} twice .",
    "{A} liked to watch {S} from the pier . [Often|Today] {B} came to watch {S.it} too .",
    "The bells of {P} began to ring . {B} had never heard them ring so [late|early|long] .",
    "Of {P} {B} said little . {B.He} had been unhappy in {P.the} .",
    "{B} painted {S} in red and white . {A} liked {S.it} better before .",
)
CHOICE = re.compile(r"\[([^\]]+)\]")
SLOT = re.compile(r"\{(\w)(?:\.(\w+))?\}")
PRONOUNS = ({"he": "he", "his": "his", "him": "him"}, {"he": "she", "his": "her", "him": "her"})

Mention = tuple[int, int, str, bool]
"""First token, the token after the last, role ("A", "B", "P", "S" or "T"), whether it is a name."""


class Story(NamedTuple):
    """A story with its annotation.

    words (List[str]): The tokens.
    starts (List[bool]): Whether each token starts a sentence.
    mentions (List[Mention]): The mentions.
    """

    words: list[str]
    starts: list[bool]
    mentions: list[Mention]


def make_names() -> dict[str, list[str]]:
    """Return distinct names of people ("A"), towns ("P") and ships ("S")."""
    rng = random.Random(0)
    names = [f"{a}{b}{c}".title() for a in SYLLABLES for b in ("", *SYLLABLES) for c in ENDINGS]
    chosen = rng.sample(names, 3 * N_NAMES)
    return {kind: chosen[i :: len("APS")] for i, kind in enumerate("APS")}


NAMES = make_names()


def make_world(rng: random.Random) -> dict[str, dict[str, str]]:
    """Choose the entities of a story.

    rng (Random): The random number generator.
    RETURNS (Dict[str, Dict[str, str]]): The mentions of each role, by their form.
    """
    people = rng.sample(range(N_NAMES), 2)
    world: dict[str, dict[str, str]] = {}
    for role, person in zip("AB", people):
        job = rng.choice(JOBS)
        pronouns = PRONOUNS[person % 2]  # each name is male or female
        world[role] = {"": NAMES["A"][person], "job": job, "the": f"the {job}", "i": "I"}
        world[role] |= pronouns
    world["P"] = {"": rng.choice(NAMES["P"]), "the": "the town"}
    world["S"] = {"": f"the {rng.choice(NAMES['S'])}", "the": "the ship", "it": "it"}
    adjective, thing = rng.choice(ADJECTIVES), rng.choice(THINGS)
    article = "an" if adjective[0] in "aeiou" else "a"
    world["T"] = {"": f"the {thing}", "a": f"{article} {adjective} {thing}", "it": "it"}
    return world


def make_story(rng: random.Random) -> Story:
    """Generate a story."""
    world = make_world(rng)
    story = Story([], [], [])
    n_scenes = rng.randint(5, 8)
    for scene in (rng.choice(OPENINGS), *rng.sample(SCENES, n_scenes)):
        scene = CHOICE.sub(lambda match: rng.choice(match[1].split("|")), scene)
        is_start, is_open = True, False
        for item in scene.split():
            slot = SLOT.fullmatch(item)
            words = [item]
            if slot:
                form = slot[2] or ""
                words = world[slot[1]][form.lower()].split()
                if form != "job":  # "a miller" is a predicate, not a mention
                    begin = len(story.words)
                    mention = (begin, begin + len(words), slot[1], not form)
                    story.mentions.append(mention)
            for word in words:
                story.words.append(word[:1].upper() + word[1:] if is_start else word)
                story.starts.append(is_start)
                is_start = False
            if item == '"':
                is_open = not is_open
            # a closing quotation mark belongs to the previous sentence
            is_start = item == "." and not is_open
            if item == '"' and not is_open and story.words[-2] == ".":
                is_start = True
    return story


def make_stories(seed: int, number: int) -> Iterator[Story]:
    """Generate stories. The same seed gives the same stories.

    seed (int): The seed.
    number (int): Number of stories.
    YIELDS (Story): The stories.
    """
    rng = random.Random(seed)
    for _ in range(number):
        yield make_story(rng)


def make_doc(story: Story, vocab: Vocab, number: int) -> Doc:
    """Create the Doc of a story.

    story (Story): The story.
    vocab (Vocab): The vocabulary.
    number (int): Number of the story, stored in `doc.user_data["book"]`.
    RETURNS (Doc): The Doc, with named entities in `doc.ents` and all entities in
        `doc.spans["coref_clusters_1"]` and so on.
    """
    doc = Doc(vocab, words=story.words, sent_starts=story.starts)
    named = [m for m in story.mentions if m[3] and m[2] in LABELS]
    doc.set_ents([Span(doc, start, end, LABELS[who]) for start, end, who, _ in named])
    clusters: dict[str, list[tuple[int, int]]] = {}
    for start, end, who, _ in story.mentions:
        clusters.setdefault(who, []).append((start, end))
    set_clusters(doc, list(clusters.values()))
    doc.user_data["book"] = f"story {number}"
    return doc


def write_stories(
    text_dir: Path, corpus_dir: Path, n_raw: int, n_annotated: tuple[int, int, int]
) -> list[tuple[str, int, int]]:
    """Write `{train,heldout}/stories.txt` and `{train,dev,test}.spacy`.

    text_dir (Path): Folder to write the raw text to.
    corpus_dir (Path): Folder to write the annotated stories to.
    n_raw (int): Number of stories to train a language model on.
    n_annotated (Tuple[int, int, int]): Number of annotated stories for train, dev and test.
    RETURNS (List[Tuple[str, int, int]]): The name of each file, its number of stories, and its
        number of tokens.
    """
    rows = []
    numbers = {"train": n_raw, "heldout": max(n_raw // 20, 1)}
    for seed, (split, number) in enumerate(numbers.items()):
        (text_dir / split).mkdir(parents=True, exist_ok=True)
        texts = [" ".join(story.words) for story in make_stories(seed, number)]
        (text_dir / split / "stories.txt").write_text("\n\n".join(texts) + "\n", encoding="utf8")
        rows.append((f"text/{split}", number, sum(len(text.split()) for text in texts)))
    vocab = spacy.blank("en").vocab
    corpus_dir.mkdir(parents=True, exist_ok=True)
    for seed, (split, number) in enumerate(zip(("train", "dev", "test"), n_annotated), start=100):
        docs = [make_doc(story, vocab, i) for i, story in enumerate(make_stories(seed, number))]
        DocBin(docs=docs, store_user_data=True).to_disk(corpus_dir / f"{split}.spacy")
        rows.append((f"marked/{split}", number, sum(map(len, docs))))
    return rows


def write_stories_cli(
    text_dir: Annotated[Path, Arg(help="Folder to write train/ and heldout/ to")],
    corpus_dir: Annotated[Path, Arg(help="Folder to write train.spacy and so on to")],
    n_raw: Annotated[int, Opt(help="Number of raw stories, to train a language model on")] = 3000,
    n_train: Annotated[int, Opt(help="Number of annotated training stories")] = 8,
    n_dev: Annotated[int, Opt(help="Number of annotated dev stories")] = 20,
    n_test: Annotated[int, Opt(help="Number of annotated test stories")] = 60,
) -> None:
    """Write stories as raw text, and further stories with annotated entities."""
    rows = write_stories(text_dir, corpus_dir, n_raw, (n_train, n_dev, n_test))
    table = [(name, f"{n_stories:,}", f"{n_tokens:,}") for name, n_stories, n_tokens in rows]
    msg.table(table, header=("file", "stories", "tokens"), divider=True, aligns=("l", "r", "r"))
    msg.good(f"Wrote the stories to {text_dir} and {corpus_dir}")


if __name__ == "__main__":
    typer.run(write_stories_cli)
