# The cases of scripts/bench peers: each starts a cloud, lets the clients fetch it, and prints its table.

case_same() {
    recordings=$(some 10000)
    room $((recordings * 6 / 10))
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
    room $((recordings * 5 / 10 + 10))
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
    without_sums s5cmd 1.05
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
    # Each tree is removed once it is counted: a few files, and no trouble for the next.
    room $(($1 / rounds + 100))
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

case_huge() {
    bytes=$((5368709120 / share))
    serve --recordings 1 --voice-bytes $bytes --metadata-bytes 10000 --screen-share 0
    echo "### One huge file: $((bytes / 1048576)) MiB"
    echo
    big $((bytes / 1048576))
}

case_mixed() {
    recordings=$(some 4000)
    room $((recordings * 2))
    serve --recordings "$recordings" --voice-bytes 150000 --screen-bytes 8000000 --screen-share 0.05 \
        --metadata-bytes 10000 --metadata-objects
    compare "$work/trees" keep $clients
    echo "### Mixed: $recordings recordings of 150 KB with their metadata, and a screen recording of 8 MB with 5 % of them"
    echo
    table "${there% *}" files $clients
    of s5cmd
    of rclone
}

case_far() {
    recordings=$(some 5000)
    room $((recordings * 5 / 10 + 10))
    serve --recordings "$recordings" --voice-bytes 150000 --metadata-bytes 10000 --screen-share 0 \
        --metadata-objects --fault 'any delay-ms=50'
    compare "$work/trees" keep $clients
    echo "### Far away: $recordings recordings as in the same tree, and every answer 50 ms later"
    echo
    table $((2 * recordings)) files $clients
    of s5cmd 0.80
    of rclone
    figures rcbs 1 | awk -v count="$recordings" '{
        printf "- wall of rcbs against requests × 50 ms / 96 in flight: %.2f, wanted: at most 1.15\n", $1 / (count * 0.05 / 96)
    }'
}

# A link is made of the loopback of a network namespace; what it lets through is counted in both directions.
case_link() {
    recordings=$(some 2000)
    mbit=200
    if [ "$(id -u)" -ne 0 ] || ! command -v tc >/dev/null; then
        echo "A link with a limit was not measured: it takes root and the command tc."
        return
    fi
    room $((recordings * 5 / 10 + 10))
    namespace=rcbs-bench-$$
    ip netns add "$namespace"
    inside="ip netns exec $namespace"
    $inside ip link set lo up
    $inside tc qdisc add dev lo root tbf rate ${mbit}mbit burst 256kb latency 100ms
    serve --recordings "$recordings" --voice-bytes 150000 --metadata-bytes 10000 --screen-share 0 --metadata-objects
    compare "$work/trees" keep $clients
    inside=
    echo "### On a link of $mbit Mbit/s: $recordings recordings as in the same tree"
    echo
    table $((2 * recordings)) files $clients
    of s5cmd
    figures rcbs 1 | awk -v bytes="${there#* }" -v mbit=$mbit '{
        printf "- wall of rcbs against bytes through link: %.2f, wanted: at most 1.05\n", $1 / (bytes * 8 / mbit / 1000000)
    }'
}

case_metadata() {
    recordings=$(some 100000)
    room $((recordings / 10))
    # One byte of voice, so that only the metadata count; the others fetch nothing else.
    wanted='*_metadata.json'
    serve --recordings "$recordings" --voice-bytes 1 --metadata-bytes 30000 --screen-share 0 --metadata-objects
    metadata_only=yes
    compare "$work/trees" keep rcbs s5cmd
    metadata_only= wanted=
    echo "### Metadata only: $recordings recordings of 30 KB"
    echo
    echo "s5cmd fetches the same files from S3, and lists the media beside them."
    echo
    table "$recordings" files rcbs s5cmd
    of s5cmd
}

# Notes the figures of a command as fetch does: noted NAME COMMAND …
noted() {
    name=$1
    shift
    sync
    /usr/bin/time -o "$work/all" -f '%e %e %U %S %M' "$@" >"$work/out" 2>"$work/err" || {
        tail -n 5 "$work/err" "$work/out" >&2
        exit 1
    }
    cat "$work/all" >>"$work/$one.$name"
}

