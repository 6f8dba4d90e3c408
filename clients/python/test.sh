#!/bin/sh
# The whole check of this client: lint, format, types, and the tests on the wheel that it builds. Arguments go to pytest.
#
# VENV names the virtual environment to make or to use (.venv), PYTHON the interpreter to make it with (python3).
set -eu
cd "$(dirname "$0")"
venv=${VENV:-.venv}

if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
fi
bin=$venv/bin
"$bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements-test.txt
# Not editable: a file that is missing from the wheel must fail here, not at a user's. pip's own build folder is
# outside the tree.
"$bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
exec "$bin/pytest" "$@"
