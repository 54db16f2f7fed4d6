# Lets four instances share a target on a real NFS 4 server, from two clients that remember names each by
# itself, as two machines do. One is killed and taken over by the other client; a second start of the same
# instance and another total are refused across the two. A Linux that runs as a process, Debian's
# user-mode-linux, has the server and the clients: this machine needs neither in its kernel.
#
#     scripts/acceptance nfs
#
# It needs Debian and root, for fetching the packages only: they are unpacked and not installed. Two
# minutes once the program is built.
needs_root_on_debian "Debian's packages are fetched"
[ "$(uname -m)" = x86_64 ] || fail "Debian has user-mode-linux for x86_64 only"
build
tools=$built/acceptance-nfs
if [ ! -x "$tools/root/usr/bin/linux.uml" ]; then
    echo "== Fetching user-mode-linux and the NFS server into $tools"
    rm -rf "$tools"
    mkdir -p "$tools/debs/partial" "$tools/root"
    fetch() {
        timeout 600 apt-get -qq install --download-only --no-install-recommends --reinstall \
            -o Dir::Cache::archives="$tools/debs" user-mode-linux nfs-kernel-server kmod >/dev/null 2>&1
    }
    fetch || { apt-get -qq update && fetch; } || fail "apt-get cannot fetch user-mode-linux and nfs-kernel-server"
    for deb in "$tools"/debs/*.deb; do dpkg -x "$deb" "$tools/root"; done
    mkdir -p "$tools/root/lib"
    ln -sfn ../usr/lib/uml/modules "$tools/root/lib/modules"
    rm -rf "$tools/debs"
fi
begin
truncate -s 1G disk
mkfs.ext4 -q -F disk || fail "there is no mkfs.ext4"

# It sees the files of this machine, read-only, and has the network, the mounts and the processes to itself.
cat >guest <<GUEST
#!/bin/sh
export PATH="$built/debug:$tools/root/usr/sbin:$tools/root/sbin:$tools/root/bin:/usr/sbin:/usr/bin:/sbin:/bin"
libraries="$tools/root/usr/lib/x86_64-linux-gnu:$tools/root/lib/x86_64-linux-gnu"
modules="$tools/root"
GUEST
cat >>guest <<'GUEST'
end() {
    echo "$1"
    echo o >/proc/sysrq-trigger
    sleep 60
}
fail() {
    for log in /run/*.err; do echo "-- $log"; tail -n 5 "$log"; done
    end "FAILED: $1"
}
mount -t proc proc /proc
mount -t sysfs sys /sys
for folder in /run /var/lib; do mount -t tmpfs tmpfs $folder; done
mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs /run/export /run/a /run/b
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
ip link set lo up || fail "there is no network"
# kmod goes by the name that it is called by.
ln -s "$modules/bin/kmod" /run/modprobe
for module in nfsd nfsv4; do
    LD_LIBRARY_PATH=$libraries /run/modprobe -d "$modules" $module || fail "no module $module"
done
mount /dev/ubda /run/export || fail "there is no disk"
mount -t nfsd nfsd /proc/fs/nfsd
served() {
    name=$1
    shift
    LD_LIBRARY_PATH=$libraries "$name" "$@" >"/run/$name.err" 2>&1 || fail "$name: $(cat "/run/$name.err")"
}
served exportfs -i -o rw,no_root_squash,no_subtree_check,fsid=0,insecure,sync '*:/run/export'
served rpc.nfsd --no-nfs-version 3 --grace-time 10 --lease-time 10 8
# Nobody has locks from before.
echo Y >/proc/fs/nfsd/v4_end_grace
served rpc.mountd --no-nfs-version 3
for client in a b; do
    mount -i -t nfs4 -o vers=4.2,nosharecache,addr=127.0.0.1,clientaddr=127.0.0.1 127.0.0.1:/ /run/$client ||
        fail "cannot mount by NFS"
done
echo "kernel $(uname -r): $(grep -c ' nfs4 .*vers=4.2' /proc/mounts) clients by NFS 4.2"

echo "== The world, each object a little late"
cd /run
rcbs-sim serve --recordings 300 --metadata-bytes 2000 --voice-bytes-per-second 40 --screen-bytes-per-second 100 \
    --fault 's3 from=1 delay-ms=60 optional' --write-config . --request-log requests.jsonl >simulator.log &
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    ! grep -qs 'are served' simulator.log || break
    sleep 1
done
. ./environment
echo "downloadMode=single" >>config.properties

# An instance, on one of the two machines.
instance() {
    machine=$1 id=$2 total=$3
    shift 3
    rcbs --config /run/config.properties --set targetDir="/run/$machine/recordings" --set sharedTarget=true \
        --set rcbsInstanceId="$id" --set totalRcbsInstances="$total" "$@"
}
expect() {
    code=$1
    shift
    ended=0
    "$@" >expected.out 2>expected.err || ended=$?
    [ "$ended" -eq "$code" ] || fail "exit $ended where $code was expected: $*: $(tail -n 3 expected.err)"
    echo "exit $code: $(head -n 1 expected.err)"
}
start() {
    instance "$1" "$2" 4 --window-from "/run/$1/windows/window.json" >"$2.out" 2>>"$2.err" &
    eval "run$2=$!"
}
held() { find /run/export/recordings -name '*.bin' ! -path '*/.rcbs/*' 2>/dev/null | wc -l; }

echo "== Four instances from two machines, one of which believes that nothing is there"
mkdir -p a/recordings/.rcbs/instances a/windows
for name in recordings/.rcbs/instances/fleet.json windows/window.json; do
    [ ! -e "b/$name" ] || fail "$name is there already"
done
start a 0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ "$(held)" -lt 3 ] || break
    sleep 1
done
[ "$(held)" -ge 3 ] || fail "the first instance saves nothing"
expect 2 instance b 1 3
expect 5 instance b 0 4
grep -q ': process [0-9]' expected.err || fail "the second machine does not learn who holds the lock"
start b 1
start a 2
start b 3
before=$(held)
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ "$(held)" -lt $((before + 30)) ] || break
    sleep 1
done
kill -KILL "$run1"
wait "$run1"
[ "$(held)" -lt 350 ] || fail "it was killed too late"
echo "instance 1 was killed on the second machine with $(held) media files saved"
# A client that has killed a process may keep its locks for as long as the server lets it.
for seconds in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    start a 1
    ended=0
    wait "$run1" || ended=$?
    [ "$ended" -eq 5 ] || break
    sleep 1
done
[ "$ended" -eq 0 ] || fail "instance 1 ended with $ended on the first machine"
echo "instance 1 went on on the first machine, $seconds seconds later: $(tail -n 1 1.out)"
for id in 0 2 3; do
    eval "wait \$run$id" || fail "instance $id ended with $?"
    tail -n 1 "$id.out"
done

echo "== What there is"
expect 0 instance b 0 4 audit
grep '^Complete: 300 held' expected.out || fail "not all is held"
expect 0 instance a 0 4 check
tail -n 1 expected.out
rcbs --config config.properties --set targetDir=/run/direct >direct.out 2>direct.err || fail "the backup to compare with"
diff -r -x .rcbs -x last_recording_endtime.txt /run/direct /run/export/recordings ||
    fail "what lies on the server is not what there is"
left=$(find /run/export/recordings -name '.nfs*' -o -path '*/staged/*' -o -path '*/.rcbs/old/*')
[ -z "$left" ] || fail "left behind: $left"
python3 - <<'PYTHON' || fail "see above"
import collections, json, sqlite3

opened, known, windows = collections.Counter(), collections.Counter(), set()
for line in open("/run/requests.jsonl"):
    request = json.loads(line)
    if request["route"] == "s3" and request["method"] == "GET" and "/" in (request["key"] or ""):
        opened[request["key"]] += 1
for instance in range(4):
    ledger = sqlite3.connect(f"file:/run/export/recordings/.rcbs/instances/{instance}/ledger.sqlite?mode=ro", uri=True)
    known.update(ledger.execute("SELECT id, started_at FROM recordings"))
    windows.update(to for to, in ledger.execute("SELECT window_to FROM runs"))
assert len(known) == 300 and max(known.values()) == 1, f"{len(known)} recordings are known"
assert len(windows) == 1, f"the windows end at {windows}"
# Once by the fleet, once by the run that is compared with, and what was on its way when one was killed.
twice = sum(1 for times in opened.values() if times > 2)
assert twice <= 40 and max(opened.values()) <= 3, opened.most_common(3)
print(f"one window; {len(opened)} media files, {twice} of them were on their way when an instance was killed")
PYTHON
end "== Accepted"
GUEST
chmod 755 guest

echo "== Linux in a process"
timeout --foreground 600 "$tools/root/usr/bin/linux.uml" mem=1024M ubd0="$work/disk" root=/dev/root \
    rootfstype=hostfs rootflags=/ ro init="$work/guest" con=null con0=null,fd:1 con1=null quiet \
    </dev/null 2>&1 | tee console
grep -q '^== Accepted' console || fail "see above"
