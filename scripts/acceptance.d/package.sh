# Makes the packages and puts them into clean Debian systems, in folders of their own: the .deb is
# installed, backs up the simulator's world as its service would, is installed again, removed and purged;
# the archive's program does the same where there is no OpenSSL. Called by scripts/acceptance, as root.
#
#     scripts/acceptance package                from release builds, ten minutes and more
#     PROFILE=dev scripts/acceptance package    from development builds
#     PACKAGED=1 scripts/acceptance package     with the packages that were made last
needs_root_on_debian "a system is installed into a folder"
# Mounts of this shell are seen by nobody else, and are gone when it ends.
if [ -z "${IN_OWN_MOUNTS-}" ]; then
    exec env IN_OWN_MOUNTS=1 unshare --mount --propagation private sh scripts/acceptance package
fi
install_for 'debootstrap lintian systemd man-db python3-venv' debootstrap lintian systemd-analyze man

[ -n "${PACKAGED-}" ] || scripts/package
cargo build --locked --quiet -p rcbs-sim --bins
find_built
version=$(cargo pkgid --locked -p rcbs | sed 's/.*[#@]//')
packages=$built/package
tools=$built/acceptance

echo "== What was made"
cd "$packages"
sha256sum --check --quiet SHA256SUMS || fail "SHA256SUMS does not fit"
for file in *.deb *.tar.gz *.cdx.json; do
    grep -qF "  $file" SHA256SUMS || fail "$file is not in SHA256SUMS"
done
deb=$packages/$(ls -- *.deb)
archive=$packages/$(ls -- *.tar.gz)
# A word from whoever answers for the package is not for this check to give.
lintian --fail-on error --suppress-tags bogus-mail-host,initial-upload-closes-no-bugs "$deb" ||
    fail "lintian finds errors"

if [ ! -x "$tools/sbom/bin/python" ]; then
    echo "== Installing the validator of CycloneDX into $tools/sbom"
    python3 -m venv "$tools/sbom"
    timeout 600 "$tools/sbom/bin/pip" --quiet install 'cyclonedx-python-lib[json-validation]==11.12.0'
fi

begin
remove="rm -rf --one-file-system"
# Before anything is removed, so that nothing of this system is.
stop_more() {
    for root in "$work/deb" "$work/archive"; do
        for folder in proc dev; do
            ! mountpoint -q "$root/$folder" || umount -l "$root/$folder"
        done
    done
}

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
clean=$tools/clean-$codename.tar
if [ ! -f "$clean" ]; then
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk -v name="$codename" '$2 == name && $3 == "main" { print $1; exit }')
    [ -n "$mirror" ] || fail "apt has no source of $codename"
    echo "== A clean system: $codename"
    timeout 900 debootstrap --variant=minbase "$codename" "$work/base" "$mirror" >debootstrap.log ||
        { tail -n 5 debootstrap.log >&2; fail "debootstrap"; }
    mkdir -p "$tools"
    tar -C "$work/base" --one-file-system --exclude='./proc/*' --exclude='./sys/*' \
        --exclude='./var/cache/apt/*.bin' -cf "$clean.new" .
    mv "$clean.new" "$clean"
    rm -rf --one-file-system "$work/base"
fi
# Lays out a clean system in a folder; it reads names as this one does.
clean_root() {
    mkdir "$1"
    tar -C "$1" -xf "$clean"
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    [ -e "$1/etc/hosts" ] || echo "127.0.0.1 localhost" >"$1/etc/hosts"
    mount -t proc proc "$1/proc"
    [ -z "$(find "$1/usr/lib" -name 'libssl*')" ] || fail "the clean system has an OpenSSL already"
}
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        HOME=/ LC_ALL=C "$@"
}
install_deb() {
    cp "$deb" "$root/var/tmp/rcbs.deb"
    timeout 600 chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive HOME=/ LC_ALL=C \
        apt-get -qq install --no-install-recommends "$@" /var/tmp/rcbs.deb >install.log 2>&1 ||
        { tail -n 20 install.log >&2; fail "the package cannot be installed"; }
}

echo "== The world, from the simulator, with TLS"
world='--from 2018-01-02 --to 2018-01-05 --recordings 300 --metadata-bytes 4000
    --voice-bytes-per-second 400 --screen-bytes-per-second 2000'
mkdir cloud
# shellcheck disable=SC2086 # They are words.
simulate $world --tls --write-config cloud
# shellcheck disable=SC2086
rcbs-sim export $world objects
sed 's/.*"md5":"\([0-9a-f]*\)".*/\1/' objects/expected.jsonl | sort >expected
# The roots are to be found where the system has them, and the target where the package has it.
grep -v '^caBundle\|^targetDir' cloud/config.properties >addresses
sed 's/^export //' cloud/environment >variables

