PYTHON ?= python3
TREE := {{cookiecutter.project_slug}}
DEMO := demo/my-dl-project
define SIZE
On Linux this downloads 2.9 GB the first time, nearly all of it CUDA; elsewhere 0.3 GB. On Linux
without a GPU 0.3 GB will do, too: stop with Ctrl-C, and set PIP_EXTRA_INDEX_URL to the CPU address
on https://pytorch.org/get-started/locally/
endef
export SIZE

.PHONY: demo test quick lint bench gpu scores clean

demo:  ## stamp the default project, install it, train it, evaluate it
	rm -rf demo
	@echo "$$SIZE"
	$(PYTHON) -m venv demo/.venv
	demo/.venv/bin/python -m pip install cookiecutter -c constraints.txt
	demo/.venv/bin/cookiecutter --no-input -o demo . 2> demo/stamping.log || (cat demo/stamping.log; false)
	demo/.venv/bin/python -m pip install -e $(DEMO) -c $(DEMO)/constraints.txt
	@echo "\n$$ train with dataset_args.source=sample"
	@cd $(DEMO) && ../.venv/bin/train with dataset_args.source=sample
	@echo "\n$$ evaluate"
	@cd $(DEMO) && ../.venv/bin/evaluate
	@cd $(DEMO)/model_data/MNISTModel/1 && echo "\n\
	Test accuracy: $$(sed -n 's/.*"test_accuracy": \([0-9.]*\).*/\1/p' evaluations/1/results.json)\n\
	The run:       $(DEMO)/model_data/MNISTModel/1\n\n\
	Next:  cd $(DEMO) && . ../.venv/bin/activate\n\
	       train                    (all 60,000 digits, fetched once: about 98 % in half a minute)\n\
	       train print_config       (everything that can be changed)\n\
	       less README.md           (how to add a model of your own)"

test: lint  ## every check of the template and of what it stamps
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadgroup

quick: .venv/ready  ## the tests that take seconds
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadgroup -m "not slow"

lint: .venv/ready  ## the checkers, on this repository and on what it stamps
	tests/lint.sh

bench: .venv/ready  ## the README's table of speed; DATA=folder of the official MNIST files
	.venv/bin/python tests/bench.py $(if $(DATA),--data $(DATA))

gpu:  ## what needs CUDA, by any Python that has the libraries; says so and stops where there is none
	$(if $(wildcard .venv/ready),.venv/bin/python,$(PYTHON)) tests/gpu.py

scores: .venv/ready  ## the README's table of scores: hours; DATA=folder of the official MNIST files
	OMP_NUM_THREADS=1 .venv/bin/python tests/scores.py $(if $(DATA),--data $(DATA))

.venv/ready: constraints.txt $(TREE)/constraints.txt
	@echo "$$SIZE"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -r constraints.txt -r '$(TREE)/constraints.txt'
	touch $@

clean:
	rm -rf .venv demo
