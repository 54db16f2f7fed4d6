//! Proxies: each service through its own, with a login, past it, and everything that is wrong with
//! one, each in words of its own.

use std::io::{Read, Write};

use rcbs_sim::{
    Action, Fault, Media, Proxy, Recording, Route, Sim, SimOptions, TlsOptions, WorldSpec,
};

use crate::canary::{assert_none, traces};
use crate::harness::{BUCKET, DAY_MS, HOUR_MS, REGION, Run, Site, now_ms};

/// The two services, as the properties call them.
const SERVICES: [&str; 2] = ["gws", "aws"];

fn world(recordings: usize) -> WorldSpec {
    let (from_ms, to_ms) = (now_ms() - 2 * DAY_MS, now_ms() - 5_000);
    WorldSpec { from_ms, to_ms, recordings, ..WorldSpec::default() }
}

/// A cloud with or without TLS, which is trusted.
fn site(recordings: usize, is_tls: bool) -> Site {
    let tls = is_tls.then(TlsOptions::default);
    let site = Site::over(Sim::start(SimOptions {
        world: world(recordings),
        tls,
        ..SimOptions::default()
    }));
    let site = with(site, &format!("{REGION}bucketVerify={BUCKET}/tenant-2027"));
    match site.sim.ca_pem() {
        Some(authority) => {
            std::fs::write(site.folder.path().join("ca.pem"), authority).unwrap();
            with(site, "caBundle=ca.pem")
        }
        None => site,
    }
}

fn with(site: Site, properties: &str) -> Site {
    Site { properties: format!("{}{properties}\n", site.properties), ..site }
}

/// The lines that send one service through a proxy.
fn through(service: &str, port: u16) -> String {
    let host = if service == "gws" { "http://127.0.0.1" } else { "127.0.0.1" };
    format!("{service}ProxyHost={host}\n{service}ProxyPort={port}")
}

fn host(address: &str) -> String {
    address.split('/').nth(2).unwrap().to_owned()
}

/// The service as messages call it.
fn name(service: &str) -> &'static str {
    if service == "gws" { "GWS" } else { "S3" }
}

/// The variables of the login to a service's proxy.
fn login(site: &mut Site, service: &str, username: Option<&str>, password: Option<&str>) {
    let [name, word] = match service {
        "gws" => ["GWS_PROXY_USERNAME", "GWS_PROXY_PASSWORD"],
        _ => ["AWS_PROXY_USERNAME", "AWS_PROXY_PASSWORD"],
    };
    site.environment.insert(name, username.map(str::to_owned));
    site.environment.insert(word, password.map(str::to_owned));
}

#[test]
fn each_service_goes_through_its_own_proxy_with_its_own_login() {
    for is_tls in [false, true] {
        let gws = Proxy::start_with_login("gws user", "pass:wörd");
        let s3 = Proxy::start_with_login("s3-user", "other");
        let properties = [through("gws", gws.port()), through("aws", s3.port())].join("\n");
        let mut site = with(site(10, is_tls), &format!("{properties}\nawsProxyUsername=s3-user"));
        // One password in a variable, and one in a file.
        login(&mut site, "gws", Some("gws user"), Some("pass:wörd"));
        std::fs::write(site.folder.path().join("word"), "other\n").unwrap();
        site.environment.insert("AWS_PROXY_PASSWORD_FILE", Some("word".to_owned()));
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);

        let (gws_host, s3_host) = (host(&site.sim.gws_uri_prefix()), host(&site.sim.s3_endpoint()));
        for (proxy, host) in [(&gws, &gws_host), (&s3, &s3_host)] {
            let method = if is_tls { "CONNECT" } else { "GET" };
            let expected = format!("{method} {host}");
            assert!(!proxy.asked().is_empty());
            assert_eq!(proxy.asked().iter().find(|asked| **asked != expected), None);
        }
        if !is_tls {
            // A request each, so that none can have gone another way.
            let asked = gws.asked().len() + s3.asked().len();
            assert_eq!(asked, site.sim.requests().len());
        }
        let run = site.rcbs(&["--verify", "s3"]);
        run.exits(0);
        for (service, proxy) in [("GWS", &gws), ("S3", &s3)] {
            let tls = if is_tls { format!(", TLS to {service}") } else { String::new() };
            run.says(&format!(
                "Way to {service}: proxy 127.0.0.1:{} reached, proxy agreed{tls}, {service} \
                 answered\n",
                proxy.port()
            ));
        }
    }
}

