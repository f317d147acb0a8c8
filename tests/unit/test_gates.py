"""The gates that we show: every command line in them is one that we take, every file one that its reader takes.

Command lines are parsed by the commands' own parsers and not carried out. GitHub's workflows, GitLab's snippet and the
compose file are held against the schemas that `check-jsonschema` carries; none of them was run on the real system.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
from pathlib import Path

import click
import jsonschema
import pytest
import yaml
from ruamel.yaml import YAML

from simulator.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
COMPOSE = ROOT / "docker-compose.yml"
FENCE = re.compile(r"^```(?:text|console|yaml|bash|sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps():
    """(where, command line) of every step of the workflows that calls us."""
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                yield from ((path.name, line) for line in step.get("run", "").splitlines())


def containers():
    """The same of the compose file and of the Job of Argo's template."""
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        if isinstance(service.get("command"), list):
            yield f"{COMPOSE.name}:{name}", shlex.join(service["command"])
    template = yaml.safe_load((ROOT / "deploy/argo/analysis-template.yaml").read_text())
    pod = template["spec"]["metrics"][0]["provider"]["job"]["spec"]["template"]["spec"]
    for container in pod["containers"]:
        yield "analysis-template.yaml", shlex.join([*container["command"], *container["args"]])


def written():
    """The same of the fenced blocks of the docs."""
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            yield from ((page.name, line) for line in block.splitlines())


def ours(lines):
    """(where, arguments) of the lines that start `seatrial`; placeholders are words like any other."""
    for where, line in lines:
        found = re.match(r"^(?:\s*-\s+|\$ |\w+=\S* )*(?:\S*/)?seatrial (.*)$", line)
        if found and "  " not in line.strip():  # what is aligned is a listing
            yield where, shlex.split(found[1], comments=True)


CALLS = list(dict.fromkeys((where, *args) for where, args in ours([*steps(), *containers(), *written()]) if args))


def test_there_are_calls_in_every_kind_of_gate():
    where = {call[0] for call in CALLS}
    assert {"release-gate.yml", "docker-compose.yml:certifier", "analysis-template.yaml"} <= where
    assert "gate-a-pipeline.md" in where
    assert len(CALLS) > 20


@pytest.mark.parametrize("call", CALLS, ids=lambda call: " ".join(call)[:80])
def test_the_command_takes_the_line(call):
    _, name, *args = call
    if name.startswith("-"):
        return  # an option of the group, which `test_docs.py` runs
    assert name in cli.commands
    with contextlib.suppress(click.exceptions.Exit):  # it asks for help
        cli.commands[name].make_context(name, list(args), obj={"debug": False})


def test_a_line_with_an_option_that_there_is_not_would_be_seen():
    with pytest.raises(click.NoSuchOption):
        cli.commands["certify"].make_context("certify", ["x", "--target", "t", "--outt", "y"], obj={"debug": False})


def objections(schema, text):
    from check_jsonschema.builtin_schemas import get_builtin_schema

    document = get_builtin_schema(f"vendor.{schema}")
    found = jsonschema.validators.validator_for(document)(document).iter_errors(YAML(typ="safe").load(text))
    return [error.message for error in found]


def snippet():
    page = (ROOT / "docs/how-to/gate-a-pipeline.md").read_text(encoding="utf-8")
    return next(block for block in FENCE.findall(page) if block.startswith("release-gate:"))


@pytest.mark.skipif(
    importlib.util.find_spec("check_jsonschema") is None, reason="no check-jsonschema; `make test` installs it"
)
@pytest.mark.parametrize("kind", ["github-workflows", "gitlab-ci", "compose-spec"])
def test_whoever_reads_the_file_has_nothing_against_it(kind):
    texts = {
        "github-workflows": [path.read_text() for path in WORKFLOWS],
        "gitlab-ci": [snippet()],
        "compose-spec": [COMPOSE.read_text()],
    }
    for text in texts[kind]:
        assert objections(kind, text) == []
    spoil = {"github-workflows": "runs-on:", "gitlab-ci": "paths:", "compose-spec": "depends_on:"}[kind]
    assert objections(kind, text.replace(spoil, f"x{spoil}"))
