# Durable backups and a million recordings held: cases of scripts/bench, which reads this file.

# One backup into a fresh folder, then whatever is given to flush it: backup NAME FLUSH COMMAND …
backup() {
    name=$1 flush=$2
    shift 2
    target=$work/$name-$round
    if [ -n "$flush" ]; then
        measure "$name" sh -c 'target=$1; shift; "$@" >/dev/null && sync -f "$target"' sh "$work" "$@"
    else
        measure "$name" "$@"
    fi
    held=$(find "$target" -name '*.bin' ! -path '*/.rcbs/*' | wc -l)
    [ "$held" -eq "${files:=$held}" ] || {
        echo "$name: $held media files are held instead of $files" >&2
        cat "$work/err" >&2
        exit 1
    }
}

durability_case() {
    # Starts a command in which all that flushes does nothing and succeeds, at no cost.
    cat >"$work/noflush.c" <<'END'
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fsync, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fdatasync, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_syncfs, 2, 0),
        /* It gives back memory of what is flushed; what is not, it would begin to write. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fadvise64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
    };
    struct sock_fprog filter = { sizeof rules / sizeof *rules, rules };

    if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
        perror("noflush");
        return 1;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
}
END
    cc -o "$work/noflush" "$work/noflush.c"
    recordings=5000 files=
    start_cloud --recordings $recordings --screen-share 0 --voice-bytes-per-second 1000 \
        --metadata-bytes 10000 --kms
    config=$work/cloud/config.properties
    gws=$(property gwsUriPrefix)
    s3=$(property awsEndpointUrl)
    round=0
    while [ $round -lt "$rounds" ]; do
        round=$((round + 1))
        echo "round $round of $rounds" >&2
        backup durable '' rcbs --quiet --config "$config" --set maxAge=5 \
            --set "targetDir=$work/durable-$round"
        backup unflushed sync "$work/noflush" rcbs --quiet --config "$config" --set maxAge=5 \
            --set "targetDir=$work/unflushed-$round"
        backup naive '' "$examples/naive" "$gws" "$s3" "$work/naive-$round" 5
    done
    bytes=$(du -sm --apparent-size "$work/durable-1" | cut -f 1)

    echo "## Durable backups"
    echo
    about_the_machine
    echo "Medians of $rounds rounds, interleaved: $recordings recordings with $files media files, $bytes MiB with their metadata, from the made-up cloud"
    echo "on the same two cores."
    echo
    echo "| a whole backup | time | CPU | memory | rate |"
    echo "|---|---|---|---|---|"
    row '`rcbs`: in groups, verified, with its ledger' durable $recordings recordings
    row 'the same, but nothing is flushed; then one `sync`' unflushed $recordings recordings
    row 'each file flushed by itself (`examples/naive.rs`)' naive $recordings recordings
    echo
    ratio 'of the rate without any flush' unflushed durable 0.9
    ratio 'times as fast as the naive way' naive durable '–'
}

ledger_case() {
    recordings=${count:-1000000}
    start_cloud --recordings "$recordings" --screen-share 0 --voice-bytes-per-second 1 \
        --metadata-bytes 900 --kms --request-log "$work/requests.jsonl"
    target=$work/target
    run() {
        name=$1
        shift
        measure "$name" rcbs --quiet --config "$work/cloud/config.properties" \
            --set "targetDir=$target" --set maxAge=5 --set skipLastRecordingCheck=true "$@"
    }
    run first
    opened() { grep -c '"route":"s3"' "$work/requests.jsonl" || :; }
    before=$(opened)
    run again
    echo "rerun: $(cat "$work/out")" >&2
    [ "$(opened)" -eq "$before" ] || { echo "a rerun has opened media" >&2; exit 1; }
    run audit audit
    tail -n 1 "$work/out" >&2
    run sample check --sample 5000
    cat "$work/out" >&2
    run start --from 2017-01-01 --to 2017-01-02

    echo "## A million recordings"
    echo
    about_the_machine
    echo "$recordings recordings of some hundred bytes, from the made-up cloud on the same two cores; the ledger has" \
        "$(du -m "$target/.rcbs/ledger.sqlite" | cut -f 1) MiB. One round."
    echo
    echo "| over $recordings recordings | time | CPU | memory | rate |"
    echo "|---|---|---|---|---|"
    row 'the first backup' first "$recordings" recordings
    row 'a rerun: all is held, no media is opened' again "$recordings" recordings
    row '`rcbs audit` of all of it' audit "$recordings" recordings
    row '`rcbs check --sample 5000`: all looked at, 5,000 read' sample "$recordings" recordings
    row 'a run over an empty day: start-up' start 1 run
}