case_rerun() {
    echo "### Nothing new"
    echo
    echo "All is held, and a run finds that out; \`pages\` is examples/pages.rs, which reads the same pages and parses them" \
        "with serde_json into values, or only checks that they are JSON."
    : >"$work/growth"
    for recordings in $(some 1000) $(some 10000) $(some 100000) $(some 1000000); do
        one=rerun-$recordings
        room $((recordings * 12 / 1000 / rounds + 1))
        prepare --recordings "$recordings" --voice-bytes 1 --metadata-bytes 900 --screen-share 0 \
            --request-log "$work/requests.jsonl"
        set -- rcbs --quiet --config "$work/cloud/config.properties" --set maxAge=5 --set skipLastRecordingCheck=true \
            --set "targetDir=$work/trees/$one"
        noted first "$@"
        opened() { grep -c '"route":"s3"' "$work/requests.jsonl" || :; }
        before=$(opened)
        round=0
        while [ $round -lt $times ]; do
            round=$((round + 1))
            echo "$one: round $round of $times" >&2
            noted rcbs "$@"
            for how in value skip; do
                noted "pages-$how" "$examples/pages" "$gws" 0 4102444800000 $how
                [ "$(cat "$work/out")" = "$recordings records" ]
            done
        done
        [ "$(opened)" -eq "$before" ] || { echo "a rerun has opened media" >&2; exit 1; }
        for client in first rcbs; do
            echo "$(figures $client 1) $(figures $client 3) $(figures $client 4) $(figures $client 5)"
        done | awk -v count="$recordings" '{
            cells = cells sprintf(" %.2f s | %.0f µs | %.0f MiB |", $1, ($4 + $7) * 1000000 / count, $10 / 1024)
        } END { print "| " count " |" cells }' >>"$work/growth"
        [ "$recordings" -ge $(some 100000) ] || continue
        echo
        echo "Over $recordings recordings of 900 bytes:"
        echo
        table "$recordings" recordings rcbs pages-value pages-skip
        of pages-value 2.0
        of pages-skip
    done
    echo
    echo "### How it grows"
    echo
    echo "The same recordings of 900 bytes, each with a media file of one byte: saved once, and found to be held by a rerun."
    echo
    echo "| recordings | saved | CPU of each | peak memory | rerun | CPU of each | peak memory |"
    echo "|---|---|---|---|---|---|---|"
    cat "$work/growth"
}

# An independent server: Garage, which scripts/acceptance garage builds.
case_garage() {
    PATH="$PATH:$built/../acceptance/bin"
    if ! command -v garage >/dev/null; then
        echo "Garage was not measured: \`scripts/acceptance garage\` builds it."
        return
    fi
    world="--transfer-share 0 --tree-keys --metadata-bytes 10000 --screen-share 0"
    export GARAGE_DEFAULT_ACCESS_KEY=GK0123456789abcdef01234567 GARAGE_DEFAULT_BUCKET=recordings-usw1
    GARAGE_DEFAULT_SECRET_KEY=$(openssl rand -hex 32)
    export GARAGE_DEFAULT_SECRET_KEY
    # Garage takes fixed ports only.
    cat >"$work/garage.toml" <<TOML
metadata_dir = "$work/garage/meta"
data_dir = "$work/garage/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:39001"
rpc_public_addr = "127.0.0.1:39001"
rpc_secret = "$(openssl rand -hex 32)"
[s3_api]
s3_region = "us-west-2"
api_bind_addr = "127.0.0.1:39000"
root_domain = ".s3.localhost"
TOML
    counted='! -name *_metadata.json'
    for kind in media large; do
        one=garage-$kind
        rm -rf "$work/garage" "$work/objects"
        # Once exported, once more in the store, and what the clients fetch: of large files one tree at a time.
        if [ $kind = media ]; then
            objects=$(some 5000) size=150000
            room $((objects * 8 / 10))
        else
            objects=$(some 8) size=268435456
            room $((objects * 900 / rounds + 100))
        fi
        prepare --recordings "$objects" --voice-bytes $size --metadata-bytes 10000 --screen-share 0
        rcbs-sim export $world --recordings "$objects" --voice-bytes $size "$work/objects"
        garage -c "$work/garage.toml" server --single-node --default-bucket >"$work/garage.log" 2>&1 &
        garage=$!
        for _ in $(seq 100); do
            grep -qs 'S3 API server listening' "$work/garage.log" && break
            sleep 0.1
        done
        s3=http://127.0.0.1:39000
        AWS_ACCESS_KEY_ID=$GARAGE_DEFAULT_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$GARAGE_DEFAULT_SECRET_KEY
        export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
        s5cmd --endpoint-url $s3 --log error cp "$work/objects/$bucket/" "s3://$bucket/"
        look
        if [ $kind = media ]; then
            compare "$work/trees" keep $clients
            echo "### From Garage: $objects voice files of 150 KB"
            echo
            table "$objects" files $clients
        else
            compare "$work/trees" '' $clients
            echo
            echo "### From Garage: $objects files of 256 MiB"
            echo
            table $((objects * 256)) MiB $clients
        fi
        of s5cmd
        kill $garage
        wait $garage || :
        garage=
    done
    counted=
}
