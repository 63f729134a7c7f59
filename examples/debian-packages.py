#!/usr/bin/env python3
"""Turns this machine's Debian package index into records for `tidekeep import`.

    examples/debian-packages.py > packages.jsonl
    tidekeep import packages.jsonl

or in one go, with no file between:

    examples/debian-packages.py | tidekeep import -

Each package becomes one line {"key": "packages/<section>/<name>", "value": "<JSON>"}; the value is
an object with version, architecture, sizes, maintainer, dependencies, tags and description. About
60,000 records, written as the index is read. Run `apt-get update` first where the
index is empty. `--limit N` stops after N packages; `-` reads an index in the form that
`apt-cache dumpavail` prints from standard input instead.

Needs Python 3.9 and nothing else.
"""

import argparse
import contextlib
import json
import subprocess
import sys

# Fields of the index with the names they get, in this order.
TEXTS = {
    "Version": "version",
    "Architecture": "architecture",
    "Priority": "priority",
    "Source": "source",
    "Maintainer": "maintainer",
    "Homepage": "homepage",
    "Description": "description",
}
LISTS = {"Pre-Depends": "pre_depends", "Depends": "depends", "Suggests": "suggests", "Tag": "tags"}
# As in the index: Size in bytes, Installed-Size in KiB.
NUMBERS = {"Size": "size_bytes", "Installed-Size": "installed_kib"}


def paragraphs(lines):
    """Yields each package of the index as a dict of its fields, folded lines joined."""
    fields, last = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, None
        elif line[0] in " \t":
            if last is not None:
                fields[last] += " " + line.strip()
        else:
            last, separator, value = line.partition(":")
            if separator:
                fields[last] = value.strip()
            else:
                last = None
    if fields:
        yield fields


def record(fields):
    """The record of one package; None for a paragraph that names none."""
    name = fields.get("Package")
    if not name:
        return None
    value = {to: fields[field] for field, to in TEXTS.items() if field in fields}
    for field, to in NUMBERS.items():
        if fields.get(field, "").isascii() and fields.get(field, "").isdigit():
            value[to] = int(fields[field])
    for field, to in LISTS.items():
        if field in fields:
            value[to] = [item.strip() for item in fields[field].split(",") if item.strip()]
    # "non-free/games" keeps its slash: it is one more level of the tree.
    section = fields.get("Section", "unknown")
    return {
        "key": f"packages/{section}/{name}",
        "value": json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    }


@contextlib.contextmanager
def index(source):
    """The lines of the index, and a check that whoever printed them succeeded."""
    text = {"encoding": "utf-8", "errors": "replace"}
    if source == "-":
        sys.stdin.reconfigure(**text)
        yield sys.stdin
        return
    command = ["apt-cache", "dumpavail"]
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, **text)
    except FileNotFoundError:
        sys.exit("debian-packages: there is no apt-cache here; give an index on standard input and `-`")
    with child:
        try:
            yield child.stdout
        except BaseException:
            child.kill()
            raise
        # Read to its end, or the child would die of a closed pipe where only some were wanted.
        for _ in child.stdout:
            pass
    if child.returncode != 0:
        sys.exit(f"debian-packages: `{' '.join(command)}` failed with {child.returncode}")


def write_records(lines, out, limit):
    """Writes one line for each package, the first one of a key only; returns how many."""
    seen = set()
    for fields in paragraphs(lines):
        if limit is not None and len(seen) >= limit:
            break
        made = record(fields)
        # A second version or architecture of a package is no other package.
        if made is None or made["key"] in seen:
            continue
        seen.add(made["key"])
        out.write(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n")
    return len(seen)


def main():
    about, _, usage = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", choices=["-"], help="read the index from standard input")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N packages")
    arguments = parser.parse_args()
    if arguments.limit is not None and arguments.limit < 1:
        parser.error("--limit must be at least 1")

    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    with index(arguments.source) as lines:
        count = write_records(lines, sys.stdout, arguments.limit)
        sys.stdout.flush()
    print(f"debian-packages: {count} packages", file=sys.stderr)
    if count == 0:
        sys.exit("debian-packages: the index is empty; run `apt-get update` first")


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # Whoever read the records has heard enough; say nothing more into the closed pipe.
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
