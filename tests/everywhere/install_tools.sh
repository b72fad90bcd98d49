#!/usr/bin/env bash
# Installs what the tests of other machines need, as far as it is missing here: compilers, an emulator, Node, a browser.
# Never fails: what cannot be installed is named, and its tests are skipped.
set -u
packages=()
missing=()

# need PROGRAM-OR-FILE PACKAGE...: installs packages only where the program is missing, because some exclude what a machine
# has from elsewhere, such as Node.
need() {
  command -v "$1" >/dev/null || [ -e "$1" ] || { packages+=("${@:2}"); missing+=("$1"); }
}
need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu libc6-dev-arm64-cross
need arm-linux-gnueabihf-g++ g++-arm-linux-gnueabihf libc6-dev-armhf-cross
need qemu-aarch64 qemu-user
need clang++-14 clang-14
need wasm-ld-14 lld-14
need /usr/lib/llvm-14/include/wasm32-wasi/c++/v1 libc++-14-dev-wasm32 libc++abi-14-dev-wasm32
need /usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi/libclang_rt.builtins-wasm32.a libclang-rt-14-dev-wasm32
need /usr/include/wasm32-wasi wasi-libc
command -v node >/dev/null || need npm nodejs npm
need chromium chromium
[ "${1:-}" = all ] && need /usr/lib/wine/wine64 wine64
[ ${#packages[@]} = 0 ] && exit 0

install() {
  timeout "$1" apt-get -qq install -y --no-install-recommends "${@:2}" >/dev/null 2>&1
}
export DEBIAN_FRONTEND=noninteractive
if command -v apt-get >/dev/null && timeout 120 apt-get -qq update >/dev/null 2>&1 && ! install 480 "${packages[@]}"; then
  for package in "${packages[@]}"; do install 45 "$package"; done
fi
for program in "${missing[@]}"; do
  command -v "$program" >/dev/null || [ -e "$program" ] || echo "$program is not here and cannot be installed: its tests are skipped"
done
exit 0
