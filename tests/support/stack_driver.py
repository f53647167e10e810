"""Runs the supervisor on a Procfile, as `backbeat dev` does: usage: stack_driver.py FOLDER TOKEN."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from honcho.environ import parse_procfile

from backbeat.cli.stack.output import Output
from backbeat.cli.stack.supervisor import Supervisor
from backbeat.cli.stack.watchdog import TOKEN, Watchdog, end_strays

folder, token = Path(sys.argv[1]), sys.argv[2]
watchdog = Watchdog(token)
supervisor = Supervisor(Output(folder / "logs", quiet=False), watchdog)
env = {**os.environ, TOKEN: token, "PYTHON": sys.executable}
for name, command in parse_procfile((folder / "Procfile").read_text()).processes.items():
    supervisor.add(name, command, env, str(folder))
supervisor.loop()
end_strays(token)
watchdog.leave()
sys.exit(supervisor.returncode)
