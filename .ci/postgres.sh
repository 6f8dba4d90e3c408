# shellcheck shell=bash
# A throw-away PostgreSQL cluster with default durability (fsync on): start_postgres sets POSTGRES_URL, stop_postgres
# removes it. PostgreSQL refuses to run as root, so root runs it as the user that Debian's package makes.

find_postgres() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }

as_postgres() {
  if [ "$(id -u)" = 0 ]; then
    su postgres -s /bin/bash -c "$(printf '%q ' "$@")"
  else
    "$@"
  fi
}

# In memory, where there is room for it: a test's database is a few hundred files, which a disk takes long to make.
place_for_databases() {
  if [ "$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)" -gt 4194304 ] 2>/dev/null; then
    echo /dev/shm
  else
    echo /tmp
  fi
}

start_postgres() {
  local bin
  bin=$(find_postgres)
  if [ -z "$bin" ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
    bin=$(find_postgres)
  fi
  POSTGRES_BIN=$bin
  POSTGRES_DIR=$(mktemp -d "$(place_for_databases)/user-bridge-postgres-XXXXXX")
  if [ "$(id -u)" = 0 ]; then chown postgres "$POSTGRES_DIR"; fi
  local port
  port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
  as_postgres "$bin/initdb" --pgdata "$POSTGRES_DIR/data" --username postgres --auth trust --encoding UTF8 --locale C.UTF-8 >/dev/null
  as_postgres "$bin/pg_ctl" --pgdata "$POSTGRES_DIR/data" --log "$POSTGRES_DIR/log" --wait \
    --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$POSTGRES_DIR -c max_connections=200" start >/dev/null
  export POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres"
}

stop_postgres() {
  as_postgres "$POSTGRES_BIN/pg_ctl" --pgdata "$POSTGRES_DIR/data" --mode immediate stop >/dev/null || true
  rm -rf "$POSTGRES_DIR"
}
