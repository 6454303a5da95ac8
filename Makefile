# make demo     serve the demo on http://127.0.0.1:7860
# make test     lint, types and all tests            make fast    the same without the slow tests
# make lock     update the lock files                make audit   look for known vulnerabilities
# The targets demo, test and fast set up .venv first. PYTHON names the interpreter (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo test fast check lock audit

demo: .venv/ready
	$(BIN)/python app.py

test: check
	$(BIN)/pytest

fast: check
	$(BIN)/pytest -m "not slow"

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: requirements.lock requirements-torch.lock
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(CPU_TORCH) || $(BIN)/python -m pip install --no-deps --require-hashes -r requirements-torch.lock
	$(BIN)/python -m pip install --no-deps --require-hashes -r requirements.lock
	touch .venv/ready

# On Linux without an NVIDIA driver, install torch's CPU build, which takes 0.2 GB instead of 5 GB. Its
# hash is not checked: the lock file has hashes only for PyPI's build. If the CPU build's index does not
# answer within ten seconds, this command fails, and .venv/ready installs PyPI's build instead.
CPU_TORCH = test "$$(uname)" = Linux && ! test -e /proc/driver/nvidia/version \
	&& timeout 10 $(BIN)/python -c "import urllib.request; urllib.request.urlopen('$(CPU_INDEX)/')" 2> /dev/null \
	&& $(BIN)/python -m pip install --no-deps --index-url $(CPU_INDEX) \
		$$(sed -n 's/^\(torch[a-z]*==[0-9.]*\).*/\1+cpu/p' requirements-torch.lock)

# requirements-torch.lock pins torch, torchvision and their dependencies. requirements.lock omits
# torch, torchvision and the CUDA packages, so that installing it does not replace the CPU build.
COMPILE := .tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"

lock: .tools/ready
	grep '^torch' requirements.txt | $(COMPILE) - -c requirements.txt -o requirements-torch.lock
	$(COMPILE) requirements.txt -c requirements-torch.lock -o requirements.lock \
		$$(grep -oE '^(torch|nvidia|cuda|triton)[a-z0-9-]*' requirements-torch.lock | sort -u | sed 's/^/--no-emit-package /')

audit: .tools/ready
	.tools/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.lock
	.tools/bin/pip-audit --strict --disable-pip --require-hashes -r requirements-torch.lock

.tools/ready:
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install uv==0.13.9 pip-audit==2.10.1
	touch .tools/ready
