//! What files, variables and flags become, and what is refused.

mod reference;

use super::{
    AdminAddress, Flags, Location, ReleaseProfile, SECTIONS, Settings,
    layers::{
        environment::Environment,
        error::ConfigError,
        file::File,
        key::Table,
        merged::{Merged, unknown_variables},
    },
};
use crate::log::LogFormat;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

const FOO: ReleaseProfile = ReleaseProfile { release: "foo", takes_clients: true };
const BAR: ReleaseProfile = ReleaseProfile { release: "bar", takes_clients: false };

const PAIR: &str = r#"cookie = "weknoweachother"
[nodes."foo@127.0.0.1"]
clients = "127.0.0.1:0"
link = "127.0.0.1:4051"
[nodes."bar@127.0.0.1"]
link = "127.0.0.1:4052"
[[routes]]
buckets = "a..m"
nodes = ["foo@127.0.0.1"]
[[routes]]
buckets = "n..z"
nodes = ["bar@127.0.0.1"]
"#;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let run_dir = PathBuf::from("/run/user/1/kv");
    Environment { variables: variables.collect(), run_dir, credentials: None }
}

/// Everything but the reading of the file.
fn load(
    profile: ReleaseProfile,
    text: Option<&str>,
    variables: &[(&str, &str)],
    flags: &Flags,
) -> Result<Settings, Vec<ConfigError>> {
    let file = text.map(|text| File::parse(Path::new("kv.toml"), text.to_owned()));
    let file = file.transpose().map_err(|error| vec![error])?;
    super::resolve(profile, file, flags, &environment(variables))
}