#[test]
fn what_proxy_bypass_names_is_asked_without_a_proxy() {
    let (gws, s3) = (Proxy::start(), Proxy::start());
    let properties = [through("gws", gws.port()), through("aws", s3.port())].join("\n");
    let site = with(site(5, false), &properties);
    let s3_host = host(&site.sim.s3_endpoint());
    let bypass = format!("proxyBypass=.elsewhere.example, {s3_host}");
    let run = site.rcbs(&["--set", &bypass, "--verify", "s3"]);
    run.exits(0).says("Way to S3: past the proxy, by proxyBypass\n");
    run.says(&format!("Way to GWS: proxy 127.0.0.1:{} reached", gws.port()));
    site.rcbs(&["--set", &bypass]).exits(0);
    site.assert_holds(|_| true);
    assert!(!gws.asked().is_empty());
    assert_eq!(s3.asked(), Vec::<String>::new());

    let before = gws.asked().len();
    site.rcbs(&["--set", "proxyBypass=10.0.0.0/8|127.0.0.0/8"]).exits(0);
    assert_eq!((gws.asked().len(), s3.asked().len()), (before, 0));
    site.rcbs(&["--set", "proxyBypass=10.0.0.0/8", "--verify", "s3"]).exits(0);
    assert!(gws.asked().len() > before && !s3.asked().is_empty());
}

/// A site of which one service has this proxy.
fn behind(service: &str, is_tls: bool, port: u16) -> Site {
    with(site(5, is_tls), &format!("{}\ns3MaxErrorRetry=0", through(service, port)))
}

/// Verifying the connection ends so, and names the hop that failed.
#[track_caller]
fn fails(run: &Run, service: &str, code: i32, words: &str, hint: &str) {
    run.exits(code).says(words).says(&format!("hint: {hint}"));
    let way = format!("Way to {}: ", name(service));
    let way = run.stdout.lines().find(|line| line.starts_with(&way));
    assert!(way.is_some_and(|way| way.ends_with(": FAILED")), "{run}");
}

#[test]
fn a_login_that_is_wanted_or_refused_is_access_denied() {
    for service in SERVICES {
        for is_tls in [false, true] {
            let proxy = Proxy::start_with_login("user", "word");
            let mut site = behind(service, is_tls, proxy.port());
            let place = format!("the proxy 127.0.0.1:{} for {}", proxy.port(), name(service));
            let upper = service.to_uppercase();
            let wants = format!(
                "set {service}ProxyUsername and the variable {upper}_PROXY_PASSWORD or \
                 {upper}_PROXY_PASSWORD_FILE"
            );
            let words = format!("{place} wants a login (HTTP 407)");
            fails(&site.rcbs(&["--verify", "s3"]), service, 4, &words, &wants);
            site.rcbs(&[]).exits(4).says(&words).says(&wants);

            login(&mut site, service, Some("user"), Some("wrong"));
            let words = format!("{place} refuses the login (HTTP 407)");
            let check = format!("check {service}ProxyUsername and {upper}_PROXY_PASSWORD");
            let run = site.rcbs(&["--verify", "s3"]);
            fails(&run, service, 4, &words, &check);
            run.says(&format!("proxy 127.0.0.1:{} reached, proxy agreed: FAILED", proxy.port()));
            site.rcbs(&[]).exits(4).says(&words).says(&check);
            assert!(site.tree().keys().all(|path| !path.ends_with(".bin")));

            login(&mut site, service, Some("user"), Some("word"));
            site.rcbs(&[]).exits(0);
            site.assert_holds(|_| true);
        }
    }
}

