# Builds rcbs.exe with Debian's Rust and mingw, and lets it back up the simulator's world under wine. What it
# saves is compared with what the Linux program saves, byte for byte; it is killed in the middle, given paths
# that are longer than Windows takes by itself, and names that Windows has for devices.
#
#     scripts/acceptance windows
#
# It needs Debian with Python, rustc-web of 1.95 or newer, and root for installing that, mingw and wine. The first
# time it builds Rust's standard library, OpenSSL and the program: half an hour. Where something cannot be
# had it says what, and ends with exit code 1. Wine is not Windows: docs/windows.md says what that leaves open.
openssl=300.5.4
target=x86_64-pc-windows-gnu
gcc=x86_64-w64-mingw32-gcc

stopped() {
    echo "STOPPED, so that nothing was tried under wine: $1" >&2
    exit 1
}

command -v apt-get >/dev/null || stopped "this is not Debian, whose rustc-web, mingw and wine it takes"
has_wine() { command -v wine64 >/dev/null || [ -x /usr/lib/wine/wine64 ]; }
if [ ! -x /usr/bin/rustc ] || [ ! -d /usr/lib/rustlib/src ] || ! command -v "$gcc" >/dev/null || ! has_wine; then
    [ "$(id -u)" = 0 ] ||
        stopped "rustc-web, cargo-web, rust-web-src, gcc-mingw-w64-x86-64 or wine64 is missing, and only root installs them"
    echo "== Installing rustc-web, mingw and wine"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive timeout 1800 apt-get -qq install --no-install-recommends \
        rustc-web cargo-web rust-web-src gcc-mingw-w64-x86-64 perl make wine64 >/dev/null ||
        stopped "apt-get cannot install rustc-web, cargo-web, rust-web-src, gcc-mingw-w64-x86-64 and wine64"
fi
# Another edition of the language than the compiler knows would be a riddle later.
/usr/bin/rustc --version | awk '{ split($2, part, "."); exit !(part[1] > 1 || part[2] >= 95) }' ||
    stopped "Debian's $(/usr/bin/rustc --version) is older than 1.95"

build
tools=$built/acceptance-windows
mkdir -p "$tools"

