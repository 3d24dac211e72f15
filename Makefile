# Two commands matter: `make demo` (see it work) and `make test` (check it). Each does all its own set-up in ./.venv,
# with uv where there is one, else with venv and pip; neither needs root or Docker.

VENV := .venv
BIN := $(VENV)/bin
FAULT ?=
SCENARIO ?= model-degradation

.PHONY: help demo test lint lock bench clean

help:
	@echo "make demo    break a practice system and diagnose it  (FAULT=name, SCENARIO=name)"
	@echo "make test    run every test ring that can run here    (SICKBAY_RINGS=core,lab or all)"
	@echo "make lint    ruff, mypy, import contracts"
	@echo "make bench   benchmarks of speed; see benchmarks/README.md"
	@echo "make lock    resolve the dependencies again into locks/"
	@echo "make clean   remove .venv and what the demo left"

demo: $(VENV)/run.stamp
	$(BIN)/sickbay demo $(FAULT) --scenario $(SCENARIO) --html sickbay-report.html

# Spark and ClickHouse come as wheels of 1 GB: they are installed when their rings are asked for.
WITH_ENGINES := $(findstring all,$(SICKBAY_RINGS))$(findstring spark,$(SICKBAY_RINGS))$(findstring clickhouse,$(SICKBAY_RINGS))

test: $(VENV)/$(if $(WITH_ENGINES),all,dev).stamp
	$(BIN)/python tests/rings.py

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/investigate.py
	$(BIN)/python benchmarks/drift.py
	$(BIN)/python benchmarks/stream.py
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/skew.py
	$(BIN)/python benchmarks/skew_join.py

lock: $(VENV)/dev.stamp
	sh tools/lock.sh

clean:
	rm -rf $(VENV) demo demo-* sickbay-report.html

$(VENV)/run.stamp: locks/run.txt pyproject.toml tools/setup.sh
	sh tools/setup.sh $(VENV) locks/run.txt
	@touch $@

$(VENV)/dev.stamp: locks/dev.txt pyproject.toml tools/setup.sh
	sh tools/setup.sh $(VENV) locks/dev.txt
	@touch $@ $(VENV)/run.stamp

$(VENV)/all.stamp: locks/all.txt pyproject.toml tools/setup.sh
	sh tools/setup.sh $(VENV) locks/all.txt
	@touch $@ $(VENV)/run.stamp $(VENV)/dev.stamp