#[test]
fn a_wrong_login_to_the_proxy_ends_the_run_before_thousands_of_requests() {
    let proxy = Proxy::start_with_login("user", "word");
    let site = with(site(150, false), &through("aws", proxy.port()));
    let run = site.rcbs(&["--set", "maxConnections=4"]);
    run.exits(4);
    assert!(proxy.asked().len() <= 16, "{}\n{run}", proxy.asked().len());
}

#[test]
fn a_proxy_that_refuses_is_told_from_one_that_finds_no_way_on() {
    let ask = "ask who runs the proxy to let this host pass to the service, or name the service in \
               proxyBypass";
    for (status, error, words) in [
        (403, "http_request_denied", "refuses to pass the request on (HTTP 403)"),
        (502, "dns_error", "cannot resolve the service's name (HTTP 502)"),
        (503, "connection_refused", "cannot reach the service (HTTP 503)"),
        (504, "connection_timeout", "hears nothing from the service (HTTP 504)"),
    ] {
        for service in SERVICES {
            let is_gws = service == "gws";
            let hint = match (status, is_gws) {
                (403, _) => ask,
                (502, true) => "check the host in gwsUriPrefix, and that the proxy can resolve it",
                (502, false) => {
                    "check awsEndpointUrl and awsRegion, and that the proxy can resolve the host"
                }
                (_, true) => {
                    "check gwsUriPrefix, and ask who runs the proxy whether it can reach the service"
                }
                (_, false) => {
                    "check awsEndpointUrl, and ask who runs the proxy whether it can reach the \
                     service"
                }
            };
            for is_tls in [false, true] {
                let proxy = Proxy::start();
                let refusal = (String::new(), status, error.to_owned());
                proxy.behave(|proxy| proxy.refusals = vec![refusal]);
                let site = behind(service, is_tls, proxy.port());
                let words =
                    format!("the proxy 127.0.0.1:{} for {} {words}", proxy.port(), name(service));
                let run = site.rcbs(&["--verify", "s3"]);
                fails(&run, service, 7, &words, hint);
                run.says("reached, proxy agreed: FAILED");
                site.rcbs(&[]).exits(7).says(&words);
            }
        }
    }
}

#[test]
fn what_the_service_itself_answers_is_not_called_the_proxys() {
    let proxy = Proxy::start();
    let site = behind("aws", false, proxy.port());
    site.sim.add_fault(Fault::on(Route::S3, Action::s3_error(503, "SlowDown")));
    let run = site.rcbs(&["--verify", "s3"]);
    run.exits(7).says("the server answered 503 SlowDown").says("proxy agreed, S3 answered\n");
}

#[test]
fn a_proxy_that_is_not_there_is_told_from_a_service_that_is_not() {
    let dead = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = dead.local_addr().unwrap().port();
    drop(dead);
    for service in SERVICES {
        let check =
            format!("check {service}ProxyHost and {service}ProxyPort, and that the proxy runs");
        for is_tls in [false, true] {
            let site = behind(service, is_tls, port);
            let run = site.rcbs(&["--verify", "s3"]);
            let words =
                format!("nothing answers at the proxy 127.0.0.1:{port} for {}", name(service));
            fails(&run, service, 7, &words, &check);
            run.says(&format!("proxy 127.0.0.1:{port} reached: FAILED"));

            let nowhere = if service == "gws" { "http://proxy.invalid" } else { "proxy.invalid" };
            let run =
                site.rcbs(&["--set", &format!("{service}ProxyHost={nowhere}"), "--verify", "s3"]);
            let place = format!("the proxy proxy.invalid:{port} for {}", name(service));
            fails(&run, service, 7, &format!("the name of {place} cannot be resolved"), &check);
        }
    }
    // The proxy is there, and nothing is behind it.
    let proxy = Proxy::start();
    let site = behind("aws", false, proxy.port());
    let run =
        site.rcbs(&["--set", &format!("awsEndpointUrl=http://127.0.0.1:{port}"), "--verify", "s3"]);
    let words =
        format!("the proxy 127.0.0.1:{} for S3 cannot reach the service (HTTP 502)", proxy.port());
    run.exits(7).says(&words);
}

