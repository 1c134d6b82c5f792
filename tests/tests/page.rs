//! The page of a node, in a browser.

use serde_json::json;
use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};
use tests::{BAR, Browser, HttpClient, Pair, Release, Settings, TRIO, TempDir, Trio, wait_until};

/// Streams of events that a node serves at once.
const STREAMS: usize = 64;

/// Opens the page of a node, and waits until it is live.
fn open(browser: &Browser, node: &Release) {
    browser.open(&format!("http://{}/", node.admin()));
    browser.wait_for("document.querySelector('header .connection .ok')");
}

/// Checks that nothing went wrong on the page, and that all it has loaded is from its node.
fn check_calm(browser: &Browser, node: &Release) {
    assert_eq!(browser.errors(), [""; 0]);
    let own = format!("http://{}/", node.admin());
    let loaded = browser.loaded();
    assert!(loaded.iter().all(|address| address.starts_with(&own)), "{loaded:?}");
}

/// The row of the supervision tree with this path.
fn row(path: &str) -> String {
    format!("document.querySelector('[data-path=\"{path}\"]')")
}

#[test]
fn a_bucket_appears_and_flashes_when_it_crashes() {
    let Some(browser) = Browser::start() else { return };
    let node = Release::alone_with_admin();
    open(&browser, &node);
    let mut client = node.client();
    client.ask("CREATE shopping");
    client.ask("PUT shopping milk 1");
    let supervisor = row("foo@127.0.0.1/kv/bucket_supervisor");
    browser.wait_for(&format!("{supervisor}.innerText.includes('1 bucket')"));
    node.rpc("crash shopping");
    browser.wait_for(&format!("{supervisor}.classList.contains('flash')"));
    browser.wait_for(&format!("{supervisor}.innerText.includes('crashed')"));
    browser.wait_for_text("bucket \"shopping\" crashed");
    node.rpc("crash registry");
    browser.wait_for_text("registry was restarted");
    browser.wait_for(&format!("{}.innerText.includes('1/3')", row("foo@127.0.0.1/kv")));
    check_calm(&browser, &node);
}

#[test]
fn plots_draw_under_load() {
    let Some(browser) = Browser::start() else { return };
    let node = Release::alone_with_admin();
    let is_over = Arc::new(AtomicBool::new(false));
    let (mut client, over) = (node.resp(), is_over.clone());
    let load = thread::spawn(move || {
        while !over.load(Relaxed) {
            client.ask("HSET shopping milk 1");
            client.ask("HGET shopping milk");
        }
    });
    open(&browser, &node);
    for plot in ["Operations", "Latency", "Memory of buckets", "Connections"] {
        browser.wait_for(&format!(
            "[...document.querySelectorAll('.plot')].some((plot) => plot.innerText.includes('{plot}') \
             && /[1-9]/.test(plot.querySelector('.legend .number').innerText) && plot.querySelector('canvas'))"
        ));
    }
    // Blue, the colour of the first series.
    browser.wait_for(
        "(() => { const { width, height } = document.querySelector('.plot canvas');
         const { data } = document.querySelector('.plot canvas').getContext('2d').getImageData(0, 0, width, height);
         for (let at = 0; at < data.length; at += 4) if (data[at + 2] > 150 && data[at] < 80 && data[at + 3] > 200)
             return true;
         return false; })()",
    );
    is_over.store(true, Relaxed);
    load.join().expect("the load ends");
    check_calm(&browser, &node);
}

#[test]
fn a_node_that_is_killed_turns_red_and_heals() {
    let Some(browser) = Browser::start() else { return };
    // Nodes without a page of their own are shown as well.
    let settings = Settings { admin: true, ..Settings::default() };
    let mut pair = Pair::with(&settings, &Settings::default());
    pair.wait_until_linked();
    open(&browser, &pair.foo);
    let bar = row(BAR);
    browser.wait_for(&format!("{bar} && !{bar}.classList.contains('down')"));
    browser.wait_for_text("all is well: 2 nodes up");
    pair.bar.rpc("crash registry");
    browser.wait_for(&format!("{}.classList.contains('flash')", row(&format!("{BAR}/kv/registry"))));
    browser.wait_for_text("bar: registry was restarted");
    pair.bar.kill();
    browser.wait_for(&format!("{bar}.classList.contains('down')"));
    browser.wait_for_text("last seen");
    browser.wait_for_text(&format!("{BAR} is down"));
    pair.restart_bar();
    browser.wait_for(&format!("!{bar}.classList.contains('down')"));
    browser.wait_for_text("all is well: 2 nodes up");
    check_calm(&browser, &pair.foo);
}

#[test]
fn the_tree_is_folded_and_searched_with_the_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let node = Release::alone_with_admin();
    open(&browser, &node);
    let kv = row("foo@127.0.0.1/kv");
    let press = |key: &str| {
        browser.run(&format!(
            "{kv}.focus(); {kv}.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }}))"
        ))
    };
    browser.wait_for(&format!("{kv}?.ariaExpanded === 'true'"));
    press("ArrowLeft");
    browser.wait_for(&format!("{kv}.ariaExpanded === 'false' && !{}", row("foo@127.0.0.1/kv/registry")));
    // What crashes below flashes where it is folded away.
    node.rpc("crash registry");
    browser.wait_for(&format!("{kv}.classList.contains('flash')"));
    press("ArrowRight");
    browser.wait_for(&row("foo@127.0.0.1/kv/registry"));
    press("ArrowDown");
    browser.wait_for("document.activeElement.dataset.path === 'foo@127.0.0.1/kv/registry'");
    browser.run(
        "const field = document.querySelector('.trees input'); field.value = 'Sweep';
         field.dispatchEvent(new Event('input'))",
    );
    browser.wait_for("document.querySelectorAll('[role=treeitem]').length === 3");
    check_calm(&browser, &node);
}

