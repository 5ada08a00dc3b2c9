"""Answer one prompt about a track, by an audio language model.

In the model server, the model stays loaded and the track stays encoded between commands. There the other texts of the
track that are still missing are made at once, so that their jobs, whenever they come, find the answer ready. (With
thousands of jobs ready, Snakemake considers a random part of them: jobs of one track rarely follow each other.)
"""

import argparse
import sys
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.core.errors import MirflowError
from mirflow.describe import prompts
from mirflow.describe.backends import BACKENDS, Model
from mirflow.describe.generation import Decoding
from mirflow.describe.session import Question, Session, Track
from mirflow.models import cache


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--prompts", type=Path, required=True, help="the YAML file with all prompts")
    parser.add_argument("--prompt", required=True, metavar="NAME", help="the one to answer")
    parser.add_argument("--hints", type=Path, nargs="*", default=[], help="fragments for the prompts' placeholders")
    parser.add_argument("--identity", type=Path, required=True, help="what describe_model wrote about the model")
    arguments_of_model(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the text to write, NAME.txt")
    parser.add_argument("--record", type=Path, required=True, help="how the text was made: NAME.json, beside it")


def arguments_of_model(parser: argparse.ArgumentParser) -> None:
    """Declare which model answers, and how."""
    parser.add_argument("--backend", choices=sorted(BACKENDS), required=True)
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="FILE",
        help="a GGUF file and its projector (mmproj), or all files of a folder for transformers",
    )
    arguments_of_decoding(parser)


def arguments_of_decoding(parser: argparse.ArgumentParser) -> None:
    """Declare where the model runs, and how it generates answers."""
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-tokens", type=int, default=500, help="of an answer, where the prompt sets none")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 for the same text every time")
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)


def session(arguments: argparse.Namespace) -> Session:
    """Return a session with the model, which is loaded unless it is cached.

    Not by `loading.load`, which would read gigabytes once more for their hashes: the rule describe_model has compared
    these, for all tracks and texts, and what it wrote is a part of the key.
    """
    model = Model(arguments.backend, tuple(arguments.model), arguments.device, arguments.threads)
    return cache.get((model, arguments.identity.read_bytes()), lambda: Session(model.load()))


def decoding(arguments: argparse.Namespace, max_tokens: int | None) -> Decoding:
    """Return how an answer is generated; greedy decoding has neither top_p nor seed."""
    longest = max_tokens or arguments.max_tokens
    if arguments.temperature == 0:
        return Decoding(longest)
    return Decoding(longest, arguments.temperature, arguments.top_p, arguments.seed)


def run(arguments: argparse.Namespace) -> None:
    """Ask, write the text and its record; in the model server, then answer the other prompts that are due."""
    every = prompts.load(arguments.prompts)
    if arguments.prompt not in every:
        raise MirflowError(f"{arguments.prompts}: no prompt {arguments.prompt!r}")
    identity = artifacts.read_json(arguments.identity)

    def question(prompt: prompts.Prompt) -> Question:
        words = prompt.fill(prompts.hints(prompt, arguments.hints))
        return Question(words, decoding(arguments, prompt.max_tokens), identity, arguments.backend)

    status = arguments.full_mix.stat()
    key = (str(arguments.full_mix.resolve()), status.st_size, status.st_mtime_ns)
    track = Track(str(arguments.full_mix), key, lambda: audio.read(arguments.full_mix))
    answer_tokens = max(prompt.max_tokens or arguments.max_tokens for prompt in every.values())
    loaded = session(arguments)
    asked = question(every[arguments.prompt])
    result = loaded.describe(track, asked, answer_tokens)
    text = result.pop("text")
    artifacts.write_bytes(arguments.output, f"{text}\n".encode() if text else b"")
    artifacts.write_json(arguments.record, {"asked": asked.asked(), **result})
    sys.stderr.flush()
    if cache.keeps:
        for name, prompt in every.items():
            record = arguments.record.with_name(f"{name}.json")
            if name != arguments.prompt and due(record, question(prompt)):
                loaded.describe_ahead(track, question(prompt), answer_tokens)


def due(record: Path, question: Question) -> bool:
    """Return whether a text is missing, or answers another question."""
    try:
        return artifacts.read_json(record)["asked"] != artifacts.to_json_values(question.asked())
    except (FileNotFoundError, KeyError, MirflowError):
        return True
