//! The HTTP port of a node: what it says, and what it refuses.

use std::{
    io::Write,
    net::TcpListener,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};
use tests::{HttpClient, Release, Signal, TempDir, tool, wait_until};

#[test]
fn a_node_says_that_it_is_up_and_ready() {
    let node = Release::alone_with_admin();
    let health = node.get("/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")), "{health:?}");
    let ready = node.get("/ready");
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)), "{ready:?}");
    let page = node.shell(&format!("echo {}", node.banner_command("page")));
    assert_eq!(page.trim(), format!("http://{}/", node.admin()));
    assert!(node.get("/").header("content-type").starts_with("text/html"));
    assert!(node.rpc("tree").contains("admin (rest_for_one"));
}

#[test]
fn every_response_has_browsers_trust_nobody_else() {
    let node = Release::alone_with_admin();
    for path in ["/", "/health", "/nothing-here"] {
        let response = node.get(path);
        assert!(response.header("content-security-policy").starts_with("default-src 'self'"), "{response:?}");
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert_eq!(response.header("referrer-policy"), "no-referrer");
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(response.header("access-control-allow-origin"), "");
    }
    let missing = node.get("/nothing-here");
    assert_eq!((missing.status, missing.json()["error"].is_string()), (404, true));
}

#[test]
fn nothing_but_get_and_head_is_served() {
    let node = Release::alone_with_admin();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
        for path in ["/", "/health", "/nothing-here"] {
            let response = node.http(method, path);
            assert_eq!(response.status, 405, "{method} {path}: {response:?}");
            assert_eq!(response.header("allow"), "GET, HEAD", "{method} {path}");
        }
    }
    let head = node.http("HEAD", "/health");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn a_request_that_names_another_host_is_refused() {
    let node = Release::alone_with_admin_and("admin_hosts = [\"db.example\"]\n");
    let status = |head: &str| {
        let mut client = HttpClient::connect(node.admin());
        client.send(format!("{head}\r\nConnection: close\r\n\r\n"));
        client.response().expect("a response").status
    };
    for known in ["localhost", "127.0.0.1:1", "[::1]:8080", "DB.example:443"] {
        assert_eq!(status(&format!("GET /health HTTP/1.1\r\nHost: {known}")), 200, "{known}");
    }
    for unknown in
        ["evil.example", "evil.example:4060", "localhost.evil.example", "user@evil.example", "a b", ""]
    {
        assert_eq!(status(&format!("GET /health HTTP/1.1\r\nHost: {unknown}")), 421, "{unknown}");
    }
    assert_eq!(status("GET /health HTTP/1.1"), 400);
    assert_eq!(status("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example"), 400);
    assert_eq!(status("GET http://evil.example/health HTTP/1.1\r\nHost: localhost"), 421);
}

#[test]
fn a_node_without_a_file_goes_on_without_the_port_if_it_is_taken() {
    let mut taken = None;
    wait_until("the default port is this test's", || {
        taken = TcpListener::bind("127.0.0.1:4060").ok();
        taken.is_some()
    });
    let node = Release::alone();
    let log = node.log();
    assert!(log.contains("\n  admin    none: cannot listen for HTTP on 127.0.0.1:4060"), "{log}");
    assert!(!log.contains("  page  "), "{log}");
    node.client().assert_in_sync();
}

#[test]
fn a_configured_port_that_is_taken_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = Arc::new(TempDir::new());
    let run_dir = directory.path().display().to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--admin", &address];
    let mut node = Release::spawn("foo", &directory, &flags);
    assert_eq!(node.wait().code(), Some(69));
    let log = node.log();
    assert!(log.contains(&address) && log.contains("--admin"), "{log}");
}

#[test]
fn a_node_with_a_file_has_the_port_only_if_the_file_does() {
    let node = Release::alone_with("");
    assert!(node.log().contains("\n  admin    none\n"), "{}", node.log());
}