if [ ! -f "$tools/openssl/lib/libcrypto.a" ]; then
    echo "== Building OpenSSL for Windows"
    rm -rf "$tools/fetch" "$tools/build"
    mkdir -p "$tools/fetch/src" "$tools/build"
    # cargo fetches the sources and checks them; the package's own way of building is not used.
    printf '[package]\nname = "fetch"\nedition = "2024"\n[dependencies]\nopenssl-src = "=%s"\n[workspace]\n' \
        "$openssl" >"$tools/fetch/Cargo.toml"
    : >"$tools/fetch/src/lib.rs"
    (cd "$tools/fetch" && timeout 300 cargo vendor --quiet vendor >/dev/null) ||
        stopped "cargo cannot fetch the sources of OpenSSL (openssl-src $openssl)"
    (
        cd "$tools/build"
        # What envelopes and certificates need; TLS is the system's own on Windows. It reads no settings:
        # the path that it would look for them under is one of this machine, which anybody could make there.
        perl "$tools/fetch/vendor/openssl-src/openssl/Configure" mingw64 "--cross-compile-prefix=${gcc%gcc}" \
            "--prefix=$tools/openssl" --libdir=lib no-shared no-tests no-apps no-docs no-dso no-engine no-module \
            no-quic no-autoload-config >configure.log 2>&1 &&
            timeout 3000 make -j"$(nproc)" build_libs >make.log 2>&1 && make install_dev >install.log 2>&1
    ) || {
        tail -n 5 "$tools"/build/*.log >&2
        stopped "OpenSSL does not build with mingw; see $tools/build"
    }
    rm -rf "$tools/build" "$tools/fetch"
fi

echo "== Building rcbs.exe, with Debian's $(/usr/bin/rustc --version)"
RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 PATH=/usr/bin:/bin CARGO_TARGET_DIR="$tools/target" \
    OPENSSL_DIR="$tools/openssl" OPENSSL_STATIC=1 timeout 5400 /usr/bin/cargo build --locked --bin rcbs \
    -Zbuild-std=std,panic_abort --target "$target" || stopped "rcbs.exe cannot be built"

begin
# Wine's own server and services end with its last program, but not at once.
export WINEPREFIX="$work/wine" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml=' DISPLAY=
wine=$(command -v wine64 || echo /usr/lib/wine/wine64)
wineserver=$(command -v wineserver || echo /usr/lib/wine/wineserver64)
stop_more() { [ ! -d "$WINEPREFIX" ] || timeout 60 "$wineserver" -k 2>/dev/null || :; }

echo "== Wine"
# Wine without its wrapper does not know where its server is.
export WINESERVER="$wineserver"
mkdir "$WINEPREFIX"
# It waits for longer than usual for the next program: one that comes just when it ends would fail.
timeout 60 "$wineserver" -p60 || stopped "wine's server does not start"
timeout 300 "$wine" wineboot --init >wineboot.log 2>&1 || stopped "wine cannot make its folder: $(tail -n 1 wineboot.log)"
cp "$tools/target/$target/debug/rcbs.exe" .
if ! find "$WINEPREFIX/drive_c/windows" -iname bcryptprimitives.dll | grep -q .; then
    # Random numbers, as Rust asks Windows for them; older versions of wine have no such library.
    cat >random.c <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length) {
    return SystemFunction036(buffer, (ULONG)length);
}
C
    "$gcc" -shared -o bcryptprimitives.dll random.c -ladvapi32
fi
# Bounded, like everything here: the program, with its messages where they can be looked at.
exe() {
    timeout 600 "$wine" rcbs.exe "$@"
}
exe --version >version 2>&1 || {
    cat version >&2
    stopped "rcbs.exe does not start under wine"
}
cat version

# Starts the simulator with its requests in this log, and waits until it is ready.
serve() {
    rcbs-sim serve --recordings 300 --metadata-bytes 4000 --voice-bytes-per-second 400 \
        --screen-bytes-per-second 2000 --form attached,attached-ber,detached --recipients 3 \
        --id CON --id nul.txt --id 'COM1' --id 'ends with a dot.' --id 'a:b*c?d' --id ÄÖÜ \
        --write-config . --request-log "$1" >simulator.log &
    simulator=$!
    started="$! $started"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        if grep -qs 'are served' simulator.log; then return; fi
        kill -0 "$simulator" 2>/dev/null || break
        sleep 1
    done
    fail "the simulator did not become ready"
}
# The media files that were opened, by the log of requests.
opened() {
    awk '/"route":"s3","method":"GET"/ && /"key":"[^"\/]+\// { opened++ } END { print opened + 0 }' requests.jsonl
}
# Where a path of Windows lies here: on drive C:, or on the share //server/recordings.
here() {
    case $1 in
    //*) echo "$WINEPREFIX/dosdevices/unc/${1#//}" ;;
    *) echo "$drive/${1#C:/}" ;;
    esac
}
# Backs up to a folder, a path of Windows with `/`.
backup() {
    to=$1
    shift
    ended=0
    exe --config config.properties --set targetDir="$to" "$@" >out 2>err || ended=$?
}
saved() {
    [ "$ended" -eq 0 ] || { cat out err >&2; fail "the backup to $1 ended with $ended"; }
    diff -r -x .rcbs -x last_recording_endtime.txt linux "$(here "$1")" ||
        fail "$1 is not what the Linux program saves"
    echo "$(echo "$1" | cut -c 1-40): $(find "$(here "$1")" -name '*.bin' | wc -l) media files, $(grep 'Finished handling' out)"
}
# A run of this backup must not have opened a media file again.
nothing_again() {
    [ "$(opened)" -eq "$before" ] || fail "$1 opened media again"
}
check() {
    exe --config config.properties --set targetDir="$1" check >checked 2>&1 ||
        { cat checked >&2; fail "the check of $1 ended with $?"; }
}
# Starts a slow run to C:/$1 in the background, and waits until it has saved so many media files.
slowly() {
    "$wine" rcbs.exe --config config.properties --set targetDir="C:/$1" --bandwidth 200K --quiet >slow.out 2>&1 &
    slow=$!
    started="$slow $started"
    left=60
    until [ "$(find "$drive/$1" -name '*.bin' 2>/dev/null | wc -l)" -ge "$2" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { cat slow.out >&2; fail "the slow run has saved next to nothing in a minute"; }
        kill -0 "$slow" 2>/dev/null || break
        sleep 1
    done
    kill -0 "$slow" 2>/dev/null || { cat slow.out >&2; fail "the slow run ended by itself"; }
}
drive=$WINEPREFIX/drive_c

echo "== A backup by the Linux program, to compare with"
serve requests.jsonl
. ./environment
timeout 300 rcbs --config config.properties --set targetDir=linux >linux.out 2>&1 ||
    { cat linux.out >&2; fail "the Linux program ended with $?"; }
media=$(find linux -name '*.bin' | wc -l)
[ "$media" -gt 300 ] || fail "there is little to save"

echo "== The same by rcbs.exe: a media file, a reserved name, the ledger"
backup C:/backup/recordings
saved C:/backup/recordings
[ -n "$(find "$drive/backup/recordings" -path '*%43ON*' -name '*.bin')" ] || fail "the recording CON is not there"
before=$(opened)
backup C:/backup/recordings
saved C:/backup/recordings
nothing_again "the second run"
check C:/backup/recordings
tail -n 1 checked

echo "== Begun here and continued there"
cp -r linux "$drive/begun"
backup C:/begun
saved C:/begun
nothing_again "rcbs.exe, where the Linux program had begun,"
check C:/begun
cp -r "$drive/backup/recordings" continued
timeout 300 rcbs --config config.properties --set targetDir=continued >out 2>err ||
    { cat out err >&2; fail "the Linux program does not continue what rcbs.exe has begun: $?"; }
nothing_again "the Linux program, where rcbs.exe had begun,"
timeout 300 rcbs --config config.properties --set targetDir=continued check >checked 2>&1 ||
    { cat checked >&2; fail "the Linux program's check of what rcbs.exe has saved ended with $?"; }

echo "== Opened, and compared with what the Linux program opens"
rcbs --config config.properties --set targetDir=linux decrypt --keys keys --out linux-opened >/dev/null 2>decrypted ||
    { cat decrypted >&2; fail "the Linux program does not open its own"; }
exe --config config.properties --set targetDir=C:/backup/recordings decrypt --keys keys --out C:/opened >/dev/null 2>decrypted ||
    { cat decrypted >&2; fail "rcbs.exe cannot open what it has saved"; }
diff -r -x .rcbs linux-opened "$drive/opened" || fail "what rcbs.exe opens is something else"
[ "$(find "$drive/opened" -name '*.mp3' | wc -l)" -gt 300 ] || fail "little was opened"
echo "$(find "$drive/opened" -path '*/20*' -type f | wc -l) files"

mkdir -p "$(here //server/recordings)"
long=
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
    long=$long/a-folder-with-a-name-of-some-hundred-characters-so-that-the-path-becomes-longer-than-windows-takes-1
done
for place in //server/recordings/calls "C:$long" "//server/recordings$long"; do
    echo "== $(echo "$place" | cut -c 1-40), a path of ${#place} characters"
    backup "$place"
    saved "$place"
    before=$(opened)
    backup "$place"
    saved "$place"
    nothing_again "the second run"
    check "$place"
done

echo "== A damaged ledger is set aside"
ledger=$drive/backup/recordings/.rcbs/ledger.sqlite
printf 'no database at all, and longer than the beginning of one must be, so that it is looked at: %0500d\n' 0 >"$ledger"
before=$(opened)
backup C:/backup/recordings
saved C:/backup/recordings
nothing_again "the run with a new ledger"
find "$drive/backup/recordings/.rcbs/old" -name 'ledger.sqlite*' | grep -q . || fail "the damaged ledger is gone"

echo "== Two instances in one target, and a ledger that is damaged behind its beginning"
instance() {
    backup C:/shared --set sharedTarget=true --set totalRcbsInstances=2 --set rcbsInstanceId="$1"
    [ "$ended" -eq 0 ] || { cat out err >&2; fail "instance $1 ended with $ended"; }
}
instance 0
instance 1
saved C:/shared
ledger=$drive/shared/.rcbs/instances/1/ledger.sqlite
bytes=$(wc -c <"$ledger")
{ head -c 4096 "$ledger"; head -c $((bytes - 4096)) /dev/zero | tr '\0' '\377'; } >damaged
cp damaged "$ledger"
before=$(opened)
instance 1
nothing_again "the instance with a new ledger"
[ -f "$drive/shared/.rcbs/old/.rcbs/instances/1/ledger.sqlite" ] ||
    { cat out err >&2; fail "the damaged ledger of an instance is gone"; }

echo "== A log that is set aside, and metrics that are replaced"
mkdir "$drive/log"
logged() {
    # Alarms are for runs that go on where the last one ended.
    backup C:/logged --set minDate= --set maxDate= --set maxAge=5 --set metricsFile=C:/log/rcbs.prom \
        --set logFile=C:/log/rcbs.log --set logFileMaxSize=1K
    [ "$ended" -eq 0 ] || { cat out err >&2; fail "a backup with a log ended with $ended"; }
}
logged
logged
[ -f "$drive/log/rcbs.log.1" ] || { ls -l "$drive/log" >&2; fail "the log was not set aside"; }
grep -q '^rcbs_last_run_files{.*result="downloaded"} 0$' "$drive/log/rcbs.prom" ||
    { ls -l "$drive/log" >&2; fail "the metrics are not those of the last run"; }

# Like `Get-Content -Wait`, which lets others write to the file, but not rename it.
cat >follow.c <<'C'
#include <windows.h>
#include <stdio.h>
int main(int count, char **named) {
    if (CreateFileA(named[1], GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL) ==
        INVALID_HANDLE_VALUE) return 1;
    puts("follows");
    fflush(stdout);
    Sleep(60000);
    return 0;
}
C
"$gcc" -o follow.exe follow.c
"$wine" follow.exe 'C:\log\rcbs.log' >following 2>&1 &
follower=$!
started="$follower $started"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if grep -qs follows following; then break; fi
    sleep 1
done
grep -qs follows following || fail "nobody follows the log"
logged
! grep -q logFile err || { cat err >&2; fail "the log cannot be written while somebody follows it"; }
tail -n 1 "$drive/log/rcbs.log" | grep -q 'exit code 0' || fail "the end of the run is not in the log"
[ "$(wc -c <"$drive/log/rcbs.log")" -gt 1024 ] || fail "the log was set aside while somebody followed it"
kill -KILL "$follower"
wait "$follower" || :

echo "== Killed in the middle, three times, while another one is refused"
for round in 1 2 3; do
    slowly killed $((round * 10))
    if [ "$round" = 1 ]; then
        backup C:/killed
        [ "$ended" -eq 5 ] || { cat out err >&2; fail "a second run ended with $ended where 5 was expected"; }
    fi
    kill -KILL "$slow"
    wait "$slow" || :
    echo "killed with $(find "$drive/killed" -name '*.bin' | wc -l) of $media media files saved"
done
# Wine gives its locks back as soon as it has seen that the program is gone.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    backup C:/killed
    [ "$ended" -eq 5 ] || break
    sleep 1
done
saved C:/killed
check C:/killed
find "$drive/killed/.rcbs/staged" -type f | grep -q . && fail "unfinished files were left"

echo "== Ctrl-C ends a run in good order"
slowly stopped 5
kill -INT "$slow"
ended=0
wait "$slow" || ended=$?
[ "$ended" -eq 130 ] || { cat slow.out >&2; fail "Ctrl-C ended the run with $ended"; }
find "$drive/stopped/.rcbs/staged" -type f | grep -q . && fail "unfinished files were left"
has=$(find "$drive/stopped" -name '*.bin' | wc -l)
[ "$has" -lt "$media" ] || fail "the run had nothing left to do"
before=$(opened)
backup C:/stopped
saved C:/stopped
[ "$(opened)" -eq $((before + media - has)) ] || fail "what was held when Ctrl-C came was fetched again"

echo "== Certificates"
# A server that refuses every login, so that its certificate alone decides whether it is asked. Wine does not
# take one for 127.0.0.1, nor one that another has signed, as it wants to know whether that was revoked.
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>/dev/null
python3 - >port 2>refusing.log <<'PYTHON' &
import http.server, ssl
class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.wfile.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.close_connection = True
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("certificate.pem", "key.pem")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
started="$! $started"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ ! -s port ] || break
    sleep 1
done
[ -s port ] || { cat refusing.log >&2; fail "the server with the certificate did not become ready"; }
# What the program says of the server at this address, and the exit code that it ends with.
told() {
    code=$1 words=$2 address=$3
    shift 3
    backup C:/refused --set gwsUriPrefix="https://$address:$(cat port)/api/v2" "$@"
    if [ "$ended" -ne "$code" ] || ! grep -qF "$words" err; then
        cat out err >&2
        fail "exit $ended where $code was expected, with the words: $words"
    fi
    echo "exit $ended: $(grep -F "$words" err | cut -c 1-80)"
}
told 7 "certificate is not trusted" localhost
told 7 "certificate is for another host" 127.0.0.1 --set caBundle=certificate.pem
told 4 "refuses the login" localhost --set caBundle=certificate.pem

echo "== The entry for the Task Scheduler"
exe --config config.properties schedule windows >task.xml 2>warnings || { cat warnings >&2; fail "no task was printed"; }
grep -q '<Command>[A-Z]:\\.*rcbs.exe</Command>' task.xml || { cat task.xml >&2; fail "the task does not name the program"; }
echo "== Accepted, under $("$wine" --version): $tools/target/$target/debug/rcbs.exe"