/// What `check-config` prints for a file: one line per error.
fn checked(profile: ReleaseProfile, text: &str) -> String {
    match load(profile, Some(text), &[], &Flags::default()) {
        Ok(settings) => settings.summary(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn the_port_for_http_is_where_the_file_says_and_without_a_file_on_loopback() {
    let admin = |text, flags: &Flags| load(FOO, text, &[], flags).unwrap().node.admin;
    let none = Flags::default();
    assert_eq!(
        admin(None, &none),
        Some(AdminAddress { address: "127.0.0.1:4060".to_owned(), is_configured: false })
    );
    assert_eq!(admin(Some(PAIR), &none), None);
    let with = PAIR.replacen("link", "admin = \"localhost:4070\"\nlink", 1);
    let configured = AdminAddress { address: "localhost:4070".to_owned(), is_configured: true };
    assert_eq!(admin(Some(&with), &none), Some(configured));
    let hosts = load(FOO, Some("admin_hosts = [\"db.example\"]"), &[], &none).unwrap().general.admin_hosts;
    assert_eq!(hosts, ["db.example"]);
}

#[test]
fn without_anything_it_is_one_volatile_node_on_loopback() {
    let foo = load(FOO, None, &[], &Flags::default()).unwrap();
    assert_eq!(foo.node.name.as_str(), "foo@127.0.0.1");
    assert_eq!(foo.node.clients.as_deref(), Some("127.0.0.1:4040"));
    assert_eq!((foo.node.link, foo.node.peers.len(), foo.warnings.len()), (None, 0, 0));
    assert_eq!(foo.routes.nodes(b"\xff"), Some(std::slice::from_ref(&foo.node.name)));
    assert_eq!(foo.general.run_dir, PathBuf::from("/run/user/1/kv"));
    assert_eq!((foo.log.level.as_str(), foo.log.format), ("info", LogFormat::Text));
    assert_eq!((foo.supervision, foo.general.shutdown), (otp::Intensity::default(), Duration::from_secs(10)));
    assert_eq!(foo.storage.max_memory, None);
    let bar = load(BAR, None, &[], &Flags::default()).unwrap();
    assert_eq!((bar.node.name.as_str(), bar.node.clients), ("bar@127.0.0.1", None));
}

#[test]
fn each_release_finds_its_own_entry() {
    let foo = load(FOO, Some(PAIR), &[], &Flags::default()).unwrap();
    assert_eq!(foo.node.link.as_deref(), Some("127.0.0.1:4051"));
    let peers: Vec<String> = foo.node.peers.iter().map(|(name, link)| format!("{name} {link}")).collect();
    assert_eq!(peers, ["bar@127.0.0.1 127.0.0.1:4052"]);
    assert_eq!(foo.routes.nodes(b"shopping").map(|nodes| nodes[0].name()), Some("bar"));
    let bar = load(BAR, Some(PAIR), &[], &Flags::default()).unwrap();
    assert_eq!((bar.node.name.as_str(), bar.node.link.as_deref()), ("bar@127.0.0.1", Some("127.0.0.1:4052")));
    assert_eq!(
        bar.summary(),
        "kv.toml: ok: node bar@127.0.0.1, volatile, 2 nodes, 2 routes\n\
         warning: no route for buckets with names below \"a\", from \"{\" on"
    );
}

#[test]
fn flags_go_before_variables_before_the_file_before_defaults() {
    let clients = |text, variables: &[(&str, &str)], flags: &Flags| {
        load(FOO, text, variables, flags).unwrap().node.clients.unwrap()
    };
    let variable = [("KV_CLIENTS", "127.0.0.1:2"), ("KV_NODE", "foo@127.0.0.1")];
    let flag = Flags { values: vec![("clients", "127.0.0.1:3".to_owned())], ..Flags::default() };
    assert_eq!(clients(None, &[], &Flags::default()), "127.0.0.1:4040");
    assert_eq!(clients(Some(PAIR), &[], &Flags::default()), "127.0.0.1:0");
    assert_eq!(clients(Some(PAIR), &variable, &Flags::default()), "127.0.0.1:2");
    assert_eq!(clients(Some(PAIR), &variable, &flag), "127.0.0.1:3");
}

#[test]
fn memory_is_limited_in_the_units_that_people_write() {
    let limit = |variables: &[(&str, &str)]| {
        let text = "[storage]\nmax_memory = \"1gb\"";
        load(FOO, Some(&format!("[nodes.\"foo@127.0.0.1\"]\n{text}")), variables, &Flags::default())
            .unwrap()
            .storage
            .max_memory
    };
    assert_eq!(limit(&[]), Some(1 << 30));
    assert_eq!(limit(&[("KV_MAX_MEMORY", "512mb")]), Some(512 << 20));
    assert_eq!(limit(&[("KV_MAX_MEMORY", "0")]), None);
}

#[test]
fn where_buckets_are_kept_is_said() {
    let with = |data_dir: &str| Flags { values: vec![("data-dir", data_dir.to_owned())], ..Flags::default() };
    let settings = load(FOO, None, &[], &with("/data")).unwrap();
    assert_eq!(settings.summary(), "no file: ok: node foo@127.0.0.1, durable in /data, 1 node, 1 route");
    let relative = load(FOO, None, &[], &with("data")).unwrap().summary();
    assert!(relative.contains(", durable in /") && relative.contains("/data, 1 node"), "{relative}");
    let empty = load(FOO, None, &[], &with("")).unwrap_err();
    let expected = "data_dir: is empty; name a directory, or leave it out for volatile buckets";
    assert!(empty[0].to_string().ends_with(expected), "{}", empty[0]);
    let home = load(FOO, None, &[], &with("~/kv")).unwrap_err();
    assert!(
        home[0].to_string().ends_with("only a shell knows ~: write the whole path, from / on"),
        "{}",
        home[0]
    );
    let summary = |rows: &str| load(FOO, Some(rows), &[], &with("/data")).unwrap().summary();
    let row = |buckets, durable| {
        format!("[[routes]]\nbuckets = {buckets:?}\nnodes = [\"foo@127.0.0.1\"]\ndurable = {durable}\n")
    };
    assert_eq!(
        summary(&row("..", false)),
        "kv.toml: ok: node foo@127.0.0.1, volatile (each row has durable = false), 1 node, 1 route"
    );
    // The second row has a hole, so it is two spans.
    assert_eq!(
        summary(&[row("c..m", false), row("..", true)].concat()),
        "kv.toml: ok: node foo@127.0.0.1, durable in /data (volatile: c..m), 1 node, 2 routes"
    );
}

#[test]
fn every_key_can_stand_in_the_file_and_in_its_variable() {
    let keys = SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section.table, key)));
    for (table, key) in keys {
        let heading = match table {
            Table::Top => String::new(),
            Table::Named(name) => format!("[{name}]"),
            Table::Nodes => "[nodes.\"foo@127.0.0.1\"]".to_owned(),
            Table::Rows(name) => format!("[[{name}]]"),
        };
        let text = format!("{heading}\n{} = {}", key.name, key.kind.literal(key.example));
        let file = File::parse(Path::new("kv.toml"), text.clone()).unwrap();
        assert_eq!(file.validate(SECTIONS), [], "{text}");
        assert!(!key.help.is_empty(), "{text}");
        if let Some(variable) = key.variable {
            let environment = environment(&[(variable, key.example)]);
            assert_eq!(unknown_variables(SECTIONS, &environment), [""; 0]);
            Merged::new(SECTIONS, None, "foo@127.0.0.1", &environment, &Flags::default()).unwrap();
        }
    }
}

