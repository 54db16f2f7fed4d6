# The .deb. Sourced by scripts/package.

debian=$version-1
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-The rcbs contributors} <${DEBEMAIL:-rcbs@packages.invalid}>"
root=$work/root
docs=$root/usr/share/doc/rcbs

put() {
    install -D -m "$1" "$2" "$root/$3"
}
put 755 "$work/deb" usr/bin/rcbs
put 644 "$work/rcbs.1" usr/share/man/man1/rcbs.1
put 644 "$work/rcbs.bash" usr/share/bash-completion/completions/rcbs
put 644 "$work/_rcbs" usr/share/zsh/vendor-completions/_rcbs
put 644 "$work/rcbs.fish" usr/share/fish/vendor_completions.d/rcbs.fish
put 644 "$work/rcbs.ps1" usr/share/doc/rcbs/rcbs.ps1
put 644 deploy/systemd/rcbs.service lib/systemd/system/rcbs.service
put 644 deploy/systemd/rcbs.timer lib/systemd/system/rcbs.timer
put 640 deploy/debian/config.properties etc/rcbs/config.properties
put 640 deploy/debian/environment etc/rcbs/environment
put 644 config.properties.example usr/share/doc/rcbs/examples/config.properties.example
put 644 README.md usr/share/doc/rcbs/README.md
for page in docs/*.md; do put 644 "$page" "usr/share/doc/rcbs/$page"; done
put 644 "$work/deb.cdx.json" usr/share/doc/rcbs/sbom.cdx.json
put 644 "$work/deb.licenses" usr/share/doc/rcbs/third-party-licenses
put 644 CHANGELOG.md usr/share/doc/rcbs/changelog
cat >"$docs/changelog.Debian" <<TEXT
rcbs ($debian) stable; urgency=medium

  * What is new stands in changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT
awk -v text="$(tail -n +5 LICENSE | sed 's/^$/./; s/^/ /')" -v owner="$(sed -n 's/^Copyright (c) //p' LICENSE)" '
    /^@LICENSE@$/ { print text; next }
    { sub(/@COPYRIGHT@/, owner); print }' deploy/debian/copyright >"$docs/copyright"
gzip -9n "$docs/changelog" "$docs/changelog.Debian" "$docs/third-party-licenses" "$root/usr/share/man/man1/rcbs.1"

# dpkg-shlibdeps wants to be called where a source package is.
mkdir -p "$work/source/debian"
printf 'Source: rcbs\n\nPackage: rcbs\nArchitecture: any\nDescription: x\n' >"$work/source/debian/control"
libraries=$(cd "$work/source" && dpkg-shlibdeps -O "$root/usr/bin/rcbs" | sed 's/^shlibs:Depends=//')
[ -n "$libraries" ] || fail "dpkg-shlibdeps knows no library of the program"

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do
    install -m 755 "deploy/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find etc -type f | sort | sed 's|^|/|') >"$root/DEBIAN/conffiles"
(cd "$root" && find etc lib usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<TEXT
Package: rcbs
Version: $debian
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size "$root" | cut -f 1)
Depends: $libraries, adduser, ca-certificates
Suggests: openssl
Section: admin
Priority: optional
Description: backup of call and screen recordings of a Genesys contact centre
 It lists recordings through the metadata API of the contact centre, fetches
 their encrypted media from S3, and keeps both in a tree of folders, before the
 cloud deletes them. No recording is lost without a trace: what could not be
 listed, fetched or checked is named, and tried again by the next run.
 .
 The package brings a systemd timer, which is off until it is enabled, and a
 user of its own. Removing or purging the package deletes no recording.
TEXT
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=rcbs_${debian}_$architecture
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz --build "$root" "$out/$package.deb" >/dev/null
cp "$work/deb.cdx.json" "$out/$package.cdx.json"
