# For the scripts of this project, which all work on a bare clone: sourced with `root` set to where
# the project is; installs and builds there what is missing or older than what it is made from.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

need_node() {
  type -P node npm >/dev/null || { say 'needs Node.js 20.19 or later, and npm'; exit 1; }
  node -e 'const [a, b] = process.versions.node.split(".").map(Number);
    process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    { say "needs Node.js 20.19 or later, this is $(node --version)"; exit 1; }
}

install_npm_packages() {
  need_node
  [[ $root/node_modules/.package-lock.json -nt $root/package-lock.json ]] && return
  say 'installing npm packages'
  # As locked. Not `npm ci`: it refuses a lock file that leaves out other platforms' binaries.
  (cd "$root" &&
    npm install --no-save --no-audit --no-fund --ignore-scripts=false --loglevel=error >&2)
  touch "$root/node_modules/.package-lock.json"
}

build() {
  local built=$root/dist/cli/main.js
  [[ -e $built && -z $(find "$root/src" "$root/package.json" -newer "$built" -print -quit) ]] && return
  say 'building'
  (cd "$root" && npm run --silent build >&2)
  touch "$built"
}

# The lines of comment at the head of the script.
print_head() { sed -n '2,/^[^#]/{/^[^#]/d;s/^# \{0,1\}//p}' "$0"; }