#[test]
fn a_proxy_that_says_nothing_is_out_of_time() {
    let proxy = Proxy::start();
    proxy.behave(|proxy| proxy.silent = true);
    let site = with(behind("aws", true, proxy.port()), "s3ConnectionTimeout=300");
    let run = site.rcbs(&["--verify", "s3"]);
    let words =
        format!("the proxy 127.0.0.1:{} for S3 hears nothing from the service", proxy.port());
    run.exits(7).says(&words).says("reached, proxy agreed: FAILED");
}

#[test]
fn what_is_no_proxy_at_all_is_named() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().take(50).flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
        }
    });
    let site = behind("aws", true, port);
    let run = site.rcbs(&["--verify", "s3"]);
    let hint = "check awsProxyPort: an HTTP proxy must listen there, without TLS of its own";
    fails(
        &run,
        "aws",
        7,
        &format!("what answers as the proxy 127.0.0.1:{port} for S3 is no HTTP"),
        hint,
    );
}

#[test]
fn connections_that_a_proxy_breaks_off_cost_nothing_but_another_try() {
    for is_tls in [false, true] {
        let (gws, s3) = (Proxy::start(), Proxy::start());
        gws.behave(|proxy| proxy.breaks = Some((1, 3_000)));
        s3.behave(|proxy| proxy.breaks = Some((3, 5_000)));
        let properties = [through("gws", gws.port()), through("aws", s3.port())].join("\n");
        let site = with(site(30, is_tls), &format!("{properties}\ns3MaxErrorRetry=5"));
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);
        assert_eq!((gws.broken(), s3.broken()), (1, 3));
    }
}

#[test]
fn a_proxy_that_dies_in_the_middle_is_named_and_the_next_run_completes() {
    for is_tls in [false, true] {
        let proxy = Proxy::start();
        proxy.behave(|proxy| (proxy.breaks, proxy.dies) = (Some((1, 5_000)), true));
        let site = with(site(60, is_tls), &through("aws", proxy.port()));
        let run = site.rcbs(&["--set", "maxConnections=1", "--set", "s3MaxErrorRetry=0"]);
        assert!([3, 7].contains(&run.code), "{run}");
        run.says(&format!("nothing answers at the proxy 127.0.0.1:{} for S3", proxy.port()));
        let another = Proxy::start();
        site.rcbs(&["--set", &format!("awsProxyPort={}", another.port())]).exits(0);
        site.assert_holds(|_| true);
    }
}

#[test]
fn a_name_that_only_the_proxy_can_resolve_is_enough() {
    let proxy = Proxy::start();
    let properties = [through("gws", proxy.port()), through("aws", proxy.port())].join("\n");
    let site = with(site(5, false), &properties);
    let (gws, s3) = (site.sim.gws_uri_prefix(), site.sim.s3_endpoint());
    let (gws_host, s3_host) = (host(&gws), host(&s3));
    let [gws_name, s3_name] =
        [&gws_host, &s3_host].map(|host| host.replace("127.0.0.1", "only-there.invalid"));
    let reroutes = vec![(gws_name.clone(), gws_host.clone()), (s3_name.clone(), s3_host.clone())];
    proxy.behave(|proxy| proxy.reroutes = reroutes);
    let site = with(site, &format!("gwsUriPrefix={}", gws.replace(&gws_host, &gws_name)));
    let site = with(site, &format!("awsEndpointUrl={}", s3.replace(&s3_host, &s3_name)));
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    // Without the proxy there is no way at all.
    let run = site.rcbs(&["--set", &format!("proxyBypass={}", gws_name), "--verify", "s3"]);
    run.exits(7).says("GWS: the host name cannot be resolved");
}

