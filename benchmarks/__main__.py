"""Run all speed benchmarks in sequence.

    python benchmarks OUTPUT [--docs train.spacy] [--precision bfloat16] [--device cuda]

Prints a table for each benchmark, and writes its results and plots to the folder OUTPUT. The
training of components is measured on the annotated Docs of `--docs`, and skipped without them. The
options of each benchmark are described in its script.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def make_commands(docs: Path | None, precision: str, device: str) -> list[list[str]]:
    """Return the scripts to run, with their arguments."""
    commands = [
        ["embed.py", "--precision", precision, "--device", device],
        ["pretrain.py", "--precision", precision, "--device", device],
        ["pipe.py", "--precision", precision],
    ]
    if docs:
        commands.append(["training.py", str(docs)])
    return commands


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder for results and plots")
    parser.add_argument("--docs", type=Path, help="annotated training Docs")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for script, *rest in make_commands(args.docs, args.precision, args.device):
        name = Path(script).stem
        rest += ["--json", str(args.output / f"{name}.json")]
        if script in ("embed.py", "pretrain.py"):
            rest += ["--png", str(args.output / f"{name}.png")]
        print(f"== {script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script), *rest], check=True)


if __name__ == "__main__":
    main()