/// A key that is missing from its section's struct, or has another name there, changes nothing.
#[test]
fn every_key_reaches_the_settings_and_a_reload_names_those_that_need_a_restart() {
    let defaults = load(FOO, None, &[], &Flags::default()).unwrap();
    for key in SECTIONS.iter().flat_map(|section| section.keys) {
        let other = BTreeMap::from([
            ("cookie", "another secret"),
            ("cookie_file", "/no/such/file"),
            ("allow_public_clients", "true"),
            ("max_memory", "512mb"),
            ("io_uring", "false"),
            ("level", "debug"),
            ("format", "json"),
            ("allow_public_admin", "true"),
            ("clients", "127.0.0.1:7"),
            ("admin", "127.0.0.1:7"),
        ]);
        let (Some(variable), value) = (key.variable, other.get(key.name).copied()) else { continue };
        let value = value.unwrap_or(if key.default.is_some() { "77" } else { key.example });
        match load(FOO, None, &[(variable, value)], &Flags::default()) {
            Ok(settings) => {
                assert_ne!(format!("{settings:?}"), format!("{defaults:?}"), "{variable} changes nothing");
                let changes = defaults.restart_required_changes(&settings);
                assert_eq!(changes.is_empty(), key.live, "{variable}: {changes:?}");
            }
            Err(errors) => assert!(errors[0].to_string().starts_with(variable), "{errors:?}"),
        }
    }
}

#[test]
fn a_reload_names_the_keys_that_need_a_restart() {
    let pair = |text: &str| load(FOO, Some(text), &[], &Flags::default()).unwrap();
    let changes = |text: &str| pair(PAIR).restart_required_changes(&pair(text));
    assert_eq!(changes(PAIR), [""; 0]);
    assert_eq!(changes(&PAIR.replace("weknoweachother", "another")), ["cookie"]);
    assert_eq!(changes(&PAIR.replace("n..z", "o..z")), ["routes"]);
    assert_eq!(changes(&PAIR.replace(":4052", ":4053")), ["nodes"]);
    assert_eq!(changes(&format!("{PAIR}[links]\nheartbeat_ms = 1000")), [""; 0], "the default");
    let text = format!("{PAIR}[links]\nheartbeat_ms = 7\n[log]\nlevel = \"debug\"\nformat = \"json\"");
    assert_eq!(changes(&text), ["links.heartbeat_ms", "log.format"]);
}

/// The good file with one change.
fn pair(good: &str, bad: &str) -> String {
    assert!(PAIR.contains(good), "{good}");
    PAIR.replacen(good, bad, 1)
}

/// Each file is refused with exactly these lines.
fn refused<const N: usize>(cases: [(String, &str); N]) {
    for (text, lines) in cases {
        assert_eq!(checked(FOO, &text), lines);
    }
}

