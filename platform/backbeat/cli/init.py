"""`backbeat init`: a new deployment in a folder of its own, the same as the root of Backbeat's repository."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click

import backbeat
from backbeat._version import __version__
from backbeat.errors import NotAllowed

# What a deployment consists of. The wheel carries these files of the repository's root (pyproject.toml, force-include).
PARTS = (
    "Procfile",
    "celeryconfig.py",
    "manage.py",
    "webadmin/__init__.py",
    "webadmin/asgi.py",
    "webadmin/celery.py",
    "webadmin/health.py",
    "webadmin/settings.py",
    "webadmin/static/webadmin/icon.svg",
    "webadmin/static/webadmin/theme.css",
    "webadmin/templates/admin/base_site.html",
    "webadmin/urls.py",
    "webadmin/wsgi.py",
)
# What a new deployment starts with: its own name -> the file of the starter.
STARTER = {"jobs/hello.py": "job.py.txt", "dags/hello.py": "dag.py.txt", ".gitignore": "gitignore.txt"}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write a new deployment into FOLDER (by default here): jobs, dags, Django project, Procfile.

    Nothing that exists is overwritten: when one of the files is there already, none is written.
    """
    texts = dict(_texts())
    there = [name for name in texts if (folder / name).exists()]
    if there:
        raise NotAllowed(f"{folder / there[0]} exists; nothing was written. Name an empty folder: backbeat init FOLDER")
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    click.echo(f"{len(texts)} files written. Next:", err=True)
    if folder != Path():
        click.echo(f'  cd "{folder}"')
    click.echo("  pip install -r requirements.txt\n  backbeat dev")


def _texts() -> Iterator[tuple[str, str]]:
    root = _root()
    for name in PARTS:
        yield name, (root / name).read_text(encoding="utf-8")
    for name, file in STARTER.items():
        yield name, (files("backbeat.cli") / "starter" / file).read_text(encoding="utf-8")
    yield "jobs/__init__.py", ""
    yield "dags/__init__.py", ""
    yield "requirements.txt", f"backbeat[dev]=={__version__}\n"


def _root() -> Path:
    """Where the parts lie: in the wheel's copy, or, in a checkout, at its root."""
    package = Path(str(backbeat.__file__)).parent
    carried = package / "cli" / "deployment"
    return carried if carried.is_dir() else package.parent.parent