#[test]
fn a_node_is_ready_when_it_reaches_a_majority() {
    let directory = TempDir::new();
    let names = ["foo1@127.0.0.1", "foo2@127.0.0.1", "foo3@127.0.0.1"];
    let mut lines = String::from("cookie = \"weknoweachother\"\n");
    for name in names {
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let data_dir = directory.path().join(name).display().to_string();
        lines += &format!("[nodes.{name:?}]\nlink = \"127.0.0.1:{port}\"\ndata_dir = {data_dir:?}\n");
    }
    lines += &format!("[[routes]]\nbuckets = \"..\"\nnodes = {names:?}\n");
    let file = directory.write("cluster.toml", &lines).display().to_string();
    let start = |name| {
        let directory = Arc::new(TempDir::new());
        let run_dir = directory.path().display().to_string();
        let ports = ["--clients", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let flags = [&["--config", &file, "--node", name, "--run-dir", &run_dir], &ports[..]].concat();
        Release::start("foo", &directory, &flags)
    };
    let first = start(names[0]);
    let response = first.get("/ready");
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.body.contains("range .. has no leader (needs 2 of foo1@127.0.0.1"), "{response:?}");
    assert_eq!(first.get("/health").status, 200);
    let mut second = start(names[1]);
    for node in [&first, &second] {
        wait_until("two of three are a majority", || node.get("/ready").status == 200);
    }
    second.kill();
    wait_until("one of three is none", || first.get("/ready").status == 503);
}

#[test]
fn a_node_that_drains_is_not_ready() {
    let mut node = Release::alone_with_admin();
    let admin = node.admin();
    let mut waits = HttpClient::connect(admin);
    // Its head is not complete, so it is open when the drain begins.
    waits.send(format!("GET /ready HTTP/1.1\r\nHost: {admin}\r\n"));
    node.signal(Signal::TERM);
    node.wait_for_log(&["draining"]);
    waits.send("Connection: close\r\n\r\n");
    if let Some(response) = waits.response() {
        assert_eq!(response.status, 503, "{response:?}");
    }
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn a_flood_of_connections_is_refused_and_clients_notice_nothing() {
    let node = Release::alone_with_admin();
    let mut held: Vec<HttpClient> = (0..1_000).map(|_| HttpClient::connect(node.admin())).collect();
    node.client().assert_in_sync();
    let refused = held.pop().expect("there are 1,000").response().expect("the reason");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
    assert!(refused.json()["error"].is_string());
    drop(held);
    wait_until("it is served again", || {
        let mut client = HttpClient::connect(node.admin());
        client.send(format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.admin()));
        client.response().is_some_and(|response| response.status == 200)
    });
}

#[test]
fn half_a_request_is_not_waited_for_and_a_huge_one_is_not_read() {
    let node = Release::alone_with_admin();
    let began = Instant::now();
    let mut half = HttpClient::connect(node.admin());
    half.send("GET /health HTTP/1.1\r\nHost: local");
    let mut huge = HttpClient::connect(node.admin());
    huge.send(format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(1 << 20)));
    assert!(huge.response().is_none_or(|response| response.status == 431));
    let mut many = HttpClient::connect(node.admin());
    many.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-Header: 1\r\n".repeat(100)));
    assert_eq!(many.response().map(|response| response.status), Some(431));
    let mut garbage = HttpClient::connect(node.admin());
    garbage.send("*1\r\n$4\r\nPING\r\n\r\n");
    assert!(garbage.response().is_none_or(|response| response.status == 400));
    assert!(half.response().is_none_or(|response| response.status == 408));
    assert!(began.elapsed().as_secs() >= 9, "it had time to arrive");
    assert_eq!(node.get("/health").status, 200);
}

#[test]
fn numbers_are_what_prometheus_expects() {
    let node = Release::alone_with_admin();
    let mut client = node.resp();
    client.ask("SET greeting hello");
    client.ask("HSET shopping milk 1");
    client.ask("NOSUCHCOMMAND");
    let response = node.get("/metrics");
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").starts_with("text/plain; version=0.0.4"), "{response:?}");
    let has =
        |line: &str| assert!(response.body.lines().any(|found| found == line), "{line}: {}", response.body);
    has("kv_buckets{database=\"0\"} 2");
    has("# TYPE kv_buckets gauge");
    let Some(promtool) = tool("promtool") else { return };
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().expect("it starts");
    check.stdin.take().expect("it is piped").write_all(response.body.as_bytes()).expect("it reads");
    let output = check.wait_with_output().expect("our own child");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
