# Sends S3 through a real squid and GWS through a real tinyproxy, each with a login, without and with
# TLS: what the proxies have logged is held against what the simulator was asked. Then wrong logins,
# hosts that go past, names that only a proxy knows, refusals, and a proxy that is killed in the middle.
#
#     scripts/acceptance proxies   squid and tinyproxy from Debian; a minute once the program is built
install_for 'squid tinyproxy' squid tinyproxy
build
unset http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY || :

begin
# The proxies give up their rights, and must still reach their folders.
chmod 755 "$work"
show_logs() { tail -n 5 squid.out tinyproxy.out 2>/dev/null || :; }

# Two ports that are free now.
free_ports() {
    python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in held))'
}
read -r squid_port tinyproxy_port <<EOT
$(free_ports)
EOT
listens() { python3 -c "import socket; socket.create_connection(('127.0.0.1', $1), 1)"; }

mkdir squid tinyproxy
echo "127.0.0.1 s3.only-there.example" >squid/hosts
echo "s3-user:$(openssl passwd -apr1 'squid word')" >squid/users
cat >squid/squid.conf <<CONF
http_port 127.0.0.1:$squid_port
pid_filename $work/squid/squid.pid
cache_log $work/squid/cache.log
access_log stdio:$work/squid/access.log
coredump_dir $work/squid
hosts_file $work/squid/hosts
cache deny all
auth_param basic program /usr/lib/squid/basic_ncsa_auth $work/squid/users
auth_param basic realm squid
acl known proxy_auth REQUIRED
acl forbidden dstdomain forbidden.example
http_access deny forbidden
http_access allow known
http_access deny all
shutdown_lifetime 0 seconds
CONF
cat >tinyproxy/tinyproxy.conf <<CONF
Port $tinyproxy_port
Listen 127.0.0.1
Timeout 60
MaxClients 100
LogFile "$work/tinyproxy/access.log"
LogLevel Connect
PidFile "$work/tinyproxy/pid"
Allow 127.0.0.1
BasicAuth gwsuser tinyword
CONF
[ "$(id -u)" != 0 ] || chown -R proxy: squid

start_squid() {
    squid -n "rcbs$$" -f squid/squid.conf -N >squid.out 2>&1 &
    squid=$!
    started="$squid $started"
    await 30 "squid does not start" listens "$squid_port"
}
start_squid
tinyproxy -d -c tinyproxy/tinyproxy.conf >tinyproxy.out 2>&1 &
started="$! $started"
await 30 "tinyproxy does not start" listens "$tinyproxy_port"

# How many requests each proxy has logged; left out are those that squid refused, and connections that
# were opened and not needed.
by_squid() { grep -c -v -e TCP_DENIED -e transaction-end-before-headers squid/access.log || :; }
by_tinyproxy() { grep -c 'Request (file descriptor' tinyproxy/access.log || :; }
# How many requests the simulator has had, of its storage and of everything else.
of_s3() { grep -c '"route":"s3"' requests.jsonl || :; }
of_gws() { grep -c -v '"route":"s3"' requests.jsonl || :; }

# Runs the program; it must end with this code and say these words.
expect() {
    code=$1 words=$2
    shift 2
    ended=0
    timeout 120 rcbs --config "$config" "$@" >out 2>err || ended=$?
    if [ "$ended" -ne "$code" ] || ! cat out err | grep -qF -- "$words"; then
        cat out err >&2
        fail "exit $ended where $code was expected, with the words: $words"
    fi
    if cat out err | grep -qe 'squid word' -e tinyword -e wrong-word; then fail "a password is shown"; fi
    echo "exit $ended: $(cat err out | grep -F -- "$words" | head -n 1)"
}

unchanged() { [ "$1" -eq "$2" ] || fail "$3: $2 requests where $1 were expected"; }

world='--from 2018-01-02 --to 2018-01-04 --recordings 150 --metadata-bytes 4000
    --voice-bytes-per-second 400 --screen-bytes-per-second 4000'
way_to_s3="proxy 127.0.0.1:$squid_port" way_to_gws="proxy 127.0.0.1:$tinyproxy_port"

for tls in '' --tls; do
    echo "== ${tls:-without TLS}"
    mkdir "cloud$tls"
    simulate $world $tls --write-config "cloud$tls" --request-log requests.jsonl
    : >>requests.jsonl
    . "cloud$tls/environment"
    config=cloud$tls/config.properties
    s3=$(sed -n 's/^awsEndpointUrl=//p' "$config")
    # What lies in the tree without any proxy.
    expect 0 'Finished' --set targetDir="direct$tls"
    cat >>"$config" <<CONF
