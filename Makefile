# twohop: `make` or `make help` lists the targets. Recipes only call programs; what they do is written there.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python on PATH that does; or choose: make setup PYTHON=/path/to/python3.12
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	"$$each" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && echo "$$each" && break; done)
VENV ?= .venv
RUN := $(VENV)/bin/python

TARGET ?= local
EMBEDDING_PORT ?= 50051
EMBEDDING_HTTP_PORT ?= 8125
HEADS_PORT ?= 8500
HEADS_REST_PORT ?= 8501
GATEWAY_PORT ?= 8000
REPOSITORY ?= run/local/repository
export EMBEDDING_PORT EMBEDDING_HTTP_PORT HEADS_PORT HEADS_REST_PORT GATEWAY_PORT REPOSITORY

# Texts and names travel through the environment, as they were typed: no shell reads them.
demo: export DEMO_TEXT = $(value TEXT)
promote rollback: export HEAD_NAME = $(value HEAD)
promote rollback: export HEAD_VERSION = $(value VERSION)
deploy up status undeploy down promote rollback: export DEPLOY_TARGET = $(value TARGET)

##@ Start here
.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z_ -]+:.*## / {gsub(" ", " | ", $$1); printf "  make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## build .venv from nothing but Python 3.11 to 3.13 (PYTHON=…); nothing to do while nothing changed
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.11, 3.12 or 3.13 found on PATH; install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c "" 2>/dev/null || { echo "setup: $(PYTHON) does not run; name another: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m deploy.development.environment --venv "$(VENV)"

.PHONY: demo
demo: setup ## a text becomes a label in two hops: train, serve, classify (TEXT="…"), measure, stop
	@$(RUN) -m deploy.demo

##@ Run it (TARGET=local, the default)
.PHONY: deploy up
deploy up: setup ## start the services under supervision, or bring them up to date (EMBEDDING_PORT=… and so on)
	@$(RUN) -m deploy up

.PHONY: status
status: setup ## every process: state, pid, uptime, ports, ready; and the heads
	@$(RUN) -m deploy status

.PHONY: promote
promote: setup ## make a version of a head the stable one: HEAD=sentiment VERSION=2
	@$(RUN) -m deploy promote

.PHONY: rollback
rollback: setup ## take a head back to the version before: HEAD=sentiment
	@$(RUN) -m deploy rollback

.PHONY: undeploy down
undeploy down: setup ## stop the services; heads and logs stay in run/local
	@$(RUN) -m deploy down

##@ Measure and check
.PHONY: compare
compare: setup ## plans 1, 3 and 4 beside the article's numbers (ARGS="--texts 100"); results in loadtest/results
	@$(RUN) -m loadtest.compare $(ARGS)

.PHONY: peers
peers: setup ## hop 1 beside sentence-transformers in FastAPI and infinity (ARGS="--quick"); results in loadtest/results
	@$(RUN) -m loadtest.peers $(ARGS)

.PHONY: head-costs
head-costs: setup ## hop 2 alone, by kind of head: milliseconds and bytes (ARGS="--texts 300"); results in loadtest/results
	@$(RUN) -m loadtest.head_costs $(ARGS)

.PHONY: test
test: setup ## every test: unit, contract, e2e, chaos (ARGS="-k name")
	@$(RUN) -m pytest $(ARGS)

.PHONY: lint
lint: setup ## ruff and mypy, strict
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

##@ Renew
.PHONY: requirements
requirements: setup ## lock files with hashes, after a change of pyproject.toml (ARGS=--upgrade: newest versions)
	@$(RUN) -m deploy.development.lock $(ARGS)

.PHONY: proto
proto: setup ## generated code of shared/proto
	@$(RUN) -m deploy.development.proto

.PHONY: clean
clean: ## remove environments, caches and results; a deployment's heads in run/local stay
	rm -rf .venv .venv-plan1 .venv-plain .venv-infinity .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist run/demo run/compare run/peers run/head_costs run/inside run/overload run/soak loadtest/results
	find deploy embedding_service head_service loadtest shared tests -name __pycache__ -type d -prune -exec rm -rf {} +
