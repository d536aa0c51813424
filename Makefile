# Two commands on a fresh machine: make run, make test.
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
RUN    := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
ARGS   ?=
# Every child process would compile the whole program anew where Python is told to keep no caches.
export PYTHONDONTWRITEBYTECODE =

.PHONY: run test outages test-long examples simulate-cluster simulate-resize simulate-hot resize-proof hunt brokers advisor-proof observe-proof lab lint lint-deploy schemas dist pythons site types check picture lessons lesson-pictures class-plots chaos chaos-mutants healthy clean

run: $(RUN)
	@$(BIN)/iotcache-tui $(ARGS)

# Five at a time: most tests wait for servers more than they work.
test: $(DEV)
	@$(BIN)/python -m pytest -n 5 --dist loadfile $(ARGS)

# Proofs that make test has a short form of, and what kills, restarts and installs whole programs: some minutes.
test-long: $(DEV)
	@$(BIN)/python -m pytest -n 3 -m long $(ARGS)

# Every test that builds its input from a grammar, with 5,000 inputs: ten minutes; EXAMPLES=20000 for more.
examples: export EXAMPLES ?= 5000
examples: $(DEV)
	@$(BIN)/python -m pytest -n 2 -m hypothesis --timeout 3000 tests/cases tests/presets tests/ingest tests/nodelist \
	  tests/cluster/test_protocol.py tests/cachenode/test_hostile.py $(ARGS)

# Each outage over real servers, and what every screen and command says of it: some minutes.
outages: $(DEV)
	@$(BIN)/python -m pytest -n 0 -m outages tests/outages $(ARGS)

# Every training scenario in full, and broken on purpose: some ten minutes.
lab: $(DEV)
	@$(BIN)/python -m pytest -m lab tests/lab tests/tui/test_terminal.py $(ARGS)

# The cluster client under every fault we know of, in virtual time: a million steps, some minutes.
simulate-cluster: $(RUN)
	@$(BIN)/iotcache-tui verify cluster --steps 1000000 $(ARGS)

# As many steps in worlds whose ring changes, each of them: some minutes more.
simulate-resize: $(RUN)
	@$(BIN)/iotcache-tui verify cluster --resize --steps 1000000 $(ARGS)

# As many steps in worlds whose hot keys have copies.
simulate-hot: $(RUN)
	@$(BIN)/iotcache-tui verify cluster --hot --steps 1000000 $(ARGS)

# A ring that grows and shrinks under load, and what that costs the store, with a hand-over and without: five minutes.
resize-proof: $(DEV)
	@$(BIN)/python -m tests.long.resize_proof --without $(ARGS)
	@$(BIN)/python -m tests.long.resize_proof $(ARGS)

# The cluster client over real memcached processes that hang, die and return: forty minutes; ARGS="--for 120" to shorten.
hunt: $(DEV)
	@$(BIN)/python -m tests.long.hunt $(ARGS)
	@$(BIN)/python -m tests.long.hunt --nodes 1 $(ARGS)
	@$(BIN)/python -m tests.long.hunt --drains $(ARGS)
	@$(BIN)/python -m tests.long.hunt --resize $(ARGS)

# Brokers of other makers, those that are installed (tests/brokers/servers.py says how): some minutes.
brokers: $(DEV)
	@$(BIN)/python -m tests.brokers.matrix $(ARGS)

# The advisor's predictions against real memcacheds of other sizes and TTLs: some ten minutes.
advisor-proof: $(DEV)
	@$(BIN)/python -m tests.advisor.proof $(ARGS)

# All that only looks, beside a busy cluster of somebody else's: ten minutes; ARGS="--for 60" to shorten.
observe-proof: $(DEV)
	@$(BIN)/python -m tests.long.observe_proof $(ARGS)

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

# What is in deploy/, and TOML files against their schemas, by the linters of their own trades: promtool and systemd-analyze are Debian's.
lint-deploy: $(DEV)
	@$(call install,--group deploy)
	@$(BIN)/hadolint deploy/Dockerfile
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	@promtool check rules deploy/prometheus/rules.yaml
	@cd deploy/prometheus && promtool test rules rules_test.yaml
	@promtool check config --syntax-only deploy/prometheus/prometheus.yaml
	@$(BIN)/kubernetes-validate deploy/kubernetes/iotcache.yaml
	@$(BIN)/iotcache-tui schema --out schemas
	@find config.toml deploy simulator iotcache tui tests -name '*.toml' ! -name template.toml -print0 | RUST_LOG=error xargs -0 $(BIN)/taplo check
	@folder=$$(mktemp -d) && cp deploy/systemd/*.service $$folder && \
	    sed -i 's#/usr/local/bin/iotcache-tui#/bin/true#' $$folder/*.service && \
	    systemd-analyze verify --man=no $$folder/*.service && rm -r $$folder

# Wheel and sdist in dist/, built twice: they are the same to the byte, as their times are the last commit's.
dist: $(DEV)
	@rm -rf dist build/again
	@export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || date +%s) && \
	    $(BIN)/python -m hatchling build -d dist >/dev/null 2>&1 && \
	    $(BIN)/python -m hatchling build -d build/again >/dev/null 2>&1
	@cd dist && for file in *; do cmp $$file ../build/again/$$file && echo "dist/$$file"; done

# The quick part of the suite under the other Pythons that pyproject.toml names, those that uv or pyenv has. What
# fails is run once more, alone.
PYTHONS ?= 3.12 3.13
QUICK   := tests/config tests/cluster/test_cluster.py tests/cluster/test_placement.py tests/cluster/test_protocol.py \
           tests/cluster/test_transport.py tests/cluster/test_life_cycle.py tests/ingest/test_decode.py \
           tests/cli/test_schema.py tests/cli/test_help.py \
           tests/stack/test_forks.py tests/tui/test_tour.py tests/tui/test_filter.py tests/tui/test_format.py \
           tests/test_library_document.py
pythons:
	@for version in $(PYTHONS); do \
	    python=$$(uv python find $$version 2>/dev/null || ls -d $$HOME/.pyenv/versions/$$version.*/bin/python 2>/dev/null | head -1); \
	    if [ -z "$$python" ]; then echo "Python $$version is not on this machine"; continue; fi; \
	    $(MAKE) --no-print-directory VENV=build/python-$$version PYTHON=$$python build/python-$$version/.installed-dev && \
	    { build/python-$$version/bin/python -m pytest -n 2 $(QUICK) || \
	      build/python-$$version/bin/python -m pytest -n 0 --lf --lfnf=none $(QUICK); } || exit 1; \
	done

