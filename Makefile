# Two commands on a fresh machine with Python 3.11 and a C compiler:
#   make demo    train the gcc demo, end to end
#   make test    run every test
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
SOURCES := pyproject.toml requirements.txt constraints.txt $(wildcard plugins/*/pyproject.toml)

.PHONY: demo test check docs clean system servers

demo: $(VENV)/.installed system
	$(BIN)/halo run --verifier gcc --lr-policy exponential

test: $(VENV)/.installed system servers
	$(BIN)/pytest -n $(JOBS)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/python docs/make_cli.py

$(VENV)/.installed: $(SOURCES)
	@command -v $(PYTHON) >/dev/null || { echo "halo needs $(PYTHON): install it, or say which: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt
	touch $@

# A C compiler is the one thing that pip cannot bring.
system:
	@command -v gcc >/dev/null && command -v g++ >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq gcc g++ libc6-dev; \
	else echo "halo's demo needs a C compiler: sudo apt-get install gcc g++ libc6-dev"; exit 1; fi

# A PostgreSQL server, for the tests of the sql verifier to start; they are skipped where there is none.
servers:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	{ timeout 300 apt-get update -qq && timeout 300 apt-get install -y -qq postgresql; } >/dev/null 2>&1 || true; fi

clean:
	rm -rf $(VENV) runs