#[test]
fn a_key_or_value_that_means_nothing() {
    refused([
        (pair("cookie =", "cokie ="), "kv.toml:1: cokie: unknown key; did you mean `cookie`?"),
        (
            pair("clients =", "colour ="),
            "kv.toml:3: nodes.\"foo@127.0.0.1\".colour: unknown key; valid keys: clients, link, admin, data_dir",
        ),
        (
            pair("clients = \"127.0.0.1:0\"", "clients = 4040"),
            "kv.toml:3: nodes.\"foo@127.0.0.1\".clients: 4040 is not a quoted string; write clients = \"127.0.0.1:4040\"",
        ),
        (pair("[[routes]]", "[[routes]"), "kv.toml:7: invalid TOML: unclosed array table, expected `]`"),
        (
            "[links]\nheartbeat_ms = 0".to_owned(),
            "kv.toml:2: links.heartbeat_ms: 0 is not an integer from 1 to 4294967295; write heartbeat_ms = 1000",
        ),
        (
            "[log]\nlevel = \"inof\"\nformat = \"xml\"".to_owned(),
            "kv.toml:3: log.format: invalid format: \"xml\"; write \"text\" or \"json\"\n\
             kv.toml:2: log.level: invalid level: \"inof\"; write one of off, error, warn, info, debug, trace",
        ),
        (
            "log = 1".to_owned(),
            "kv.toml:1: log: must be a table: write [log] on its own line and its keys below",
        ),
        (
            "[storage]\nmax_memory = \"lots\"".to_owned(),
            "kv.toml:2: storage.max_memory: invalid size: \"lots\"; write max_memory = \"512mb\", or \"0\" for no limit",
        ),
        ("[routes]".to_owned(), "kv.toml:1: routes: must be a list of rows: begin each row with [[routes]]"),
    ]);
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = r#"cokie = "weknoweachother"
[nodes."foo@127.0.0.1"]
clients = 4040
link = "127.0.0.1"
[nodes."bar@127.0.0.1"]
[[routes]]
buckets = "a-m"
nodes = ["fo@127.0.0.1"]
[[routes]]
bucket = "n..z"
nodes = ["bar@127.0.0.1"]
[[routes]]
buckets = "a..b"
nodes = ["bar@127.0.0.1"]
[[routes]]
buckets = "b..c"
nodes = ["bar@127.0.0.1"]
[log]
level = "inof"
"#;
    let lines = [
        "kv.toml:1: cokie: unknown key; did you mean `cookie`?",
        "kv.toml:3: nodes.\"foo@127.0.0.1\".clients: 4040 is not a quoted string; write clients = \"127.0.0.1:4040\"",
        "kv.toml:10: routes.bucket: unknown key; did you mean `buckets`?",
        "KV_MAX_RESTARTS: \"many\" is not an integer from 0 to 4294967295; set it to 3",
        "kv.toml:4: nodes.\"foo@127.0.0.1\".link: invalid address: \"127.0.0.1\"; write link = \"127.0.0.1:4052\"",
        "kv.toml:5: nodes.\"bar@127.0.0.1\": has no link; write link = \"127.0.0.1:4051\"",
        "kv.toml:8: routes.nodes: unknown node \"fo@127.0.0.1\"; did you mean \"foo@127.0.0.1\"?",
        "kv.toml:7: routes.buckets: \"a-m\" is not a range of buckets: it has no ..; \
         write \"a..m\", \"n..\" or \"..\" for all names",
        "kv.toml:16: routes.buckets: \"b..c\" overlaps \"a..b\": both contain the name \"b\"; \
         let \"b..c\" begin after the end of \"a..b\", or end before its start",
        "kv.toml:19: log.level: invalid level: \"inof\"; write one of off, error, warn, info, debug, trace",
    ];
    let errors = load(FOO, Some(text), &[("KV_MAX_RESTARTS", "many")], &Flags::default()).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, lines);
}

#[test]
fn what_an_error_proposes_can_be_pasted() {
    let heads =
        "cookie = \"weknoweachother\"\n[nodes.\"foo@127.0.0.1\"]\nLINK\n[nodes.\"bar@127.0.0.1\"]\nLINK\n";
    let proposed = checked(FOO, &heads.replace("LINK", ""));
    let links: Vec<&str> =
        proposed.lines().filter_map(|line| line.split_once("write link").map(|(_, link)| link)).collect();
    let rows = proposed.split_once("write such rows:\n").map(|(_, rows)| rows).expect("rows");
    let mut text = heads.replacen("LINK", &format!("link{}", links[0]), 1);
    text = text.replacen("LINK", &format!("link{}", links[1]), 1) + rows;
    assert_eq!(checked(FOO, &text), "kv.toml: ok: node foo@127.0.0.1, volatile, 2 nodes, 1 route");
}

