"""Run all speed benchmarks in sequence.

    python benchmarks OUTPUT [--docs train.spacy] [--precision bfloat16] [--device cuda]

The script prints a table for each benchmark, and writes the results and plots to the folder OUTPUT.
The training of components is measured on the annotated Docs of `--docs`, and is skipped without
them. The options of each benchmark are described in its script.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def make_commands(docs: Path | None, precision: str, device: str) -> list[list[str]]:
    """Return the scripts to run, with their arguments.

    docs (Optional[Path]): A .spacy file of annotated Docs; None to skip the training.
    precision (str): The precision of the biLM.
    device (str): The device of the biLM.
    RETURNS (List[List[str]]): The name and the arguments of each script.
    """
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
    parser.add_argument("--docs", type=Path, help=".spacy file of annotated training Docs")
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
