# What a newcomer needs: demo, test, check, bench, fmt, clean. Everything else is `vct --help`.
VENV := .venv
BIN := $(VENV)/bin
# Installed before anything of vct can run; `vct install` takes over from there.
BOOTSTRAP := python3-venv python3-lxc python3-cryptography

.PHONY: demo test check bench fmt clean
.DEFAULT_GOAL := demo

demo: $(VENV)/ready
	$(BIN)/vct --yes install
	$(BIN)/vct build node-debian controller
	$(BIN)/vct build node-debian --arch i386
	$(BIN)/vct init examples/ring.yaml
	$(BIN)/vct demo

test: check
	$(BIN)/vct --yes install
	tests/install-packages
	$(BIN)/pytest -n auto tests/controller
	VCT_TEST_DATABASE=postgresql $(BIN)/pytest -n auto tests/controller
	$(BIN)/pytest tests/controller_slow tests/host tests/system

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto tests/unit tests/agent

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks

fmt: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

$(VENV)/ready: pyproject.toml
	/usr/bin/python3 -c 'import ensurepip, lxc, cryptography' 2>/dev/null || { \
	  apt-get update && apt-get install -y --no-install-recommends $(BOOTSTRAP); }
	/usr/bin/python3 -m venv --system-site-packages $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@
