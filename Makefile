# One word a task. Each works from a fresh clone with Python 3.11 and make, and nothing else.

PYTHON ?= python3
SEEDS ?= 200
INPUTS ?= 100000
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run demo test check audit simulate fuzz bench proto release-contract docs wheel lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

run: $(INSTALLED) ## sandbox and service, a step at each provider, then serve until Ctrl-C
	$(BIN)/python -m examples.demo --serve

demo: $(INSTALLED) ## the same, but ends after the three answers: exit status 0, or 1 if any failed
	$(BIN)/python -m examples.demo

test: $(INSTALLED) check ## everything that CI checks
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

simulate: $(INSTALLED) ## SEEDS=n worlds of crashes and lost answers; SEED=n shows one of them
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

fuzz: $(INSTALLED) ## INPUTS=n hostile requests and answers; SEED=n the same ones again
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) $(if $(SEED),--seed $(SEED))

bench: $(INSTALLED) ## how fast it is beside references, what the journal costs, how it scales; on a quiet machine
	$(BIN)/python -m bench

check: $(INSTALLED) ## format, lint, types, contract and what it may not break, generated code and tables
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against $(RELEASED_CONTRACT)
	@rm -rf var/generated && mkdir -p var/generated
	$(call protoc,var/generated)
	diff -r --exclude=__pycache__ generated var/generated
	$(BIN)/python docs/generate.py --check
	$(MAKE) --no-print-directory audit

ADVISORIES := var/advisories.json

audit: $(INSTALLED) ## known weaknesses of the locked dependencies, where the advisories can be reached
	@mkdir -p var && rm -f $(ADVISORIES)
	@$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --timeout 10 \
		--progress-spinner off --format json --output $(ADVISORIES) 2> var/audit.log \
		|| { ! test -e $(ADVISORIES) || { cat var/audit.log $(ADVISORIES); exit 1; }; }
	@test -e $(ADVISORIES) || { tail -1 var/audit.log; echo 'audit SKIPPED: no advisories could be read'; }

RELEASED_CONTRACT := protos/released.binpb

release-contract: $(INSTALLED) ## at a release: later contracts must not break the present one
	$(BIN)/buf build --exclude-source-info --output $(RELEASED_CONTRACT)

# $(call protoc,FOLDER) writes the Python of the contract, with its type stubs, into FOLDER.
define protoc
	$(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) \
		$(sort $(wildcard protos/engagement/v1/*.proto))
	@touch $(1)/engagement/v1/py.typed
endef

proto: $(INSTALLED) ## regenerate generated/ from protos/
	rm -rf generated && mkdir generated
	$(call protoc,generated)

docs: $(INSTALLED) ## bring the tables in README and docs/ up to date with the code
	$(BIN)/python docs/generate.py

wheel: $(INSTALLED) ## build the package into dist/
	$(BIN)/python -m hatchling build --target wheel --directory dist

lock: $(INSTALLED) ## resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --group dev --universal --upgrade \
		--generate-hashes --no-annotate --no-emit-index-url \
		--custom-compile-command 'make lock' --output-file requirements.lock

clean: ## remove everything that make made
	rm -rf $(VENV) var dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
