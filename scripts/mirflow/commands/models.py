"""List the files of trained models that the settings ask for; fetch and check them; forget a recorded hash."""

import argparse
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

from mirflow.core.errors import ERROR, MirflowError
from mirflow.core.layout import CONFIG
from mirflow.models import catalogue, download
from mirflow.models.catalogue import File
from mirflow.workflow import needs, settings
from mirflow.workflow.needs import Need, State
from mirflow.workflow.wording import count, table

PRESET = "full"
WIDTH = 80  # columns


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", help="default: list")
    listing = actions.add_parser("list", help="what is needed, how large it is, its licence, whether it is there")
    listing.add_argument("--all", action="store_true", help="every model of config/models.yaml, needed or not")
    fetching = actions.add_parser("fetch", help="fetch what is missing, and check the rest")
    checking = actions.add_parser("check", help="compare what is there with its hashes; nothing is fetched")
    licensing = actions.add_parser(
        "licences", help="the licences of what the settings need, and what is made under them"
    )
    for part in (parser, listing, fetching, checking, licensing):
        # Given before the action or after it: what is not given after it must not replace what was given before.
        default = {} if part is parser else {"default": argparse.SUPPRESS}
        part.add_argument("--configfile", type=Path, metavar="FILE", **default, help="your settings")
        part.add_argument("--preset", choices=(PRESET,), **default, help=f"config/{PRESET}.yaml, below your settings")
        part.add_argument("--models", type=Path, metavar="FOLDER", **default, help="instead of the setting models")
    parser.set_defaults(all=False)
    forgetting = actions.add_parser("forget", help="forget the hash that was recorded at the first download of a file")
    forgetting.add_argument("names", nargs="+", metavar="NAME", help="of a file, or of a model for all of its files")
    forgetting.add_argument("--models", type=Path, metavar="FOLDER", default=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> None:
    """Read the settings, do what is asked."""
    preset = [CONFIG / f"{PRESET}.yaml"] if arguments.preset else []
    config = settings.merged([*preset, *([arguments.configfile] if arguments.configfile else [])])
    catalogue.use(str(settings.path(str(arguments.models or config["models"]))))
    settings.read(config)
    settings.check(config)
    if arguments.action == "forget":
        _forget(arguments.names)
        return
    needed = needs.every_model() if arguments.all else needs.needs(config)
    if not needed:
        print("These settings need no trained models.")
    elif arguments.action == "licences":
        print("\n".join(table(needs.LICENCES, needs.licence_rows(needed))))
    elif arguments.action in ("fetch", "check"):
        if not _each(needs.files(needed), fetching=arguments.action == "fetch"):
            raise SystemExit(1)
    else:
        print(_listing(needed))


def _listing(needed: list[Need]) -> str:
    """Return the models with their files, each file under the first model that it belongs to, and what they are in all.

    No line is longer than `WIDTH`, except for long names.
    """
    every = needs.files(needed)
    states = {file: needs.state(file) for file in every}
    rows = {file: _row(file, state) for file, state in states.items()}
    lines = []
    for need in needed:
        about = catalogue.entry(need.model)
        terms = [about.get("licence") or "no licence stated", *([need.because] if need.because else [])]
        lines += textwrap.wrap(f"{need.model} ({'; '.join(terms)})", WIDTH, subsequent_indent="  ")
        lines += textwrap.wrap(about["purpose"], WIDTH, initial_indent="  ", subsequent_indent="  ")
        own = [rows[file] for file, first in every.items() if first is need]
        lines += table(("",) * 4, own, right=(1,))[1:] if own else ["  its files stand above"]
    missing = {file: state for file, state in states.items() if state.there is None}
    unknown = sum(file.size is None for file in missing)
    amount = sum((file.size or 0) - min(state.begun, file.size or 0) for file, state in missing.items())
    left = f"{download.size(amount)} to fetch" if amount or not unknown else ""
    more = f"{count(unknown, 'file')} of unknown size" if unknown else ""
    said = f"{count(len(every), 'file')} in {catalogue.folder()}, {len(every) - len(missing)} there"
    said += f"; {' and '.join(filter(None, (left, more)))}." if missing else "."
    licences = sorted({file.licence or "none stated" for file in every})
    return "\n".join([*lines, "", said, *textwrap.wrap(f"Licences: {'; '.join(licences)}.", WIDTH)])


def _row(file: File, state: State) -> tuple[str, str, str, str]:
    """Return what is there of a file, its size and name, and what is to be said of its hash."""
    size = file.size if state.there is None else state.there
    begun = f"{download.size(state.begun)} of it" if state.begun else "missing"
    hash = {"known": "", "recorded": "sha256 of its first download", "unknown": "sha256 not known"}[state.hash]
    return f"  {begun if state.there is None else 'there'}", download.size(size) if size else "?", file.name, hash


def _each(every: dict[File, Need], fetching: bool) -> bool:
    """Fetch or check each file; return whether all is well."""
    failed = 0
    with _bar() if fetching else nullcontext() as bar:
        for file in every:
            try:
                if fetching:
                    download.fetch(file, report=bar and bar(file))
                else:
                    download.verify(file)
            except MirflowError as error:
                failed += 1
                print(f"{ERROR}{error}", file=sys.stderr)
            else:
                print(f"{file.name}: there, and right" if file.sha256 or not fetching else f"{file.name}: there")
    done = len(every) - failed
    print(f"{count(done, 'file')} of {len(every)} in {catalogue.folder()}" + (f", {failed} failed" if failed else ""))
    return not failed


def _bar():
    """Return what makes the `report` of each download, as a context manager; None where the output is no terminal."""
    from mirflow.workflow import progress

    if not progress.on_terminal():
        return nullcontext()
    from mirflow.workflow.display import downloads

    return downloads()


def _forget(names: list[str]) -> None:
    """Remove recorded hashes.

    Raises
    ------
    MirflowError : there is no such file or model, or no hash was recorded of it
    """
    for name in names:
        files = catalogue.files(name) if name in catalogue.entries() else (catalogue.file(name),)
        forgotten = [file.name for file in files if download.forget(file)]
        if not forgotten:
            raise MirflowError(f"{name}: no hash is recorded in {catalogue.folder()}")
        for file in forgotten:
            print(f"{file}: forgotten; the next file of that name that is checked sets the hash anew")