#[test]
fn a_proxy_that_opens_tls_needs_its_authority_in_ca_bundle() {
    let proxy = Proxy::start();
    let site = behind("aws", true, proxy.port());
    // It puts itself in the place of the storage, with a certificate of its own authority.
    let itself = Sim::start(SimOptions {
        world: site.sim.world().spec().clone(),
        tls: Some(TlsOptions { self_signed: true, ..TlsOptions::default() }),
        ..SimOptions::default()
    });
    let reroute = (host(&site.sim.s3_endpoint()), host(&itself.s3_endpoint()));
    proxy.behave(|proxy| proxy.reroutes = vec![reroute]);
    let run = site.rcbs(&["--verify", "s3"]);
    let words = format!(
        "the TLS certificate that comes through the proxy 127.0.0.1:{} for S3 is not trusted",
        proxy.port()
    );
    let hint = "if the proxy opens TLS, name its certificate authority with caBundle; else the \
                service's";
    fails(&run, "aws", 7, &words, hint);
    run.says("reached, proxy agreed, TLS to S3: FAILED");
    let both = format!("{}{}", site.sim.ca_pem().unwrap(), itself.ca_pem().unwrap());
    std::fs::write(site.folder.path().join("ca.pem"), both).unwrap();
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    assert!(!itself.media_opened().is_empty() && site.sim.media_opened().is_empty());
}

const PASSWORD: &str = "Qp4Canary7ProxyPassword";

#[test]
fn no_login_to_a_proxy_is_ever_shown() {
    let pair = format!("somebody:x/{PASSWORD}+ü");
    let (user, password) = pair.split_once(':').unwrap();
    for is_tls in [false, true] {
        for service in SERVICES {
            let right = Proxy::start_with_login(user, password);
            let wrong = Proxy::start_with_login(user, "another");
            for (proxy, code) in [(&right, 0), (&wrong, 4)] {
                let mut site = behind(service, is_tls, proxy.port());
                login(&mut site, service, Some(user), Some(password));
                for args in [&[][..], &["--verify", "s3"], &["--verify", "s3", "--json"]] {
                    for format in ["auto", "json"] {
                        let run =
                            site.rcbs(&[&["--verbose", "--log-format", format], args].concat());
                        run.exits(code);
                        let given = |path: &str| path == "config.properties";
                        let traces = traces(&run, site.folder.path(), given);
                        assert_none(&[PASSWORD], &run, &traces);
                    }
                }
                let run = site.rcbs(&["config"]);
                assert_none(&[PASSWORD], &run, &traces(&run, site.folder.path(), |_| false));
            }
        }
    }
    // A server, or a page that a proxy made, may send back what it was sent.
    let proxy = Proxy::start_with_login(user, password);
    let mut site = behind("gws", false, proxy.port());
    login(&mut site, "gws", Some(user), Some(password));
    site.sim.edit(|world| {
        let media = Media::voice("M_voice.mp3.bin", BUCKET, 300);
        world.add(Recording::new("R", now_ms() - HOUR_MS).with(media));
    });
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(&pair);
    for text in [password, &encoded] {
        let message = serde_json::json!({ "statusCode": 6, "statusMessage": text });
        site.sim.clear_faults();
        site.sim.add_fault(Fault::on(Route::Listing, Action::json(200, &message.to_string())));
        let run = site.rcbs(&["--verbose"]);
        run.exits(7).says("[redacted]");
        assert_none(&[PASSWORD], &run, &traces(&run, &site.target(), |_| false));
    }
}