#[test]
fn a_key_in_another_table_than_its_own() {
    refused([
        (
            format!("{PAIR}run_dir = \"/run/kv\""),
            "kv.toml:13: routes.run_dir: unknown key; move run_dir to the top of the file, before the first \
             line in brackets",
        ),
        (
            format!("{PAIR}[log]\nmax_memory = \"1gb\""),
            "kv.toml:14: log.max_memory: unknown key; move max_memory below [client_limits] or [storage]",
        ),
        (
            "clients = \"127.0.0.1:4040\"".to_owned(),
            "kv.toml:1: clients: unknown key; move clients below [nodes.\"NAME@HOST\"]",
        ),
    ]);
}

#[test]
fn addresses_that_collide() {
    refused([
        (
            pair("\"127.0.0.1:0\"", "\"127.0.0.1:4051\""),
            "kv.toml:4: nodes.\"foo@127.0.0.1\".link: 127.0.0.1:4051 is taken: \
             nodes.\"foo@127.0.0.1\".clients has the same port; write another one",
        ),
        (
            pair("\"127.0.0.1:4052\"", "\"127.0.0.1:4051\""),
            "kv.toml:4: nodes.\"foo@127.0.0.1\".link: 127.0.0.1:4051 is taken: \
             nodes.\"bar@127.0.0.1\".link has the same port; write another one",
        ),
    ]);
    let all = PAIR.replace("\"127.0.0.1:0\"", "\"0.0.0.0:4052\"");
    assert!(checked(FOO, &format!("allow_public_clients = true\n{all}")).contains("4052 is taken"));
    let machines = PAIR.replace("bar@127.0.0.1", "bar@b").replace("127.0.0.1:4052", "localhost:4051");
    assert!(checked(FOO, &machines).contains(": ok:"), "the same port on another machine");
}

#[test]
fn the_later_of_two_cookies_wins() {
    let cookie = |variables: &[(&str, &str)]| load(FOO, Some(PAIR), variables, &Flags::default());
    assert_eq!(cookie(&[]).unwrap().cookie.unwrap().0, "weknoweachother");
    assert_eq!(cookie(&[("KV_COOKIE", "secret")]).unwrap().cookie.unwrap().0, "secret");
    let errors = cookie(&[("KV_COOKIE_FILE", "/no/such/cookie")]).unwrap_err();
    assert!(errors[0].to_string().contains("/no/such/cookie cannot be read"), "{errors:?}");
    let errors = cookie(&[("KV_COOKIE_FILE", "cookie")]).unwrap_err();
    let whole = std::path::absolute("cookie").unwrap();
    assert_eq!(
        errors[0].to_string(),
        format!(
            "KV_COOKIE_FILE: cookie_file: \"cookie\" depends on the directory that a node is started in; \
             write {whole:?}"
        )
    );
}

#[test]
fn what_is_in_force_comes_with_its_origin_and_without_the_cookie() {
    let flags = Flags { values: vec![("log-level", "debug".to_owned())], ..Flags::default() };
    let foo = load(FOO, Some(PAIR), &[("KV_MISSED_HEARTBEATS", "7")], &flags).unwrap();
    let lines: Vec<&str> = foo.in_force.lines().collect();
    let has = |value: &str, origin: &str| {
        let line = lines.iter().find(|line| line.starts_with(value)).unwrap_or_else(|| panic!("{value}"));
        assert_eq!(line.strip_prefix(value).map(str::trim), Some(format!("# {origin}").as_str()), "{line}");
    };
    has("cookie = (hidden)", "kv.toml:1");
    has("run_dir = \"/run/user/1/kv\"", "defaults");
    has("clients = \"127.0.0.1:0\"", "kv.toml:3");
    has("nodes = [\"bar@127.0.0.1\"]", "kv.toml:12");
    has("missed_heartbeats = 7", "KV_MISSED_HEARTBEATS");
    has("level = \"debug\"", "--log-level");
    has("heartbeat_ms = 1000", "defaults");
    assert!(lines.contains(&"[nodes.\"bar@127.0.0.1\"]") && lines.contains(&"[[routes]]"), "{lines:?}");
    assert!(!foo.in_force.contains("weknoweachother"), "{}", foo.in_force);
    let alone = load(FOO, None, &[], &Flags::default()).unwrap();
    assert!(alone.in_force.contains("clients = \"127.0.0.1:4040\""), "{}", alone.in_force);
}