awsProxyHost=127.0.0.1
awsProxyPort=$squid_port
awsProxyUsername=s3-user
gwsProxyHost=http://127.0.0.1
gwsProxyPort=$tinyproxy_port
CONF
    export AWS_PROXY_PASSWORD='squid word' GWS_PROXY_USERNAME=gwsuser GWS_PROXY_PASSWORD=tinyword
    squid_before=$(by_squid) tinyproxy_before=$(by_tinyproxy) s3_before=$(of_s3) gws_before=$(of_gws)
    expect 0 'Finished' --set targetDir="saved$tls"
    diff -r -x .rcbs "direct$tls" "saved$tls" || fail "the tree is another through the proxies"
    squid_had=$(($(by_squid) - squid_before)) tinyproxy_had=$(($(by_tinyproxy) - tinyproxy_before))
    s3_had=$(($(of_s3) - s3_before)) gws_had=$(($(of_gws) - gws_before))
    echo "squid logged $squid_had, tinyproxy $tinyproxy_had; asked of S3 $s3_had, of GWS $gws_had"
    if [ -z "$tls" ]; then
        # Every single one.
        unchanged "$s3_had" "$squid_had" "S3 through squid"
        unchanged "$gws_had" "$tinyproxy_had" "GWS through tinyproxy"
    else
        # Tunnels, of which each carries many.
        [ "$squid_had" -gt 0 ] && [ "$tinyproxy_had" -gt 0 ] || fail "a proxy was left out"
        if tail -n "$squid_had" squid/access.log | grep -v ' CONNECT '; then fail "squid saw inside"; fi
    fi
    expect 0 "Way to S3: $way_to_s3 reached" --verify s3
    expect 0 "Way to GWS: $way_to_gws reached" --verify s3

    echo "-- past the proxy"
    squid_before=$(by_squid) tinyproxy_before=$(by_tinyproxy)
    expect 0 'past the proxy' --verify s3 --set proxyBypass="${s3#*//}"
    expect 0 'Finished' --set targetDir="past$tls" --set proxyBypass="${s3#*//}"
    unchanged "$squid_before" "$(by_squid)" "past squid"
    [ "$(by_tinyproxy)" -gt "$tinyproxy_before" ] || fail "GWS did not go through tinyproxy"

    echo "-- logins"
    set -- --set targetDir="refused$tls"
    AWS_PROXY_PASSWORD=wrong-word expect 4 "$way_to_s3 for S3 refuses the login (HTTP 407)" "$@"
    AWS_PROXY_PASSWORD=wrong-word expect 4 "$way_to_s3 reached, proxy agreed: FAILED" --verify s3
    GWS_PROXY_PASSWORD=wrong-word expect 4 "$way_to_gws for GWS refuses the login (HTTP 401)" "$@"
    (
        unset GWS_PROXY_USERNAME GWS_PROXY_PASSWORD
        expect 4 "$way_to_gws for GWS wants a login (HTTP 407)" "$@"
    )
    [ -z "$(find "refused$tls" -name '*.bin')" ] || fail "something was saved without a login"

    echo "-- what the proxies cannot or will not reach"
    scheme=${s3%%:*}
    expect 7 "$way_to_s3 for S3 refuses to pass the request on (HTTP 403)" --verify s3 \
        --set awsEndpointUrl="$scheme://forbidden.example"
    # Squid 5 does not say that it was the name, later ones do.
    expect 7 "$way_to_s3 for S3 cannot re" --verify s3 \
        --set awsEndpointUrl="$scheme://nowhere.invalid"
    expect 7 "$way_to_s3 for S3 cannot reach the service (HTTP 503)" --verify s3 \
        --set awsEndpointUrl="$scheme://127.0.0.1:1"
    expect 7 "$way_to_gws for GWS cannot reach the service (HTTP 500)" --verify s3 \
        --set gwsUriPrefix="$scheme://nowhere.invalid/api/v2"
    if [ -z "$tls" ]; then
        expect 0 'Finished' --set targetDir=named \
            --set awsEndpointUrl="http://s3.only-there.example:${s3##*:}"
        diff -r -x .rcbs direct named || fail "the tree is another by another name"
    fi

    echo "-- a proxy that is killed in the middle"
    timeout 120 rcbs --config "$config" --set targetDir="killed$tls" --bandwidth 300K \
        --set s3MaxErrorRetry=1 >out 2>err &
    run=$!
    await 30 "nothing is saved" sh -c "find 'killed$tls' -name '*.bin' | grep -q ."
    stop "$squid" KILL
    rm -f squid/squid.pid
    ended=0
    wait "$run" || ended=$?
    case $ended in 3 | 7) ;; *) cat out err; fail "exit $ended after squid was killed" ;; esac
    grep -qF "nothing answers at the $way_to_s3 for S3" err || { cat err; fail "squid is not named"; }
    expect 7 "$way_to_s3 reached: FAILED" --verify s3
    start_squid
    expect 0 'Finished' --set targetDir="killed$tls"
    diff -r -x .rcbs "direct$tls" "killed$tls" || fail "the tree is another after squid was killed"

    stop "$simulator"
    unset AWS_PROXY_PASSWORD GWS_PROXY_USERNAME GWS_PROXY_PASSWORD
done
echo "== Accepted"