# Holds a tree against what the simulator exports.
is_whole() {
    find "$1" -name '*.bin' -exec md5sum {} + | cut -c 1-32 | sort | cmp -s - expected ||
        fail "$1 does not hold what the simulator exports"
}
counts() {
    tail -n 1 "$1" | grep -qF "(number downloaded files: $2 + number of skipped files: $3 + number of failed download: 0)" ||
        { cat "$1" >&2; fail "not $2 downloaded and $3 skipped"; }
}
files=$(($(wc -l <expected)))

echo "== The .deb, in a clean system"
root=$work/deb
clean_root "$root"
inside apt-get -qq update || fail "the clean system has no packages"
install_deb
inside dpkg --audit
unresolved=$(inside ldd /usr/bin/rcbs | grep 'not found' || :)
[ -z "$unresolved" ] || fail "libraries are missing:$unresolved"
[ "$(inside rcbs --version)" = "rcbs $version" ] || fail "rcbs --version"
for file in usr/bin/rcbs usr/share/man/man1/rcbs.1.gz lib/systemd/system/rcbs.service lib/systemd/system/rcbs.timer \
    usr/share/bash-completion/completions/rcbs usr/share/zsh/vendor-completions/_rcbs \
    usr/share/fish/vendor_completions.d/rcbs.fish usr/share/doc/rcbs/rcbs.ps1 \
    usr/share/doc/rcbs/copyright usr/share/doc/rcbs/changelog.gz usr/share/doc/rcbs/README.md \
    usr/share/doc/rcbs/docs/install.md usr/share/doc/rcbs/examples/config.properties.example \
    usr/share/doc/rcbs/sbom.cdx.json usr/share/doc/rcbs/third-party-licenses.gz; do
    [ -s "$root/$file" ] || fail "/$file is missing"
done
for file in config.properties environment; do
    [ "$(inside stat -c '%a %U:%G' "/etc/rcbs/$file")" = "640 root:rcbs" ] || fail "permissions of $file"
    inside dpkg-query -W -f '${Conffiles}' rcbs | grep -q "/etc/rcbs/$file" || fail "$file is no conffile"
done
[ "$(inside stat -c '%a %U:%G' /var/lib/rcbs)" = "750 rcbs:rcbs" ] || fail "permissions of /var/lib/rcbs"
inside getent passwd rcbs | grep -q ':/usr/sbin/nologin$' || fail "the user rcbs"
[ -z "$(find "$root/etc/systemd" -name 'rcbs*')" ] || fail "the timer is enabled"
gzip -dc "$root/usr/share/man/man1/rcbs.1.gz" >rcbs.1
[ -z "$(man --warnings -l rcbs.1 2>&1 >/dev/null)" ] || fail "the man page has warnings"
MANWIDTH=80 man -l rcbs.1 | grep -q 'rcbs keys check' || fail "the man page is not whole"
inside bash -n /usr/share/bash-completion/completions/rcbs || fail "the completions of bash"
# The units of the system itself are this one's, so the program is named where it is from here.
mkdir units
cp "$root"/lib/systemd/system/rcbs.* units
sed -i "s|^ExecStart=|&$root|" units/rcbs.service
systemd-analyze verify --man=no units/rcbs.service units/rcbs.timer >verify.log 2>&1 || :
[ ! -s verify.log ] || { cat verify.log >&2; fail "systemd does not take the units"; }

