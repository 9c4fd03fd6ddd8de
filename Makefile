# The targets are the tasks of make.py, which also runs on a machine without make.

PYTHON ?= python3

.PHONY: demo project test check docs clean

demo project test check docs clean:
	$(PYTHON) make.py $@
