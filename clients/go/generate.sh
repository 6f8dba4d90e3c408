#!/bin/sh
# Regenerates clients/go/gen from proto/, and what a test compiles of another program's contract. Needs Go, and buf from
# `npm ci`; CI runs it and then `git diff --exit-code clients/go`.
set -eu
cd "$(dirname "$0")/../.."
npx --no-install buf generate --template clients/go/buf.gen.yaml
exec npx --no-install buf generate --template clients/go/internal/telemetry/buf.gen.yaml