echo "== What it is made of"
"$tools/sbom/bin/python" - "$root/usr/bin/rcbs" "$root/usr/share/doc/rcbs/sbom.cdx.json" "$packages"/*.cdx.json <<'PYTHON'
import json, pathlib, re, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

program, *inventories = map(pathlib.Path, sys.argv[1:])
for path in inventories:
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(path.read_text())
    assert error is None, f"{path.name}: {error}"
    inventory = json.loads(path.read_text())
    components = {(one["name"], one["version"]) for one in inventory["components"]}
    refs = {one["bom-ref"] for one in inventory["components"]}
    refs.add(inventory["metadata"]["component"]["bom-ref"])
    for entry in inventory["dependencies"]:
        assert refs.issuperset([entry["ref"], *entry["dependsOn"]]), entry
    # What a program may say when it breaks down names the sources it was made of.
    names = re.findall(rb"/([a-z0-9_-]+)-(\d+\.\d+\.\d+[a-z0-9.+-]*)/src/", program.read_bytes())
    named = {(name.decode(), version.decode()) for name, version in names}
    assert len(named) > 20, named
    assert named <= components, f"{path.name} lacks {named - components}"
    names = {name for name, _ in components}
    assert {"openssl-sys", "tokio", "jemalloc", "sqlite", "rust-std"} <= names
    print(f"{path.name}: valid, {len(components)} components, with all {len(named)} that the program names")
PYTHON

echo "== Backups, as the service makes them"
cat "$work/addresses" >>"$root/etc/rcbs/config.properties"
cat "$work/variables" >>"$root/etc/rcbs/environment"
echo "targetDir=/var/lib/rcbs/recordings" >>"$root/etc/rcbs/config.properties"
cp cloud/ca.pem "$root/usr/local/share/ca-certificates/simulator.crt"
inside update-ca-certificates >/dev/null 2>&1
command=$(sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/rcbs.service")
# The user, the folder and the variables are those of the unit.
serve() {
    timeout 300 chroot --userspec=rcbs:rcbs "$root" /usr/bin/env -i PATH=/usr/bin:/bin \
        sh -c "set -a; . /etc/rcbs/environment; set +a; umask 0027; cd /var/lib/rcbs && exec $command" \
        >"$1" 2>"$1.err" || { cat "$1" "$1.err" >&2; fail "the backup ended with $?"; }
}
serve first
counts first "$files" 0
serve second
counts second 0 "$files"
recordings=$root/var/lib/rcbs/recordings
is_whole "$recordings"
owner=$(inside stat -c %u /var/lib/rcbs)
[ -z "$(find "$recordings" ! -user "$owner")" ] || fail "something does not belong to the user rcbs"
cp -r cloud/keys "$root/var/tmp/keys"
inside rcbs keys check --keys /var/tmp/keys /var/lib/rcbs/recordings >checked || { cat checked >&2; fail "keys check"; }
cat first second
tail -n 1 checked
sums() {
    (cd "$root/var/lib/rcbs" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}
sums >before

echo "== Installed again, removed, purged"
sed -i 's/^# The configuration of the service/# Changed here: &/' "$root/etc/rcbs/config.properties"
cp "$root/etc/rcbs/config.properties" changed
chmod 0600 "$root/etc/rcbs/environment"
install_deb --reinstall
cmp -s changed "$root/etc/rcbs/config.properties" || fail "a configuration that was changed was replaced"
[ "$(inside stat -c %a /etc/rcbs/environment)" = 600 ] || fail "permissions that were changed were changed back"
echo secret >"$root/etc/rcbs/gws_password"
inside apt-get -qq remove rcbs >remove.log 2>&1 || { cat remove.log >&2; fail "the package cannot be removed"; }
[ ! -e "$root/usr/bin/rcbs" ] || fail "the program is still there"
cmp -s changed "$root/etc/rcbs/config.properties" || fail "removing took the configuration away"
sums | cmp -s before - || fail "removing touched the recordings"
inside apt-get -qq purge rcbs >purge.log 2>&1 || { cat purge.log >&2; fail "the package cannot be purged"; }
sums | cmp -s before - || fail "purging touched the recordings"
grep -q 'no recording was deleted' purge.log || fail "purging does not say what is left"
[ "$(cd "$root/etc/rcbs" && ls)" = gws_password ] || fail "purging left or took the wrong files in /etc/rcbs"
inside getent passwd rcbs >/dev/null || fail "the user that the recordings belong to is gone"
left=$(find "$root/usr" "$root/lib/systemd" "$root/etc" -name '*rcbs*' ! -path "$root/etc/rcbs" ! -path '*/etc/rcbs/*')
[ -z "$left" ] || fail "purging left $left"

echo "== The archive, where there is no OpenSSL"
root=$work/archive
clean_root "$root"
tar -C "$root/opt" -xzf "$archive"
folder=$(cd "$root" && ls -d opt/rcbs-*)
for file in LICENSE README.md CHANGELOG.md config.properties.example rcbs.1 sbom.cdx.json third-party-licenses.txt \
    docs/install.md completions/rcbs.bash completions/_rcbs completions/rcbs.fish completions/rcbs.ps1; do
    [ -s "$root/$folder/$file" ] || fail "$file is missing in the archive"
done
unresolved=$(inside ldd "/$folder/rcbs" | grep 'not found' || :)
[ -z "$unresolved" ] || fail "libraries are missing:$unresolved"
cp "$work/addresses" "$root/opt/config.properties"
cp "$work/variables" "$root/opt/variables"
mkdir -p "$root/etc/ssl/certs"
cp cloud/ca.pem "$root/etc/ssl/certs/ca-certificates.crt"
timeout 300 chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin \
    sh -c "set -a; . /opt/variables; set +a; cd /opt && exec /$folder/rcbs" >archive.out 2>archive.err ||
    { cat archive.out archive.err >&2; fail "the archive's program ended with $?"; }
counts archive.out "$files" 0
is_whole "$root/opt/target"
cat archive.out
echo "== Accepted"
