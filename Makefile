# `make book` is `python3 tasks.py book`, where the commands are. Another Python: make PYTHON=python3.12 book
PYTHON ?= python3
COMMANDS := book pdf lab test test-processors test-versions notebooks measure replicate bench gpu requirements install clean

.PHONY: $(COMMANDS)
$(COMMANDS):
	@$(PYTHON) tasks.py $@ $(ARGUMENTS)
