# The archive: a folder with the program and all that belongs to it. Sourced by scripts/package.

name=rcbs-$version-$(uname -m)-linux-gnu
folder=$work/$name
mkdir -p "$folder/docs" "$folder/completions" "$folder/systemd"
install -m 755 "$work/archive" "$folder/rcbs"
install -m 644 LICENSE README.md CHANGELOG.md config.properties.example "$work/rcbs.1" "$folder"
install -m 644 docs/*.md "$folder/docs"
install -m 644 "$work/rcbs.bash" "$work/_rcbs" "$work/rcbs.fish" "$work/rcbs.ps1" "$folder/completions"
install -m 644 deploy/systemd/* "$folder/systemd"
install -m 644 "$work/archive.cdx.json" "$folder/sbom.cdx.json"
install -m 644 "$work/archive.licenses" "$folder/third-party-licenses.txt"
tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --format=ustar -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
cp "$work/archive.cdx.json" "$out/$name.cdx.json"
echo "the archive needs glibc $(readelf -V "$work/archive" |
    grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 | cut -d _ -f 2) or newer"
