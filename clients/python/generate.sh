#!/bin/sh
# Regenerates src/user_bridge/gen from the proto/ folder at the top of the repository, with the tools pinned in
# requirements-test.txt. CI runs it and then `git diff --exit-code clients/python`.
#
# PYTHON names the interpreter that has them; .venv/bin/python, which test.sh makes, unless told otherwise.
set -eu
cd "$(dirname "$0")"
exec "${PYTHON:-.venv/bin/python}" tools/generate.py
