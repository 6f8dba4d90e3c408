#!/bin/sh
# Makes build/: a virtual environment with what requirements.txt pins, and the stubs of the repository's contracts.
set -eu
cd "$(dirname "$0")"
rm -rf build
python3 -m venv build/venv
build/venv/bin/pip install --quiet --requirement requirements.txt
mkdir build/stubs
build/venv/bin/python -m grpc_tools.protoc \
  --proto_path=../../../proto --proto_path=../../../third_party/proto \
  --python_out=build/stubs --grpc_python_out=build/stubs \
  users/v1/users.proto buf/validate/validate.proto