#[test]
fn a_range_that_another_node_leads_moves_on_the_page() {
    let Some(browser) = Browser::start() else { return };
    let mut trio = Trio::start();
    trio.kill(0);
    trio.open_with(0, &["--admin", "127.0.0.1:0"]);
    trio.wait_until_served();
    open(&browser, trio.node(0));
    for leader in [1, 2] {
        wait_until("it leads", || {
            trio.node(0).verb(&["rpc", &format!("leader .. {}", TRIO[leader])]).status.success()
        });
        let leads = format!("{} leads", TRIO[leader]);
        browser.wait_for(&format!(
            "[...document.querySelectorAll('.copies li')].some((copy) => copy.innerText.includes('{leads}'))"
        ));
        // The strip has the colour of the node: they are in the order of their names.
        browser
            .wait_for(&format!("document.querySelector('.strip li').classList.contains('owner-{leader}')"));
    }
    browser.wait_for_text("is led by");
    check_calm(&browser, trio.node(0));
}

#[test]
fn the_page_goes_on_when_its_node_has_restarted() {
    let Some(browser) = Browser::start() else { return };
    let directory = Arc::new(TempDir::new());
    let run_dir = directory.path().display().to_string();
    // The port is free again when the listener is dropped.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let admin = free.expect("a free port").to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--admin", &admin];
    let mut node = Release::start("foo", &directory, &flags);
    open(&browser, &node);
    node.kill();
    browser.wait_for_text("trying again");
    browser.wait_for("document.querySelector('main.stale')");
    node.restart();
    browser.wait_for("document.querySelector('header .connection .ok')");
    node.client().ask("CREATE shopping");
    browser.wait_for_text("1 bucket");
}

#[test]
fn of_a_thousand_streams_64_are_served_and_the_rest_may_try_again() {
    let node = Release::alone_with_admin();
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", node.admin());
    let (mut served, mut refused) = (Vec::new(), 0);
    for _ in 0..1_000 {
        let mut stream = HttpClient::connect(node.admin());
        stream.send(&request);
        match stream.head() {
            Some(head) if head.status == 200 => served.push(stream),
            Some(head) => {
                assert_eq!((head.status, head.header("retry-after").is_empty()), (503, false), "{head:?}");
                refused += 1;
            }
            None => panic!("no answer"),
        }
    }
    assert_eq!((served.len(), refused), (STREAMS, 1_000 - STREAMS));
    served.truncate(1);
    // A place that was left is free again.
    wait_until("another one is served", || {
        let mut stream = HttpClient::connect(node.admin());
        stream.send(&request);
        stream.head().is_some_and(|head| head.status == 200)
    });
}

#[test]
fn the_page_fits_from_a_phone_to_a_wall() {
    let Some(browser) = Browser::start() else { return };
    let settings = Settings { admin: true, ..Settings::default() };
    let pair = Pair::with(&settings, &settings);
    pair.wait_until_linked();
    pair.foo.fill();
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for width in [360, 1280, 1920, 2560] {
        for scheme in ["light", "dark"] {
            browser.resize(width, scheme);
            open(&browser, &pair.foo);
            browser.wait_for(&row(BAR));
            browser.wait_for("document.querySelector('.plot canvas')");
            let overflow = browser
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(overflow, json!(0), "{width} {scheme}");
            fs::write(pictures.join(format!("page-{width}-{scheme}.png")), browser.picture())
                .expect("it can be written");
        }
    }
    check_calm(&browser, &pair.foo);
}

#[test]
fn buckets_are_listed_and_one_is_shown_by_its_link() {
    let Some(browser) = Browser::start() else { return };
    let settings = Settings { admin: true, ..Settings::default() };
    let pair = Pair::with(&settings, &settings);
    pair.wait_until_linked();
    open(&browser, &pair.foo);
    browser.wait_for_text("No bucket yet");
    let mut client = pair.foo.client();
    for bucket in ["shopping", "apples"] {
        client.ask(&format!("CREATE {bucket}"));
        client.ask(&format!("PUT {bucket} milk \"1 litre\""));
    }
    // foo has one of them, bar the other.
    for bucket in ["shopping", "apples"] {
        browser.wait_for(&format!("document.querySelector('a[href=\"#bucket={bucket}\"]')"));
    }
    let mut resp = pair.foo.resp();
    resp.ask(r#"HSET "\xff\x00" a 1"#);
    resp.ask(&format!("HSET shopping long {}", "x".repeat(5_000)));
    browser.open(&format!("http://{}/#bucket=shopping", pair.foo.admin()));
    browser.wait_for_text("1 litre");
    browser.wait_for_text("5.00 kB in all");
    browser.wait_for("document.querySelector('a[href=\"#bucket=%ff%00\"]')");
    browser.run("document.querySelector('a[href=\"#bucket=%ff%00\"]').click()");
    browser.wait_for("document.querySelector('.bucket table')?.innerText.includes('a')");
    browser.run("document.querySelector('.bucket .close').click()");
    browser.wait_for("!document.querySelector('.bucket')");
    check_calm(&browser, &pair.foo);
}
