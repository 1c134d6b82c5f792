//! The hosts that a request may name.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The names of hosts that a request may be sent to. An address is always one: a browser that was led here by
/// a name does not name an address.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// `localhost`, the host of a node, that of the address that is listened on, and those of the
    /// configuration.
    pub(crate) fn new(node_host: &str, address: &str, configured: &[String]) -> Hosts {
        let listens_on = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let own = ["localhost", node_host, listens_on];
        let all = own.into_iter().chain(configured.iter().map(String::as_str));
        Hosts(all.map(str::to_ascii_lowercase).collect())
    }

    /// Whether a request may name this host.
    pub(crate) fn has(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_address = match address {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<Ipv4Addr>().is_ok(),
        };
        let name = host.strip_suffix('.').unwrap_or(host);
        is_address || self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_an_address_or_a_host_of_the_node() {
        let hosts = Hosts::new("db1.example", "admin.lan:4060", &["Metrics.example".to_owned()]);
        for known in [
            "localhost",
            "LOCALHOST.",
            "db1.example",
            "admin.lan",
            "metrics.example",
            "127.0.0.1",
            "10.1.2.3",
            "[::1]",
        ] {
            assert!(hosts.has(known), "{known}");
        }
        for unknown in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]", "::1", ""]
        {
            assert!(!hosts.has(unknown), "{unknown}");
        }
    }
}