#[test]
fn a_node_is_found_although_its_configuration_is_wrong_elsewhere() {
    let directory = std::env::temp_dir().join(format!("kv-locate-{}", std::process::id()));
    let text = PAIR.replace("cookie =", "cokie =").replace("n..z", "a..z");
    std::fs::write(&directory, format!("run_dir = \"/run/of-foo\"\n{text}")).unwrap();
    let flags = Flags { config: Some(directory.clone()), ..Flags::default() };
    assert!(Settings::load(FOO, &flags, &environment(&[])).is_err());
    let found = Location::load(FOO, &flags, &environment(&[])).unwrap();
    assert_eq!((found.node.as_str(), found.run_dir), ("foo@127.0.0.1", PathBuf::from("/run/of-foo")));
    std::fs::remove_file(directory).unwrap();
}

#[test]
fn routes_that_cannot_be_followed() {
    refused([
        (
            pair("\"n..z\"", "\"m..z\""),
            "kv.toml:11: routes.buckets: \"m..z\" overlaps \"a..m\": both contain the name \"m\"; \
             let \"m..z\" begin after the end of \"a..m\", or end before its start",
        ),
        (
            pair("\"n..z\"", "\"n-z\""),
            "kv.toml:11: routes.buckets: \"n-z\" is not a range of buckets: it has no ..; \
             write \"a..m\", \"n..\" or \"..\" for all names",
        ),
        (
            pair("nodes = [\"bar@127.0.0.1\"]", "nodes = [\"baz@127.0.0.1\"]"),
            "kv.toml:12: routes.nodes: unknown node \"baz@127.0.0.1\"; did you mean \"bar@127.0.0.1\"?",
        ),
        (
            pair("nodes = [\"bar@127.0.0.1\"]", "nodes = []"),
            "kv.toml:12: routes.nodes: nodes is empty; name the node that owns the range: bar@127.0.0.1, foo@127.0.0.1",
        ),
    ]);
}

