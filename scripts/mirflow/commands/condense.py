"""Make one short text from a track's other texts, by a language model that gets no audio."""

import argparse
from pathlib import Path

from mirflow.commands.describe import arguments_of_decoding, decoding
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.describe import prompts
from mirflow.describe.backends import Model
from mirflow.describe.generation import ask
from mirflow.models import cache


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("texts", nargs="+", type=Path, help="texts/*.txt")
    parser.add_argument("--prompts", type=Path, required=True, help="the YAML file with all prompts")
    parser.add_argument("--prompt", required=True, metavar="NAME", help="the entry of its section condense")
    parser.add_argument("--identity", type=Path, required=True, help="what describe_model wrote about the model")
    parser.add_argument("--model", required=True, help="a GGUF file")
    arguments_of_decoding(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the text to write, NAME.txt")
    parser.add_argument("--record", type=Path, required=True, help="how the text was made: NAME.json, beside it")


def run(arguments: argparse.Namespace) -> None:
    """Ask, write the text and its record; a silent track has no texts to condense."""
    every = prompts.load(arguments.prompts, "condense")
    if arguments.prompt not in every:
        raise MirflowError(f"{arguments.prompts}: no prompt {arguments.prompt!r} to condense with")
    prompt = every[arguments.prompt]
    texts = {path.stem: path.read_text(encoding="utf-8").strip() for path in arguments.texts}
    given = texts | {"texts": "\n\n".join(text for text in texts.values() if text)}
    missing = [name for name in prompt.placeholders if name not in given]
    if missing:
        raise MirflowError(f"{arguments.prompts}: {arguments.prompt}: there is no text {missing[0]!r} here")
    how = decoding(arguments, prompt.max_tokens)
    identity = artifacts.read_json(arguments.identity)
    record = {"asked": {"words": prompt.words, "model": identity}}
    text = ""
    if given["texts"]:
        model = Model("gguf_text", (arguments.model,), arguments.device, arguments.threads)
        # By its key, like the describing model: see `mirflow.commands.describe.session`.
        backend = cache.get((model, arguments.identity.read_bytes()), model.load)
        try:
            answer = ask(backend, prompt.fill(given), how)
        except MirflowError as error:
            raise MirflowError(f"{arguments.output.parent.parent}: {error}") from error
        text = answer.text
        record |= {"backend": backend.name, "backend_version": backend.version, **answer.record()}
    artifacts.write_bytes(arguments.output, f"{text}\n".encode() if text else b"")
    artifacts.write_json(arguments.record, record)
