"""``seatrial-service registry FOLDER …``: what is in the registry of files, and what goes in and out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reference_service.bundle import BundleError
from reference_service.release import exchange
from reference_service.release.store import ALIASES, Store


def main(arguments: list[str]) -> int:
    """List, add, export or import. 0; 1 where a bundle is refused."""
    parser = argparse.ArgumentParser(prog="seatrial-service registry", description="The registry of files.")
    parser.add_argument("folder", type=Path, help="the registry; made if it is not there")
    actions = parser.add_subparsers(dest="action")
    adding = actions.add_parser("add", help="verify bundles and take copies of them")
    adding.add_argument("bundles", type=Path, nargs="+", help="folders")
    out = actions.add_parser("export", help="register a version with MLflow")
    out.add_argument("version", help="in the registry")
    out.add_argument("--to", required=True, metavar="URI", help="MLflow's tracking URI")
    out.add_argument("--alias", help="alias that the version gets there")
    back = actions.add_parser("import", help="take a model version from MLflow")
    back.add_argument("model", help="its name there")
    back.add_argument("which", help="its alias, or its number")
    back.add_argument("--from", required=True, metavar="URI", dest="source", help="MLflow's tracking URI")
    options = parser.parse_args(arguments)
    store = Store(options.folder)
    try:
        if options.action == "add":
            for path in options.bundles:
                print(store.add(path))
        elif options.action == "export":
            print(exchange.export(store, options.version, options.to, alias=options.alias))
        elif options.action == "import":
            print(exchange.fetch(store, options.model, options.which, options.source))
        else:
            _list(store)
    except BundleError as refused:
        print(f"refused: {refused}", file=sys.stderr)
        return 1
    return 0


def _list(store: Store) -> None:
    named: dict[str | None, list[str]] = {}
    for alias in ALIASES:
        named.setdefault(store.alias(alias), []).append(alias)
    for version, digest in store.versions().items():
        print(f"{version:<16} {digest[:12]}  {', '.join(named.get(version, []))}".rstrip())
