# Lets Debian's cron run the line that `rcbs schedule cron` prints, against the simulator, and reads
# the metrics with Prometheus' own parser. Some four minutes, as cron runs a line once a minute.
#
#     scripts/acceptance cron
#
# It needs Debian and root, and disturbs nobody: cron is unpacked and not installed, and runs with
# spool, /run and PAM's configuration of its own, in namespaces that end with it.
needs_root_on_debian "Debian's cron runs as root"

build
tools=$built/acceptance-cron
mkdir -p "$tools"
if [ ! -x "$tools/cron/usr/sbin/cron" ]; then
    echo "== Fetching Debian's cron into $tools"
    (cd "$tools" && { apt-get -qq download cron 2>/dev/null || { apt-get -qq update && apt-get -qq download cron; }; } &&
        dpkg -x cron_*.deb cron)
fi
if [ ! -x "$tools/python/bin/python" ]; then
    echo "== Installing the Prometheus client into $tools"
    python3 -m venv "$tools/python"
    timeout 300 "$tools/python/bin/pip" --quiet install prometheus_client==0.23.1
fi

begin
cron=
# It ignores other signals while it waits for cron, which goes with it.
stop_more() { [ -z "$cron" ] || stop "$cron" KILL; }
show_logs() { tail -n 20 rcbs.log "$work/cron.log" 2>/dev/null || :; }

# What cron, the shell and sed would take for something else.
home="$work/it's 100% \"sure\" & \$HOME"
mkdir "$home" "$home/metrics"
cp "$built/debug/rcbs" "$home/rcbs 1%"
cd "$home"

# So many runs have ended with this exit code, by the log.
ended() {
    [ "$(grep -c " exit code $2\$" rcbs.log)" -ge "$1" ]
}

echo "== The world, from the simulator"
simulate --recordings 120 --metadata-bytes 4000 \
    --voice-bytes-per-second 400 --screen-bytes-per-second 1000 --write-config .
# The simulator writes the dates of its world, which would make it a one-time export.
sed -i '/^m[ai][xn]Date=/d' config.properties
cat >>config.properties <<'PROPERTIES'
maxAge=5
logFile=rcbs.log
metricsFile=metrics/rcbs.prom
retentionDays=30
PROPERTIES
chmod 600 environment
(
    . ./environment
    timeout 120 rcbs --config config.properties --set targetDir=direct --set logFile= --set metricsFile= >/dev/null 2>&1
) || fail "the backup by hand ended with $?"
media=$(find direct -name '*.bin' | wc -l)
[ "$media" -gt 100 ] || fail "there is little to save"

echo "== The line"
"./rcbs 1%" schedule cron --every 1m >"$work/crontab" 2>"$work/warnings" || fail "no line was printed"
tail -n 1 "$work/crontab"

echo "== Debian's cron runs it"
mkdir "$work/pam"
cp /etc/pam.d/common-* "$work/pam"
cp "$tools/cron/etc/pam.d/cron" "$work/pam/cron"
cat >"$work/namespace" <<'NAMESPACE'
set -eu
mount -t tmpfs none /run
mount -t tmpfs none /var/spool
mount --bind "$work/pam" /etc/pam.d
for folder in /etc/cron.d; do [ ! -d $folder ] || mount -t tmpfs none $folder; done
[ ! -f /etc/crontab ] || mount --bind /dev/null /etc/crontab
mkdir -p /var/spool/cron/crontabs
install -m 600 "$work/crontab" /var/spool/cron/crontabs/root
exec timeout -s KILL 900 "$tools/cron/usr/sbin/cron" -f
NAMESPACE
work=$work tools=$tools unshare --mount --pid --fork --kill-child --mount-proc \
    sh "$work/namespace" >"$work/cron.log" 2>&1 &
cron=$!
await 100 "cron has run no backup to its end" ended 1 0
diff -r -x .rcbs -x last_recording_endtime.txt direct target || fail "what cron saved is not what there is"
echo "$(find target -name '*.bin' | wc -l) media files, $(grep 'Finished handling' rcbs.log | tail -n 1)"

echo "== The metrics, by Prometheus' parser"
"$tools/python/bin/python" - "$media" <<'PYTHON' || fail "the metrics are not what the run did"
import os, sys, time
from prometheus_client.parser import text_string_to_metric_families
text = open("metrics/rcbs.prom").read()
found = {}
for family in text_string_to_metric_families(text):
    assert family.type == "gauge" and family.documentation, family
    for sample in family.samples:
        labels = dict(sample.labels)
        assert labels.pop("instance_id") == "0" and labels.pop("total") == "1", sample
        found[(sample.name, *labels.values())] = sample.value
media = int(sys.argv[1])
assert found[("rcbs_last_run_exit_code",)] == 0, found
assert found[("rcbs_held_files",)] == media, found
assert found[("rcbs_held_recordings",)] == 120, found
files = {kind: found[("rcbs_last_run_files", kind)] for kind in ("downloaded", "skipped", "failed")}
# A later run lists no more than the overlap.
assert 0 < sum(files.values()) <= media and files["failed"] == 0, files
deadline = found[("rcbs_retention_deadline_timestamp_seconds",)]
assert abs(deadline - found[("rcbs_watermark_timestamp_seconds",)] - 30 * 86400) < 1, found
assert found[("rcbs_last_success_timestamp_seconds",)] == found[("rcbs_last_run_timestamp_seconds",)]
assert abs(time.time() - found[("rcbs_last_run_timestamp_seconds",)]) < 120, found
assert os.stat("metrics/rcbs.prom").st_mode & 0o777 == 0o644
print(len(found), "values, all as they should be")
PYTHON

echo "== While another run holds the target"
mv target away
(
    . ./environment
    exec timeout 300 rcbs --config config.properties --set logFile= --set metricsFile= --bandwidth 2K >"$work/slow.log" 2>&1
) &
slow=$!
started="$slow $started"
await 20 "the slow run did not begin" grep -q 'Backing up' "$work/slow.log"
await 100 "cron's run has not ended with exit code 5" ended 1 5
kill -0 "$slow" 2>/dev/null || fail "the slow run was disturbed"
grep -q 'another run holds' rcbs.log || fail "the log does not say why"
kill "$slow" 2>/dev/null || :
stop "$slow"
before=$(grep -c ' exit code 0$' rcbs.log)
await 100 "cron has not completed what was stopped" ended $((before + 1)) 0
diff -r -x .rcbs -x last_recording_endtime.txt direct target || fail "what was completed is not what there is"
echo "exit code 5 while it was held; completed afterwards"
echo "== Accepted"
