#!/bin/sh
# Regenerates clients/go/gen from proto/. Needs Go, and buf from `npm ci`; CI runs it and then
# `git diff --exit-code clients/go`.
set -eu
cd "$(dirname "$0")/../.."
exec npx --no-install buf generate --template clients/go/buf.gen.yaml
