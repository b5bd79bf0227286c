# Everything from a machine with Python and make: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python

.PHONY: demo test slow browser screenshots faults reproduce lint format docs clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Trains on real handwritten digits, and says what to look at.
DEMO = runs/digits-tiny
demo: $(VENV)/installed
	$(RUN) -m train.main --dataset=digits --config=tiny --workdir=$(DEMO)
	@echo
	@echo 'Look at the newest picture in $(DEMO)/samples: digits that the model made up.'
	@echo 'To go on, type "source $(VENV)/bin/activate" (or $(RUN) in place of python), and try'
	@echo '  python -m train.sample --workdir=$(DEMO) --complete=top   # lower halves, made up'
	@echo '  python -m train.plot --workdir=$(DEMO)                    # how it learned'
	@echo '  python -m train.evaluate --workdir=$(DEMO)                # its test score again'
	@echo '  python -m train.main --help                               # your own data, other models'

test: $(VENV)/installed
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The checks that take minutes each.
slow: $(VENV)/installed
	$(RUN) -m pytest -m slow

# The page of train.report and train.demo in Chromium (Debian: apt-get install chromium).
browser: $(VENV)/installed-browser
	$(RUN) -m pytest -m browser -s tests/browser

# Screenshots of both for the documentation.
screenshots: $(VENV)/installed-browser
	$(RUN) experiments/figures/screenshots.py

$(VENV)/installed-browser: $(VENV)/installed
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[browser]'
	touch $@

# Kills, full disks, lost workers and the like, on whole processes; ends with a table.
faults: $(VENV)/installed
	$(RUN) tests/faults/faults.py

# Evaluates the pretrained models on whole test splits: make reproduce DATA_DIR=<prepared tfds data>.
reproduce: $(VENV)/installed
	$(RUN) benchmarks/reproduce.py --data_dir=$(DATA_DIR)

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
