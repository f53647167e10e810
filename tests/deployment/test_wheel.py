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

from backbeat.cli.init import PARTS
from tests.drift.tree import ROOT, tracked
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
    assert inside == engine | {f"backbeat/cli/deployment/{part}" for part in PARTS}
    for kind in ("backbeat/py.typed", "backbeat/cli/stack/watchdog.sh", "backbeat/store/lua/fire.lua"):
        assert kind in inside


class Elsewhere:
    """A folder far from this checkout, with an environment that holds the wheel beside what the wheel needs."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder / "a project"
        self.folder.mkdir()
        self.bin = folder / "venv" / "bin"
        run(folder, [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
        python = str(self.bin / "python")
        own = Path(run(folder, [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
        # A path of a .pth file brings packages, but not their .pth files: so not the editable install of this checkout.
        (own / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
        run(folder, [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", str(wheel)])
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKBEAT_", "PYTHON", "DJANGO_"))}
        self.env = {**kept, "PATH": f"{self.bin}{os.pathsep}{kept['PATH']}"}
        self.started: list[OwnProcess] = []

    def python(self, *argv: str) -> str:
        """Run Python in the project."""
        return run(self.folder, [str(self.bin / "python"), *argv], self.env)

    def start(self, name: str, *argv: str) -> OwnProcess:
        """Start a long process in the project."""
        process = OwnProcess(name, [self.bin / "python", *argv], self.folder, self.env)
        process.start()
        self.started.append(process)
        return process

    def start_project(self, server: RedisServer) -> None:
        """What Django's own commands write, and the few lines that bring Backbeat in."""
        self.env |= {"REDIS_URL": server.url, "DATABASE_URL": f"sqlite:///{self.folder / 'shop.sqlite3'}"}
        self.env |= {"BACKBEAT_HOME": str(self.folder / "state")}
        self.python("-m", "django", "startproject", "shop", ".")
        self.python("-m", "django", "startapp", "jobs")
        with (self.folder / "shop" / "settings.py").open("a") as settings:
            settings.write(SETTINGS)
        for name, text in FILES.items():
            (self.folder / name).write_text(text)
        self.env["DJANGO_SETTINGS_MODULE"] = "shop.settings"


@pytest.fixture
def elsewhere(wheel: Path, server_folder: Path, tmp_path: Path) -> Iterator[Elsewhere]:
    project = Elsewhere(tmp_path, wheel)
    yield project
    for process in project.started:
        process.stop()


@pytest.mark.redis
def test_it_serves_a_bare_django_and_celery_project(elsewhere: Elsewhere, redis_server: RedisServer, redis_url: str) -> None:
    elsewhere.start_project(redis_server)
    where = elsewhere.python("-c", "import backbeat, jobs; print(backbeat.__file__, jobs.__file__)")
    assert str(ROOT) not in where.replace(sysconfig.get_path("purelib"), "")

    elsewhere.python("manage.py", "makemigrations", "jobs", "-v0")
    elsewhere.python("manage.py", "migrate", "-v0")
    elsewhere.python("-m", "backbeat.cli", "sync")
    worker = elsewhere.start("worker", "-m", "backbeat.cli", "worker")
    elsewhere.start("beat", "-m", "celery", "-A", "shop", "beat", "-S", "backbeat.Scheduler", "--pidfile=")
    elsewhere.start("keeper", "-m", "backbeat.cli", "keeper")

    query = "import django; django.setup(); from jobs.models import Order; from backbeat.admin.models import Run; "
    query += "print(Order.objects.count(), Run.objects.filter(state='succeeded').count())"
    eventually(lambda: all(int(n) >= 2 for n in elsewhere.python("-c", query).split()), within=60, every=0.5, message=worker.logs)
    assert worker.alive


@pytest.mark.redis
def test_a_new_deployment_is_green_from_the_wheel_alone(elsewhere: Elsewhere) -> None:
    elsewhere.python("-m", "backbeat.cli", "init")

    demo = elsewhere.start("demo", "-m", "backbeat.cli", "demo")

    eventually(lambda: not demo.alive, within=120, every=0.2, message=demo.logs)
    assert demo.stop() == 0, demo.logs()
    assert "graph hello.all started" in demo.logs()
    assert (elsewhere.folder / ".backbeat" / "db.sqlite3").exists()


def test_init_overwrites_nothing(elsewhere: Elsewhere) -> None:
    (elsewhere.folder / "manage.py").write_text("mine")

    refused = subprocess.run(
        [elsewhere.bin / "python", "-m", "backbeat.cli", "init"],
        cwd=elsewhere.folder,
        env=elsewhere.env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 4
    assert "manage.py exists; nothing was written" in refused.stderr
    assert [path.name for path in elsewhere.folder.iterdir()] == ["manage.py"]


def test_init_writes_every_file_of_this_project() -> None:
    listed = {str(path.relative_to(ROOT)) for path in tracked() if path.relative_to(ROOT).parts[0] == "webadmin"}

    assert listed == {part for part in PARTS if part.startswith("webadmin/")}, "List it in cli/init.py and in pyproject.toml"
