# Opening recordings and checking keys: cases of scripts/bench, which reads this file.

# The key pairs that recordings are sealed for, in $work/keys.
make_keys() {
    mkdir "$work/keys"
    for tenant in "$@"; do
        openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=Made-up $tenant" \
            -keyout "$work/keys/$tenant.key" -out "$work/keys/$tenant.pem" 2>/dev/null
    done
}

# Makes one recording: seal FOLDER TENANT, of what is in $work/plain.
seal() {
    id=${1##*/}
    mkdir -p "$1"
    echo "{\"id\":\"$id\",\"startTime\":\"2018-02-12T19:03:11.000+0000\"}" >"$1/${id}_metadata.json"
    openssl cms -encrypt -binary -aes128 -outform DER -in "$work/plain" \
        -out "$1/${id}_voice.mp3.bin" "$work/keys/$2.pem"
}

# Makes $work/hour, a hundred recordings with an envelope each, for the tenants in turn.
make_hour() {
    for n in $(seq -w 0 99); do
        seal "$work/hour/REC$n" "$1"
        set -- "$@" "$1"
        shift
    done
}

decrypt_case() {
    make_keys tenant
    head -c 150000 /dev/urandom >"$work/plain"
    make_hour tenant
    for hour in $(seq -w 0 49); do
        mkdir -p "$work/tree/2018/02"
        cp -R "$work/hour" "$work/tree/2018/02/$hour"
    done
    head -c 2G /dev/zero | openssl cms -encrypt -binary -stream -aes256 -outform DER \
        -out "$work/huge.mp4.bin" "$work/keys/tenant.pem"
    sync
    files=5000
    key=$work/keys/tenant.key

    # What an operator would write without the program; nothing of it is flushed.
    cat >"$work/loop.sh" <<'END'
n=0
find "$1" -name '*.bin' | while read -r file; do
    n=$((n + 1))
    openssl cms -decrypt -inform DER -binary -in "$file" -inkey "$3" -out "$2/$n" </dev/null
done
END
    cat >"$work/xargs.sh" <<'END'
find "$1" -name '*.bin' | xargs -P2 -I{} openssl cms -decrypt -inform DER -binary -in {} \
    -inkey "$3" -out "$2/{}"
END
    round=0
    while [ $round -lt "$rounds" ]; do
        round=$((round + 1))
        echo "round $round of $rounds" >&2
        # Everything stays until the end: ext4 is slow to make files where many were just removed.
        out=$work/round$round
        mkdir -p "$out/loop" "$out/xargs"
        measure loop sh "$work/loop.sh" "$work/tree" "$out/loop" "$key"
        complete "$files" "$out/loop"
        # The same layout, as xargs has no other way to name the output.
        (cd "$work" && find tree -type d) | sed "s|^|$out/xargs/|" | xargs mkdir -p
        (cd "$work" && measure xargs sh "$work/xargs.sh" tree "$out/xargs" "$key")
        complete "$files" "$out/xargs"
        measure rcbs rcbs decrypt --quiet --media-only --keys "$key" --out "$out/rcbs" "$work/tree"
        complete "$files" "$out/rcbs"
        measure rcbs-all rcbs decrypt --quiet --keys "$key" --out "$out/rcbs-all" "$work/tree"
        complete "$files" "$out/rcbs-all"

        measure copy sh -c 'cp "$1" "$2" && sync "$2"' sh "$work/huge.mp4.bin" "$out/copy"
        measure huge rcbs decrypt --quiet --keys "$key" --out "$out/huge" "$work/huge.mp4.bin"
        [ "$(wc -c <"$out/huge/huge.mp4")" -eq 2147483648 ]
        openssl speed -evp aes-256-cbc -decrypt -bytes 16384 -seconds 2 2>/dev/null |
            awk 'END { print 2147483648 / ($NF * 1000), 0, 0 }' >>"$work/cipher"
    done

    echo "## Opening recordings"
    echo
    about_the_machine
    echo "Medians of $rounds rounds, interleaved. rcbs flushes what it writes, the others do not."
    echo
    echo "| 5,000 recordings of 150 KB | time | CPU | memory | rate |"
    echo "|---|---|---|---|---|"
    row 'a loop over `openssl cms -decrypt`' loop $files files
    row '`xargs -P2 openssl cms -decrypt`' xargs $files files
    row '`rcbs decrypt --media-only`' rcbs $files files
    row '`rcbs decrypt`, metadata too' rcbs-all $files files
    echo
    ratio 'times as fast as the loop' loop rcbs 15
    ratio 'times as fast as `xargs -P2`' xargs rcbs 8
    echo
    echo "| one recording of 2 GiB | time | CPU | memory | rate |"
    echo "|---|---|---|---|---|"
    row '`openssl speed -evp aes-256-cbc -decrypt`, nothing read or written' cipher 2048 MiB
    row '`cp` and `sync` of the file' copy 2048 MiB
    row '`rcbs decrypt`' huge 2048 MiB
    echo
    slower=copy
    [ "$(printf '%s\n%s\n' "$(median copy 1)" "$(median cipher 1)" | sort -n | tail -n 1)" = \
        "$(median copy 1)" ] || slower=cipher
    ratio "of what the slower of cipher and disk allows ($slower)" $slower huge 0.7
}

# Checks that so many files were opened: complete COUNT FOLDER
complete() {
    opened=$(find "$2" -type f ! -path '*/.rcbs/*' -size 150000c | wc -l)
    [ "$opened" -eq "$1" ] || {
        echo "$opened of $1 files were opened" >&2
        cat "$work/err" >&2
        exit 1
    }
}

keys_case() {
    make_keys old new gone
    head -c 1000 /dev/zero >"$work/plain"
    make_hour old new
    for day in $(seq -w 0 99); do
        mkdir -p "$work/tree/2018/$day"
        for hour in $(seq -w 0 9); do
            cp -R "$work/hour" "$work/tree/2018/$day/$hour"
        done
    done
    for day in 11 50 98; do
        seal "$work/tree/2018/$day/5/REC50" gone
    done
    sync
    round=0
    while [ $round -lt "$rounds" ]; do
        round=$((round + 1))
        echo "round $round of $rounds" >&2
        # With their certificates, and then without, when the keys have to be tried.
        check named old.key old.pem new.key new.pem
        check tried old.key new.key
    done
    operations=$(openssl speed -seconds 2 rsa2048 2>/dev/null | awk 'END { print $6 }')

    echo "## Checking keys"
    echo
    about_the_machine
    echo "Medians of $rounds rounds, interleaved. One core does $operations operations with an RSA-2048 key a second, and"
    echo "each recording takes one. In every run the three recordings whose key is not there were named."
    echo
    echo "| 100,000 recordings | time | CPU | memory | rate |"
    echo "|---|---|---|---|---|"
    row '`rcbs keys check`, keys with certificates' named 100000 files
    row '`rcbs keys check`, keys to be tried' tried 100000 files
}

# Measures one check: check NAME KEY_FILE …
check() {
    name=$1
    shift
    for file in "$@"; do
        set -- "$@" --keys "$work/keys/$file"
        shift
    done
    code=0
    measure "$name" rcbs keys check --quiet "$@" "$work/tree" || code=$?
    named=$(grep -c '/5/REC50/REC50_voice.mp3.bin: no key for serial .* of CN=Made-up gone' "$work/out")
    if [ $code -ne 3 ] || [ "$named" -ne 3 ]; then
        echo "exit $code, $named of three named" >&2
        exit 1
    fi
}
