"""List the files of trained models that the settings ask for; fetch and check them; forget a recorded hash."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from mirflow.core.errors import ERROR, MirflowError
from mirflow.core.layout import CONFIG
from mirflow.models import catalogue, download
from mirflow.models.catalogue import File
from mirflow.workflow import needs, settings
from mirflow.workflow.needs import Need
from mirflow.workflow.wording import count, table

PRESET = "full"


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
    """Return a table of the files, and what they are in total."""
    rows, missing, there, unknown = [], 0, 0, 0
    every = needs.files(needed)
    for file, need in every.items():
        state = needs.state(file)
        size = file.size if state.there is None else state.there
        there += state.there is not None
        if state.there is None:
            missing += (size or 0) - min(state.begun, size or 0)
            unknown += size is None
        begun = f"{download.size(state.begun)} of it" if state.begun else "missing"
        what = begun if state.there is None else "there"
        shown = download.size(size) if size else "?"
        rows.append((what, shown, file.name, file.licence or "none stated", state.hash, need.because or need.model))
    header = ("", "size", f"file in {catalogue.folder()}", "licence", "sha256", "needed for")
    lines = [*table(header, rows, right=(1,)), ""]
    left = f"{download.size(missing)} to fetch" if missing or not unknown else ""
    more = f"{count(unknown, 'file')} of unknown size" if unknown else ""
    lines.append(
        f"{count(len(every), 'file')}, {there} there"
        + (f"; {' and '.join(filter(None, (left, more)))}" if there < len(every) else "")
        + f". Licences: {'; '.join(sorted({file.licence or 'none stated' for file in every}))}."
    )
    return "\n".join(lines)


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
