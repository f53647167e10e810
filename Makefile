# Plain POSIX make. Everything installs itself into .venv; nothing else on the machine changes,
# except that `make test` as root on Debian or Ubuntu installs what the tests need, and says so first.
.POSIX:
.PHONY: help install install-dev dev demo test test-long check bench lock

PYTHON = $$(command -v python3.11 || command -v python3 || command -v python)
ARGS =
# Most tests wait for processes, so three at a time keep two cores busy. A file's tests share servers and stay together.
SPREAD = -n 3 --dist loadfile
# Hashes yes; the addresses of whichever package index this machine uses, no.
LOCK = .venv/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

help:
	@echo 'make dev         install, start everything here, keep it running (Ctrl-C stops it)'
	@echo 'make demo        install, start everything, run one graph to green, stop'
	@echo 'make install     make .venv with the pinned packages, and no more'
	@echo 'make test        install what the tests need and run them; ARGS="tests/core -x" runs some'
	@echo 'make test-long   what takes minutes: every zone and clock change, long chaos'
	@echo 'make check       what a change must pass: lint, types, import arrows, drift'
	@echo 'make bench       every benchmark; make bench-NAME runs benchmarks/NAME.py'
	@echo 'make lock        pin the newest allowed packages anew'

install:
	@$(PYTHON) requirements/install.py runtime

install-dev:
	@$(PYTHON) requirements/install.py dev

dev: install
	@exec .venv/bin/backbeat dev $(ARGS)

# The figures that it prints count from here, so that a first installation counts too.
demo:
	@BACKBEAT_BEGAN=$$($(PYTHON) -c 'import time; print(time.time())') && export BACKBEAT_BEGAN && \
	$(PYTHON) requirements/install.py runtime && \
	exec .venv/bin/backbeat demo --figures $(ARGS)

test: install-dev
	@.venv/bin/python tests/support/services.py
	@exec .venv/bin/python -m pytest $(SPREAD) $(ARGS)

test-long: install-dev
	@.venv/bin/python tests/support/services.py
	@exec .venv/bin/python -m pytest -m long --timeout 3600 $(ARGS)

check: install-dev
	@echo 'check: lint'; .venv/bin/ruff check .
	@echo 'check: format'; .venv/bin/ruff format --check .
	@echo 'check: types'; .venv/bin/mypy
	@echo 'check: import arrows'; .venv/bin/lint-imports
	@echo 'check: drift and deployment'; .venv/bin/python -m pytest -q tests/drift tests/deployment

bench: install-dev
	@for file in benchmarks/[a-z]*.py; do \
	case "$$file" in */harness.py) continue ;; esac; \
	echo "$$file"; .venv/bin/python "$$file" $(ARGS) || exit 1; done

lock: install-dev
	@$(LOCK) pyproject.toml requirements/build.in --extra dev --extra postgresql -o requirements/runtime.txt
	@$(LOCK) requirements/dev.in -o requirements/dev.txt

# bench-first-run runs benchmarks/first_run.py; any other unknown word is refused.
.DEFAULT:
	@case '$<' in bench-*) ;; *) echo "make: no target '$<'; see make help" >&2; exit 2 ;; esac
	@$(PYTHON) requirements/install.py dev
	@file=benchmarks/$$(echo '$<' | sed 's/^bench-//; s/-/_/g').py; \
	if [ -f "$$file" ]; then exec .venv/bin/python "$$file" $(ARGS); fi; \
	echo "make: no benchmark '$$file'; there are:" benchmarks/[a-z]*.py >&2; exit 2
