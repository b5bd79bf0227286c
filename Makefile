# Everything from a machine with Python and make: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python

.PHONY: demo test slow faults lint format docs clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Trains on real handwritten digits; the samples are the .png in runs/digits-tiny/samples.
demo: $(VENV)/installed
	$(RUN) -m train.main --dataset=digits --config=tiny --workdir=runs/digits-tiny

test: $(VENV)/installed
	$(RUN) -m pytest -n 2 --dist loadfile

# The checks that take minutes each.
slow: $(VENV)/installed
	$(RUN) -m pytest -m slow

# Kills, full disks, lost workers and the like, on whole processes; ends with a table.
faults: $(VENV)/installed
	$(RUN) benchmarks/faults.py

lint: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: $(VENV)/installed
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# The pages of docs/ and the API as a site: site/index.html.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet
	@echo "site/index.html"

$(VENV)/installed-docs: $(VENV)/installed
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) runs build site *.egg-info
