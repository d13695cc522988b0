#!/bin/sh
# What somebody does who has just heard of XLIP: a wheel in an empty environment, an empty home and caches, no data, no
# rights of root where the machine lets us drop them, and no network but the package index.
#
#   sh tests/newcomer.sh dist/xlip-*.whl             with torch: the quick demo, a search, the README's lines of Python
#   sh tests/newcomer.sh --no-torch dist/xlip-*.whl  without torch: prepares, tags, asks the checkpoint of the package
#   sh tests/newcomer.sh --smallest dist/xlip-*.whl  what CI runs: the same, and the packages are not downloaded but lent by
#                                                    the environment of $LENDER (.venv/bin/python); no network at all
#   sh tests/newcomer.sh --commands                  the two commands of the README (make demo, make test) in a fresh copy
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
lender=${LENDER:-$source/.venv/bin/python}
case $lender in /*) ;; *) lender=$PWD/$lender ;; esac
python=${PYTHON:-python3}
if [ "${1:-}" = --smallest ] && [ -z "${PYTHON:-}" ]; then
    python=$("$lender" -c 'import sys; print(sys._base_executable)')  # packages are lent to the same version of Python alone
fi
place=$(mktemp -d)
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

# By a shell: setpriv itself still has the rights by which it starts a program, and what that starts has them no more.
if [ -n "$user" ] && ! as_newcomer sh -c '"$0" -c "import venv"' "$python" 2>/dev/null; then
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

form=
case ${1:-} in
--no-torch | --smallest)
    form=$1
    shift
    ;;
esac
cp "$1" "$place/here/"
wheel=$(basename "$1")
cp "$source/tests/newcomer.py" "$place/here/"
[ -z "$user" ] || chown -R 65534:65534 "$place"
case $form in
--smallest)
    # A folder named in a .pth file lends its packages, but not what its own .pth files name: no xlip of the repository.
    as_newcomer "$python" -m venv --without-pip env
    packages=$("$lender" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    own=$(as_newcomer env/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    if [ -n "$user" ] && ! as_newcomer test -r "$packages/numpy/__init__.py"; then
        echo "newcomer: $packages cannot be read without the rights of root; running with them"
        user=
    fi
    echo "$packages" >"$own/lent.pth"
    (
        cd "$place/here"
        "$lender" -m pip --python env/bin/python install -q --no-deps --no-index "$wheel"
        "$lender" -m pip --python env/bin/python check
    )
    [ -z "$user" ] || chown -R 65534:65534 "$place"
    ;;
*)
    extras=train,serve
    [ "$form" ] && extras=data,serve
    as_newcomer "$python" -m venv env
    as_newcomer env/bin/pip install -q "${wheel}[$extras]"
    as_newcomer env/bin/pip check
    ;;
esac
as_newcomer env/bin/python newcomer.py ${form:+--no-torch}
echo "newcomer: the wheel works"
