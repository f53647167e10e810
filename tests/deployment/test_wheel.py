"""The wheel holds the engine only, and serves a project that has never seen this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drift.tree import ROOT
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

ENGINE = ROOT / "platform" / "backbeat"

# What a reader of the documentation adds to what Django's own `startproject` and `startapp` wrote.
SETTINGS = """
import os
from backbeat.admin.database import database
INSTALLED_APPS += ["backbeat.admin", "jobs"]
DATABASES = {"default": database(os.environ["DATABASE_URL"])}
CELERY_IMPORTS = ("jobs",)
"""
FILES = {
    "shop/celery.py": """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from backbeat import Backbeat
app = Backbeat("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
""",
    "shop/__init__.py": "from shop.celery import app as celery_app\n",
    "jobs/models.py": """
from django.db import models
class Order(models.Model):
    number = models.IntegerField()
""",
    "jobs/orders.py": """
from backbeat import Every, job

@job("orders.number", schedule=Every("1s"))
def number() -> int:
    from jobs.models import Order
    return Order.objects.create(number=Order.objects.count() + 1).number
""",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(ROOT, [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)])
    (built,) = out.glob("*.whl")
    return built


def run(folder: Path, argv: list[str], env: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_holds_every_file_of_the_engine_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    engine = {
        f"backbeat/{path.relative_to(ENGINE)}" for path in ENGINE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == engine
    for kind in ("backbeat/py.typed", "backbeat/cli/stack/watchdog.sh", "backbeat/store/lua/fire.lua"):
        assert kind in inside


class Foreign:
    """A project elsewhere, whose environment holds the wheel beside what the wheel needs."""

    def __init__(self, folder: Path, wheel: Path, server: RedisServer) -> None:
        self.folder = folder / "a project"
        self.bin = folder / "venv" / "bin"
        run(folder, [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
        python = str(self.bin / "python")
        own = Path(run(folder, [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
        # A path of a .pth file brings packages, but not their .pth files: so not the editable install of this checkout.
        (own / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
        run(folder, [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", str(wheel)])
        self.folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKBEAT_", "PYTHON", "DJANGO_"))}
        self.env = {
            **kept,
            "PATH": f"{self.bin}{os.pathsep}{kept['PATH']}",
            "REDIS_URL": server.url,
            "DATABASE_URL": f"sqlite:///{folder / 'shop.sqlite3'}",
            "BACKBEAT_HOME": str(folder / "state"),
        }
        self.started: list[OwnProcess] = []
        self.python("-m", "django", "startproject", "shop", ".")
        self.python("-m", "django", "startapp", "jobs")
        with (self.folder / "shop" / "settings.py").open("a") as settings:
            settings.write(SETTINGS)
        for name, text in FILES.items():
            (self.folder / name).write_text(text)
        self.env["DJANGO_SETTINGS_MODULE"] = "shop.settings"

    def python(self, *argv: str) -> str:
        """Run Python in the project."""
        return run(self.folder, [str(self.bin / "python"), *argv], self.env)

    def start(self, name: str, *argv: str) -> OwnProcess:
        """Start a long process in the project."""
        process = OwnProcess(name, [self.bin / "python", *argv], self.folder, self.env)
        process.start()
        self.started.append(process)
        return process


@pytest.fixture
def foreign(wheel: Path, tmp_path: Path, redis_server: RedisServer, redis_url: str) -> Iterator[Foreign]:
    project = Foreign(tmp_path, wheel, redis_server)
    yield project
    for process in project.started:
        process.stop()


@pytest.mark.redis
def test_it_serves_a_bare_django_and_celery_project(foreign: Foreign) -> None:
    where = foreign.python("-c", "import backbeat, jobs; print(backbeat.__file__, jobs.__file__)")
    assert str(ROOT) not in where.replace(sysconfig.get_path("purelib"), "")

    foreign.python("manage.py", "makemigrations", "jobs", "-v0")
    foreign.python("manage.py", "migrate", "-v0")
    foreign.python("-m", "backbeat.cli", "sync")
    worker = foreign.start("worker", "-m", "backbeat.cli", "worker")
    foreign.start("beat", "-m", "celery", "-A", "shop", "beat", "-S", "backbeat.Scheduler", "--pidfile=")
    foreign.start("keeper", "-m", "backbeat.cli", "keeper")

    query = "import django; django.setup(); from jobs.models import Order; from backbeat.admin.models import Run; "
    query += "print(Order.objects.count(), Run.objects.filter(state='succeeded').count())"
    eventually(lambda: all(int(n) >= 2 for n in foreign.python("-c", query).split()), within=60, every=0.5, message=worker.logs)
    assert worker.alive
