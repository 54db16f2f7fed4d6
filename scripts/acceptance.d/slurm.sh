# Lets a real Slurm run deploy/slurm.sbatch: four tasks in one target, one of which is killed and put
# back into the queue, then three. Audited, and counted by the requests that the simulator has seen.
# Some two minutes.
#
#     scripts/acceptance slurm
#
# It needs Debian and root, and disturbs no other Slurm: its daemons have ports, keys and folders of
# their own and end with it.
needs_root_on_debian "Slurm runs as root"
install_for 'slurm-wlm munge' slurmctld slurmd munged

build
PATH="$PATH:/usr/sbin"
begin
chmod 755 "$work"
show_logs() { tail -n 15 rcbs-*.log slurmctld.log slurmd.log 2>/dev/null || :; }
recordings=600

echo "== The world, each object a little late, so that there is a middle to be killed in"
simulate --recordings "$recordings" --metadata-bytes 2000 --voice-bytes-per-second 40 \
    --screen-bytes-per-second 100 --fault 's3 from=1 delay-ms=60 optional' \
    --write-config . --request-log requests.jsonl
. ./environment
printf 'downloadMode=single\ntargetDir=%s/target\n' "$work" >>config.properties

echo "== Slurm"
mkdir munge state spool log
dd if=/dev/urandom of=munge/munge.key bs=1024 count=1 2>/dev/null
chmod 700 munge
chmod 600 munge/munge.key
host=$(hostname -s)
cat >slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/munge.socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
CONF
export SLURM_CONF="$work/slurm.conf"
munged --force --foreground --key-file="$work/munge/munge.key" --socket="$work/munge/munge.socket" \
    --pid-file="$work/munge/munged.pid" --log-file="$work/munge/munged.log" \
    --seed-file="$work/munge/munged.seed" >munged.out 2>&1 &
started="$! $started"
await 15 "munged does not start" [ -S munge/munge.socket ]
slurmctld -D -c >slurmctld.out 2>&1 &
started="$! $started"
slurmd -D -N "$host" >slurmd.out 2>&1 &
started="$! $started"
is_up() { sinfo -h -o %t 2>/dev/null | grep -qE 'idle|mix|alloc'; }
await 30 "Slurm has no node that is up" is_up

export RCBS_PROGRAM="$built/debug/rcbs" RCBS_CONFIG="$work/config.properties" RCBS_WINDOWS="$work"
job=
submit() {
    job=$(sbatch --parsable --chdir="$work" --time=10 --ntasks=1 "$@" "$sources/deploy/slurm.sbatch")
}
has_ended() { [ -z "$(squeue -h -j "$job" 2>/dev/null)" ]; }
# How many media files one instance has named: its ledger's.
named() {
    python3 - "$work/target/.rcbs/instances/$1/ledger.sqlite" <<'PYTHON'
import sqlite3, sys
try:
    ledger = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=20)
    print(ledger.execute("SELECT count(*) FROM media").fetchone()[0])
except sqlite3.Error:
    print(0)
PYTHON
}

echo "== Four tasks; the second is killed in the middle"
submit --array=0-3
is_in_the_middle() { [ "$(named 1)" -ge 20 ]; }
await 60 "the second task saves nothing" is_in_the_middle
task=$(sed -n 's/^process \([0-9]*\) .*/\1/p' target/.rcbs/instances/1/lock)
[ -n "$task" ] || fail "the lock does not say who holds it"
kill -KILL "$task"
has_failed() { scontrol -o show job "${job}_1" | grep -q 'JobState=FAILED'; }
await 30 "Slurm does not notice that a task was killed" has_failed
echo "task 1 was killed with $(named 1) media files saved"
scontrol requeue "${job}_1"
await 400 "the four tasks do not end" has_ended

finished=$(grep -h '^Finished handling' "rcbs-${job}_0.log" "rcbs-${job}_1.log" "rcbs-${job}_2.log" "rcbs-${job}_3.log")
echo "$finished"
[ "$(echo "$finished" | wc -l)" -eq 4 ] || fail "not each of the four tasks has come to its end once"

echo "== Audited"
share="--set sharedTarget=true --set totalRcbsInstances=4 --set rcbsInstanceId=0"
rcbs --quiet --config config.properties $share audit >audit || { cat audit; fail "the audit ended with $?"; }
grep "^Complete: $recordings held" audit || { cat audit; fail "not all is held"; }
rcbs --quiet --config config.properties check >check || { cat check; fail "the check ended with $?"; }

# By the log: nothing came twice but what was on its way when the task was killed; by the ledgers: all
# four had one window, and every recording is known to one of them.
python3 - "$work" "$recordings" 4 "$job" <<'PYTHON' || fail "see above"
import collections, json, pathlib, sqlite3, sys

work, recordings, total, job = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
opened = collections.Counter()
for line in open(work / "requests.jsonl"):
    request = json.loads(line)
    if request["route"] == "s3" and request["method"] == "GET" and "/" in (request["key"] or ""):
        opened[request["key"]] += 1
known, windows = collections.Counter(), set()
for instance in range(total):
    ledger = sqlite3.connect(f"file:{work}/target/.rcbs/instances/{instance}/ledger.sqlite?mode=ro", uri=True)
    known.update(ledger.execute("SELECT id, started_at FROM recordings"))
    runs = ledger.execute("SELECT window_to, exit_code FROM runs ORDER BY key").fetchall()
    windows.update(to for to, _ in runs)
    print(f"instance {instance}: runs {[code for _, code in runs]}")
twice = sum(1 for times in opened.values() if times > 1)
print(f"media files opened: {len(opened)}, of them twice: {twice}, more often: "
      f"{sum(1 for times in opened.values() if times > 2)}")
assert len(known) == recordings, f"{len(known)} recordings are known of {recordings}"
assert max(known.values()) == 1, "two instances have the same recording"
assert max(opened.values()) <= 2, "something came more than twice"
# One at a time was on its way, and a group of some hundred files on its way to the disk.
assert twice <= 100, f"{twice} media files came twice"
manifest = json.load(open(work / f"window-{job}.json"))
assert manifest["run"] == job and manifest["instances"] == total, manifest
assert len(windows) == 1, f"the windows end at {windows}"
PYTHON

echo "== Three tasks, whose ids begin at 10: nothing is fetched again"
before=$(grep -c '"route":"s3"' requests.jsonl)
submit --array=10-12
await 200 "the three tasks do not end" has_ended
finished=$(grep -h '^Finished handling' "rcbs-${job}_10.log" "rcbs-${job}_11.log" "rcbs-${job}_12.log")
echo "$finished"
[ "$(echo "$finished" | grep -c 'downloaded files: 0 ')" -eq 3 ] || fail "not all three have ended well"
[ "$(grep -c '"route":"s3"' requests.jsonl)" -eq "$before" ] || fail "something was fetched again"
share="--set sharedTarget=true --set totalRcbsInstances=3 --set rcbsInstanceId=0"
rcbs --quiet --config config.properties $share audit >audit || { cat audit; fail "the audit ended with $?"; }
rcbs --quiet --config config.properties check >check || { cat check; fail "the check ended with $?"; }
tail -n 1 audit check
echo "== Accepted"
