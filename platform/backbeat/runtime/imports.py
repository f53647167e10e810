"""Import of a deployment's modules, in which one broken module does not take the others down."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Check = Callable[[str], "Iterable[ImportFailure]"]


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """A module that could not be imported, and the line of the deployment's code that says why."""

    module: str
    file: str
    line: int
    error: str
    details: str = field(default="", repr=False)
    """The whole traceback."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.module} could not be imported: {self.error}"


def import_all(names: Iterable[str], check: Check) -> list[ImportFailure]:
    """Import each module and every module below it. `check` looks at a module after its import and may find more."""
    return [failure for name in names for failure in _import_tree(name, check)]


def _import_tree(name: str, check: Check) -> Iterator[ImportFailure]:
    failure = _import(name)
    if failure is None:
        yield from check(name)
    else:
        yield failure
    for below in pkgutil.iter_modules(_path_of(name)):
        # A module __main__ is a script: importing it would run it.
        if below.name != "__main__":
            yield from _import_tree(f"{name}.{below.name}", check)


def _path_of(name: str) -> list[str]:
    """The folders of a package, also of one whose __init__ failed: then its modules are named one by one as failing."""
    return list(getattr(sys.modules.get(name), "__path__", ()))


def _import(name: str) -> ImportFailure | None:
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything, and the others must still load
        return _failure(name, error)
    return None


def _failure(module: str, error: BaseException) -> ImportFailure:
    file, line = _culprit(module, error)
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return ImportFailure(module, file, line, f"{type(error).__name__}: {message}", "".join(traceback.format_exception(error)))


def _culprit(module: str, error: BaseException) -> tuple[str, int]:
    """The deepest line of the deployment's own code on the way to the error."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 1
    home = _home_of(module)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if home and Path(frame.filename).is_relative_to(home)]
    if own:
        return own[-1].filename, own[-1].lineno or 1
    return _file_of(module) or module, 1


def _home_of(module: str) -> Path | None:
    file = _file_of(module.partition(".")[0])
    if file is None:
        return None
    path = Path(file)
    return path.parent if path.name == "__init__.py" else path


def _file_of(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)
