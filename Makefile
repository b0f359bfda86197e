# Two commands matter: `make run` and `make test`. Each recipe replaces its shell by the program (exec),
# so that Ctrl-C and SIGTERM reach it.

BIN := .venv/bin
WORKERS ?= 2
PYTEST = $(BIN)/pytest -m "not slow and not cluster and not deploy"
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help run test test-reliability cluster cluster-top cluster-parts test-cluster deploy-parts images test-deploy twin test-twin twin-down twin-status twin-open drill lint-deploy fuzz pictures lint bench format lock clean environment dev-environment deploy-environment

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20
	@printf '\nPORT=8000 and INSURETECH_HOME=var tell "make run" where to listen and to keep its data,\n'
	@printf 'CLUSTER_PORT=18000 and CLUSTER_HOME=var/cluster "make cluster".\n'

run: environment ## start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/insuretech serve

test: dev-environment ## all tests, the walk in the browser too; ARGS= goes to pytest, in place of all tests
	@CHROMIUM=$$(tools/chromium) && export CHROMIUM && \
	if [ -n "$(ARGS)" ]; then exec $(PYTEST) $(ARGS); fi; \
	exec $(PYTEST) --junitxml=var/reports/test.xml -n $(WORKERS) --dist loadscope \
		tests/browser tests/system tests/service tests/unit

test-reliability: dev-environment ## two hundred purchases under SIGKILL, books compared; minutes
	@exec $(BIN)/pytest -m slow -s $(ARGS) tests/system

cluster: dev-environment ## start the whole on this machine: Kafka, Redis Cluster, S3, HAProxy, three of each service
	@exec $(BIN)/python -m cluster up $(ARGS)

cluster-top: dev-environment ## watch it on a screen; keys kill and revive a process
	@exec $(BIN)/python -m cluster top $(ARGS)

cluster-parts: dev-environment ## fetch and build what the cluster needs, once
	@exec $(BIN)/python -m cluster parts

test-cluster: dev-environment ## the behaviour tests against the whole cluster, and faults; ARGS= goes to pytest
	@CHROMIUM=$$(tools/chromium) && export CHROMIUM && exec $(BIN)/python -m tests.cluster.suite $(ARGS)

deploy-parts: dev-environment ## compile Kubernetes, Helm, CoreDNS and Traefik from their Go modules, once
	@exec $(BIN)/python -m deploy.parts $(ARGS)

images: deploy-parts cluster-parts ## make the container images, with lists of their parts
	@exec $(BIN)/python -m deploy.images $(ARGS)

test-deploy: deploy-environment ## the chart as Helm renders it and as a real scheduler places it; ARGS= goes to pytest
	@$(BIN)/python -m deploy.parts helm kubernetes kwok descheduler && exec $(BIN)/pytest -m deploy $(ARGS) tests/deploy

twin: deploy-environment ## two data centres and a witness on this machine, as root; ONLY=postgresql,etcd SIZE=full LAYOUT=3+2 KUBERNETES=before
	@exec $(BIN)/python -m deploy.twin up $(ARGS)

test-twin: deploy-environment ## the way in from people's networks: DNS, CDN, edge; in a twin of their own, as root; ARGS= goes to pytest
	@TWIN_HOME=$(CURDIR)/var/test-twin && TWIN_PREFIX=tt && TWIN_OCTET=90 && TWIN_INGRESS=8080 && TWIN_DATABASE=no && \
	ONLY=edge,haproxy,dns,cdn && SIZE=full && export SIZE TWIN_HOME TWIN_PREFIX TWIN_OCTET TWIN_INGRESS TWIN_DATABASE ONLY && \
	trap '$(BIN)/python -m deploy.twin down' EXIT && $(BIN)/python -m deploy.twin up && $(BIN)/pytest $(ARGS) tests/twin

twin-down: dev-environment ## take the twin down; nothing of it stays
	@exec $(BIN)/python -m deploy.twin down $(ARGS)

twin-status: dev-environment ## one screen of the twin
	@exec $(BIN)/python -m deploy.twin status $(ARGS)

twin-open: dev-environment ## the site in a browser as a person of a region, as root; REGION=central or eastern
	@CHROMIUM=$$(tools/chromium) && export CHROMIUM && exec $(BIN)/python -m deploy.twin open $(ARGS)

drill: deploy-environment ## break the twin on purpose and judge what people were told; NAME=power-off-spb, or work; else all but work
	@exec $(BIN)/python -m deploy.drills run $(ARGS)

lint-deploy: deploy-environment ## the playbook and its roles, by the strictest profile of ansible-lint
	@cd deploy && PATH="$$PWD/../$(BIN):$$PATH" ANSIBLE_CONFIG=ansible.cfg exec ansible-lint

fuzz: dev-environment ## thousands of made-up requests against the OpenAPI document; FUZZ_EXAMPLES= says how many of each
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-300} && export FUZZ_EXAMPLES && exec $(BIN)/pytest -s $(ARGS) tests/system/test_fuzz.py

pictures: dev-environment ## take the pictures of the README anew
	@CHROMIUM=$$(tools/chromium) && export CHROMIUM && exec $(BIN)/python -m tests.browser.pictures

lint: dev-environment ## style, types, direction of imports, translations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_messages.py

bench: dev-environment ## measure speed against limits taken in the same run
	@exec $(BIN)/python -m bench $(ARGS)

format: dev-environment ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: dev-environment ## choose versions anew, within pyproject.toml; LOCK="--upgrade" takes the newest
	$(UV_COMPILE) --group build --output-file requirements.lock $(LOCK)
	$(UV_COMPILE) --group build --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock $(LOCK)
	$(UV_COMPILE) --group build --group dev --group deploy --constraint requirements-dev.lock \
		--output-file requirements-deploy.lock $(LOCK)

clean: ## remove caches and the environment; the data in var/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests tools bench cluster deploy -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@tools/environment run

dev-environment:
	@tools/environment dev

deploy-environment:
	@tools/environment deploy