#[test]
fn nodes_addresses_and_cookies() {
    refused([
        (
            pair("\"127.0.0.1:4051\"", "\"127.0.0.1\""),
            "kv.toml:4: nodes.\"foo@127.0.0.1\".link: invalid address: \"127.0.0.1\"; write link = \"127.0.0.1:4051\"",
        ),
        (
            pair("\"127.0.0.1:4052\"", "\"127.0.0.1:99999\""),
            "kv.toml:6: nodes.\"bar@127.0.0.1\".link: invalid address: \"127.0.0.1:99999\"; write link = \"127.0.0.1:4052\"",
        ),
        (
            pair("[nodes.\"bar@127.0.0.1\"]\nlink = \"127.0.0.1:4052\"\n", "[nodes.\"bar@127.0.0.1\"]\n"),
            "kv.toml:5: nodes.\"bar@127.0.0.1\": has no link; write link = \"127.0.0.1:4052\"",
        ),
        (
            pair("cookie = \"weknoweachother\"\n", ""),
            "kv.toml:3: nodes.\"foo@127.0.0.1\".link: links need a cookie; \
             write cookie = \"a secret that all nodes share\", or set KV_COOKIE or cookie_file",
        ),
        (
            pair("\"127.0.0.1:4051\"", "\"10.0.0.1:4051\""),
            "kv.toml:4: nodes.\"foo@127.0.0.1\".link: 10.0.0.1:4051 is reachable from other machines and the cookie is \
             the shipped one, which everyone knows; write a cookie of your own, or set KV_COOKIE or cookie_file",
        ),
        (
            pair("clients = \"127.0.0.1:0\"", "clients = \"0.0.0.0:4040\""),
            "kv.toml:3: nodes.\"foo@127.0.0.1\".clients: 0.0.0.0:4040 is reachable from other machines and \
             there is no client authentication; use 127.0.0.1, or write allow_public_clients = true at the top of the \
             file (or set KV_ALLOW_PUBLIC_CLIENTS=true)",
        ),
        (
            pair("clients = \"127.0.0.1:0\"", "admin = \"0.0.0.0:4060\""),
            "kv.toml:3: nodes.\"foo@127.0.0.1\".admin: 0.0.0.0:4060 is reachable from other machines, and shows all \
             names and values to everyone; use 127.0.0.1, or write allow_public_admin = true at the top of the file \
             (or set KV_ALLOW_PUBLIC_ADMIN=true)",
        ),
        (
            pair("nodes.\"foo@127.0.0.1\"", "nodes.\"foobar@127.0.0.1\""),
            "kv.toml: nodes: no node of the release foo; add [nodes.\"foo@127.0.0.1\"], or name one with --node",
        ),
        (
            pair("nodes.\"bar@127.0.0.1\"", "nodes.\"foo@b\""),
            "kv.toml: nodes: several nodes of the release foo: foo@127.0.0.1, foo@b; name one with --node or KV_NODE\n\
             kv.toml:12: routes.nodes: unknown node \"bar@127.0.0.1\"; did you mean \"foo@127.0.0.1\"?",
        ),
        (
            "cookie = \"a\"\ncookie_file = \"b\"".to_owned(),
            "kv.toml:1: cookie: there is a cookie_file as well; write one of the two",
        ),
    ]);
    assert_eq!(
        checked(
            BAR,
            &PAIR.replace("[nodes.\"bar@127.0.0.1\"]", "[nodes.\"bar@127.0.0.1\"]\nclients = \"a:1\"")
        ),
        "kv.toml:6: nodes.\"bar@127.0.0.1\".clients: bar takes no clients; remove it"
    );
}

#[test]
fn errors_name_the_variable_or_the_flag() {
    let errors = |variables: &[(&str, &str)], flags: Flags| {
        let errors = load(FOO, Some(PAIR), variables, &flags).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        errors(&[("KV_MAX_RESTARTS", "many")], Flags::default()),
        "KV_MAX_RESTARTS: \"many\" is not an integer from 0 to 4294967295; set it to 3"
    );
    for (value, remedy) in [("no", "false"), ("On", "true"), ("maybe", "true or false")] {
        assert_eq!(
            errors(&[("KV_IO_URING", value)], Flags::default()),
            format!("KV_IO_URING: {value:?} is not a boolean; set it to {remedy}")
        );
    }
    assert_eq!(
        errors(&[("KV_NODE", "foo")], Flags::default()),
        "KV_NODE: \"foo\" is not a node name: it has no @; write name@host, such as foo@127.0.0.1"
    );
    assert_eq!(
        errors(&[("KV_LINK", "4051")], Flags::default()),
        "KV_LINK: nodes.\"foo@127.0.0.1\".link: invalid address: \"4051\"; write link = \"127.0.0.1:4051\""
    );
    assert_eq!(
        errors(&[], Flags { values: vec![("log-level", "loud".to_owned())], ..Flags::default() }),
        "--log-level: log.level: invalid level: \"loud\"; write one of off, error, warn, info, debug, trace"
    );
    assert_eq!(
        errors(&[], Flags { node: Some("fo@127.0.0.1".to_owned()), ..Flags::default() }),
        "--node: the file has no node fo@127.0.0.1; did you mean foo@127.0.0.1?"
    );
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let settings = load(FOO, None, &[("KV_CLIENT", "127.0.0.1:1")], &Flags::default()).unwrap();
    assert_eq!(settings.warnings, ["unknown variable KV_CLIENT; did you mean KV_CLIENTS?"]);
}

#[test]
fn a_missing_file_is_named() {
    let flags = Flags { config: Some("no/such.toml".into()), ..Flags::default() };
    let error = Settings::load(FOO, &flags, &environment(&[])).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert_eq!(
        error.to_string(),
        "invalid configuration; nothing was started\nno/such.toml: cannot be read (No such file or \
         directory (os error 2)); pass another file with --config or KV_CONFIG"
    );
}
