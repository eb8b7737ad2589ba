# make install · run · check (before every commit) · test (everything) · soak (at full counts) · bench · clean

PYTHON ?= python3
ARGS ?=
PARTS ?= cadaver chromium curl davfs2 dbus fuse3 gvfs-backends gvfs-daemons gvfs-fuse libglib2.0-bin litmus nginx-light openssl postgresql procps rsync sqlite3 strace systemd unzip
BIN := .venv/bin

.PHONY: install run check fast lint parts test soak bench clean

install: .venv/installed

run: install
	exec $(BIN)/davstore serve --data ./var $(ARGS)

check: # the types are checked by one thread, beside which there is room
	$(MAKE) --jobs=2 --output-sync=target lint fast

fast: .venv/testable
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test: lint parts
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(ARGS)

soak: lint parts
	DAVSTORE_SOAK=1 $(BIN)/python -m pytest -q $(ARGS)

bench: install
	$(BIN)/python -m bench $(ARGS)

lint: .venv/testable
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Debian's packages of the real clients and servers that the tests use; `make test PARTS=` installs none.
parts:
	@missing=; for part in $(PARTS); do \
		dpkg-query --show --showformat='$${db:Status-Status}\n' $$part 2>/dev/null | grep -qx installed \
			|| missing="$$missing $$part"; \
	done; \
	test -n "$$missing" || exit 0; \
	install="apt-get install -y --no-install-recommends$$missing"; \
	if test "$$(id -u)" != 0; then \
		echo "The tests need more programs. An administrator must run: $$install" >&2; exit 1; \
	fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive $$install

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/testable: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