# The documents as pages, in build/site. A link that leads nowhere fails it.
site: $(DEV)
	@$(call install,--group site)
	@sed 's#](docs/#](#g' CHANGELOG.md > docs/changelog.md
	@$(BIN)/zensical build --strict -f mkdocs.yml

# For editors: the schemas that the shipped TOML files name.
schemas: $(RUN)
	@$(BIN)/iotcache-tui schema --out schemas

types: $(DEV)
	@$(BIN)/mypy

check: lint types test

# The README's animation and the picture of docs/dashboard.md, taken by the program itself of a live fleet.
picture: $(DEV)
	@$(BIN)/python docs/make_animation.py
	@$(BIN)/python docs/make_picture.py

# A hundred kills, freezes and restarts in a hundred seconds, ten seeds, on both stores: some forty minutes.
# Needs mosquitto, memcached and PostgreSQL.
chaos: $(RUN)
	@$(BIN)/iotcache-tui verify chaos --kills 100 --for 100 --seeds 10 --store-kind sqlite $(ARGS)
	@$(BIN)/iotcache-tui verify chaos --kills 100 --for 100 --seeds 10 --store-kind postgres $(ARGS)

# Workers that break one promise each: all are found by killing them.
chaos-mutants: $(DEV)
	@$(BIN)/python -m pytest -m mutants tests/chaos $(ARGS)

# The ledger over a healthy back end, two hundred fleets with faults of their own: not one may be blamed. Some minutes.
healthy: $(DEV)
	@$(BIN)/python -m tests.simulator.healthy_runs $(ARGS)

# A teacher's sheet of each lesson, from its file.
lessons: $(DEV)
	@$(BIN)/python docs/make_lessons.py

# Each lesson once on servers of its own, and a picture of each step at two sizes, dark and light; a quarter of an hour.
lesson-pictures: $(DEV)
	@$(BIN)/python docs/make_lesson_pictures.py build/lesson-pictures $(ARGS)

# An hour and a day of each device class, for people who know such devices.
class-plots: $(DEV)
	@$(BIN)/python docs/make_class_plots.py

$(RUN): pyproject.toml
	@$(call install,-e .)
	@touch $@

$(DEV): pyproject.toml
	@$(call install,-e . --group dev)
	@touch $@ $(RUN)

# uv when it is there, else venv and pip (25.1 or newer, for dependency groups). For a first run nothing is compiled
# beforehand, as uv has it too: that would take as long as all the rest, and most of it is never imported. Nor does it
# wait for a pip of its own where the one at hand installs for others (22.3 or newer).
PIP_INSTALL := install -q --disable-pip-version-check
PIP = $(BIN)/python -m pip $(PIP_INSTALL)
define install
if command -v uv >/dev/null 2>&1; then \
    echo "installing into $(VENV) with uv …"; \
    { [ -x $(BIN)/python ] || uv venv -q --python '$(if $(filter-out python3,$(PYTHON)),$(PYTHON),>=3.11)' $(VENV); } && \
    uv pip install -q -p $(BIN)/python $(1); \
else \
    echo "installing into $(VENV) with venv and pip (half a minute, or two) …"; \
    { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iotcache needs Python 3.11 or newer: name one with make PYTHON=…")' && \
      $(if $(findstring --group,$(1)),$(call install_with_own_pip,$(1)),$(call install_with_any_pip,$(1))); }; \
fi
endef
define install_with_own_pip
{ [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); } && \
      { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; } && \
      $(PIP) -U 'pip>=25.1' && $(PIP) $(1)
endef
define install_with_any_pip
if $(PYTHON) -m pip --python "$$(command -v $(PYTHON))" --version >/dev/null 2>&1; then \
          { [ -x $(BIN)/python ] || $(PYTHON) -m venv --without-pip $(VENV); } && \
          $(PYTHON) -m pip --python $(BIN)/python $(PIP_INSTALL) --no-compile $(1); \
      else \
          { [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); } && $(PIP) --no-compile $(1); \
      fi
endef

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
