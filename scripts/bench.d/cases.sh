# The cases of scripts/bench peers: each starts a cloud, lets the clients fetch it, and prints its table.

case_same() {
    recordings=$(some 10000)
    room $((recordings * 5 * rounds / 10 + recordings / 5))
    serve --recordings "$recordings" --voice-bytes 150000 --metadata-bytes 10000 --screen-share 0 --metadata-objects
    compare "$work/trees" keep $clients ${aws:+aws}
    # All have the same files, byte for byte.
    for client in s5cmd rclone; do
        diff -r -x .rcbs -x last_recording_endtime.txt "$work/trees/same-1-rcbs" "$work/trees/same-1-$client" >&2
    done
    echo "### The same tree: $recordings recordings, voice of 150 KB and metadata of 10 KB"
    echo
    echo "The others fetch both from S3, rcbs the metadata from GWS and the voice from S3; all end with the same bytes."
    echo
    table $((2 * recordings)) files $clients aws
    of s5cmd 0.75 0.80
    of rclone
}

case_media() {
    recordings=$(some 10000)
    room $((recordings * 5 * rounds / 10))
    serve --recordings "$recordings" --voice-bytes 150000 --metadata-bytes 10000 --screen-share 0
    counted='! -name *_metadata.json'
    compare "$work/trees" keep $clients
    counted=
    echo "### Media only: $recordings voice files of 150 KB"
    echo
    echo "rcbs lists from GWS and writes the metadata of 10 KB too, which the others do not have; only media are counted."
    echo
    table "$recordings" files $clients
    of s5cmd 1.0 1.35
    of rclone
}

# The keys and lengths of all objects, for the bare loop.
list_keys() {
    s5cmd --endpoint-url "$s3" ls "s3://$bucket/*" | awk '{ print $3, $4 }' >"$work/keys"
}

# Big objects on the disk and on a tmpfs: big MEBIBYTES
big() {
    list_keys
    counted='! -name *_metadata.json'
    room $((2 * $1))
    compare "$work/trees" '' $clients
    table "$1" MiB $clients
    of s5cmd 1.0
    of rclone
    echo
    if [ "$(id -u)" -ne 0 ] || [ "$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)" -lt $(($1 + 2000)) ]; then
        echo "Not measured with the target in memory, for want of root or of memory."
        return
    fi
    mkdir -p "$work/tmpfs"
    mount -t tmpfs -o "size=$(($1 + 500))m" tmpfs "$work/tmpfs"
    tmpfs=$work/tmpfs
    on_disk=$one
    one=$one-in-memory
    compare "$tmpfs" '' rcbs s5cmd bare
    umount "$tmpfs"
    tmpfs=
    echo "With the target in memory; \`bare\` is examples/bare.rs, which only receives and writes:"
    echo
    table "$1" MiB rcbs s5cmd bare
    of s5cmd 1.0
    of bare 1.11
    one=$on_disk
    counted=
}

case_large() {
    files=$(some 8)
    serve --recordings "$files" --voice-bytes 268435456 --metadata-bytes 10000 --screen-share 0
    echo "### Large: $files files of 256 MiB"
    echo
    big $((files * 256))
}
