#!/bin/sh
# What somebody does who has just heard of XLIP: a wheel in an empty environment, an empty home and caches, no data, no
# rights of root where the machine lets us drop them, and no network but the package index.
#
#   sh tests/newcomer.sh --smallest dist/xlip-*.whl  what CI runs: the wheel without torch prepares, tags and asks its checkpoint
#   sh tests/newcomer.sh dist/xlip-*.whl             with torch too: the quick demo, a search, the README's lines of Python
#   sh tests/newcomer.sh --commands                  the two commands of the README (make demo, make test) in a fresh copy
set -eu
python=${PYTHON:-python3}
place=$(mktemp -d)
source=$(cd "$(dirname "$0")/.." && pwd)
trap 'rm -rf "$place"' EXIT
user=
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$place"
    user="setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs"
fi
mkdir "$place/home" "$place/here"

as_newcomer() {
    (
        cd "$place/here"
        exec env -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u XLIP_CACHE -u XLIP_DATA \
            -u HF_HOME -u XDG_CACHE_HOME -u PIP_CACHE_DIR HOME="$place/home" $user "$@"
    )
}

if [ -n "$user" ] && ! as_newcomer "$python" -c 'import venv' 2>/dev/null; then
    echo "newcomer: $python cannot be used without the rights of root; running with them"
    user=
fi

if [ "${1:-}" = --commands ]; then
    (cd "$source" && git ls-files -z | xargs -0 tar cf -) | (mkdir "$place/here/xlip" && tar xf - -C "$place/here/xlip")
    [ -z "$user" ] || chown -R 65534:65534 "$place"
    as_newcomer sh -c 'cd xlip && make demo && make test'
    echo "newcomer: the two commands pass"
    exit 0
fi

extras=train,serve form=
if [ "${1:-}" = --smallest ]; then
    extras=data,serve form=--smallest
    shift
fi
cp "$1" "$place/here/"
wheel=$(basename "$1")
cp "$source/tests/newcomer.py" "$place/here/"
[ -z "$user" ] || chown -R 65534:65534 "$place"
as_newcomer "$python" -m venv env
as_newcomer env/bin/pip install -q "$(printf '%s' "$wheel")[$extras]"
as_newcomer env/bin/pip check
as_newcomer env/bin/python newcomer.py $form
echo "newcomer: the wheel works"
