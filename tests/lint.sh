#!/usr/bin/env bash
# What the field's own checkers say, of this template and of what it stamps. Offline, a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
template=$PWD
PATH=$PWD/.venv/bin:$PATH
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

say() { printf '%-28s %s\n' "$1" "$2"; }

# Prints what a command has to say only where it fails: repo-review lists sixty checks that passed.
quietly() { "$@" > "$made/said" 2>&1 || { cat "$made/said"; return 1; }; }

# A repository of its own, as the checkers expect it: several leave out what git ignores.
stamp() { # folder, options of cookiecutter
    local folder=$1; shift
    quietly cookiecutter --no-input --config-file "$made/config.yaml" -o "$made/$folder" . "$@"
    git -C "$made/$folder/my-dl-project" init -q
}

both() { # the checkers that look at either kind of repository, in the folder where we are
    codespell $(git ls-files -co --exclude-standard '*.md' '*.py' '*.toml' '*.yml' '*.yaml' Makefile |
        grep -v '^tests/') --ignore-words-list datset # as the README mistypes it
    quietly rumdl check .
    quietly zizmor --offline --no-progress .
    quietly repo-review --show err .
}

printf 'replay_dir: %s\ncookiecutters_dir: %s\n' "$made/replay" "$made/templates" > "$made/config.yaml"
say template "ruff, mypy, codespell, rumdl, zizmor, repo-review"
ruff check --extend-ignore N999 . # N999: the name of a folder that is a template
ruff format --check .
mypy
both

stamp default
say "the default project" "ruff, mypy, codespell, rumdl, zizmor, repo-review, pyroma"
cd "$made/default/my-dl-project"
ruff check .
ruff format --check .
mypy
both
quietly pyroma -n 10 .

cd "$template"
stamp everything --accept-hooks no # without the hook, every starter stays
say "all starters" "mypy, ruff"
cd "$made/everything/my-dl-project"
rm -r starters # which are no sources: each is read by the hook
mypy
ruff check .
