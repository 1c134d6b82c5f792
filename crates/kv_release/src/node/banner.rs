//! What a node prints on stdout once it has started. The `name  value` lines are stable: scripts read them.
//! The commands work as they are pasted into a shell.

use crate::{
    config::{
        Flags,
        layers::environment::{self, Environment},
    },
    console::Node,
};
use kv_cluster::LocalNode;
use kv_raft::Fsync;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn text(node: &Node, flags: &Flags, environment: &Environment) -> String {
    let (release, version, name, pid) =
        (node.release, node.version, node.cluster.node_name(), std::process::id());
    let address = |address: Option<SocketAddr>| address.map_or("none".to_owned(), |known| known.to_string());
    let (clients, link) = (address(node.clients), address(node.link));
    let (admin, page) = match &node.admin {
        Ok(address) => {
            let page = format!("  page       http://{}/\n", reachable(*address));
            (address.to_string(), page)
        }
        Err(none) => (none.clone(), String::new()),
    };
    let config = node.file.as_ref().map(|file| file.display().to_string());
    let config = config.unwrap_or_else(|| "none (defaults)".to_owned());
    let connect = match node.clients {
        Some(address) => {
            let address = reachable(address);
            format!("telnet {} {}", address.ip(), address.port())
        }
        None => "this node takes no clients; use its console, or connect through another node".to_owned(),
    };
    let storage = storage(node.cluster.local());
    let program = quoted(&environment::called_as());
    let flags: String = flags.locating(environment).iter().map(|word| format!(" {}", quoted(word))).collect();
    format!(
        "{release} {version}
  node     {name}
  pid      {pid}
  clients  {clients}
  link     {link}
  admin    {admin}
  storage  {storage}
  config   {config}

  connect    {connect}
{page}  console    {program} remote{flags}
  configure  {program} help config
  all verbs  {program} help
"
    )
}

/// What holds of what is acknowledged.
fn storage(local: &LocalNode) -> String {
    let volatile: Vec<&str> = local.volatile_rows().collect();
    let (Some(data_dir), Some(range)) = (local.data_dir(), local.ranges().first().copied()) else {
        return "volatile (in memory only; lost on exit)".to_owned();
    };
    let promise = match range.status().fsync {
        Fsync::Always => "acknowledged means on disk".to_owned(),
        Fsync::Interval(interval) => format!("synced every {} ms", interval.as_millis()),
    };
    match volatile[..] {
        [] => format!("durable ({promise}, in {})", data_dir.display()),
        [..] => format!("durable ({promise}, in {}); volatile: {}", data_dir.display(), volatile.join(", ")),
    }
}

/// An address at which this machine reaches a listener.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_only_if_they_have_to_be() {
        assert_eq!(quoted("target/release/foo"), "target/release/foo");
        assert_eq!(quoted("/my files/it's.toml"), r"'/my files/it'\''s.toml'");
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        let reached = |bound: &str| reachable(bound.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:4040"), "127.0.0.1:4040");
        assert_eq!(reached("[::]:4040"), "[::1]:4040");
        assert_eq!(reached("10.0.0.1:4040"), "10.0.0.1:4040");
    }
}
