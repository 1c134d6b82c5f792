//! What a node says on stdout when it has started. The lines `name  value` are stable: scripts read them.

use crate::console::Node;
use std::net::SocketAddr;

/// The banner.
pub(crate) fn text(node: &Node) -> String {
    let (release, version, me, pid) =
        (node.release, node.version, node.cluster.node_name(), std::process::id());
    let address = |address: Option<SocketAddr>| address.map_or("none".to_owned(), |known| known.to_string());
    let (clients, link) = (address(node.clients), address(node.link));
    let config = node.file.as_ref().map(|file| file.display().to_string());
    let with = config.as_ref().map(|file| format!(" --config {file}")).unwrap_or_default();
    let talk = match node.clients {
        Some(address) => format!("telnet {} {}, then CREATE shopping", address.ip(), address.port()),
        None => "it takes no clients; other nodes and its console reach it".to_owned(),
    };
    let cluster = match config {
        Some(_) => String::new(),
        None => format!("\n  make a cluster  {release} start --config rel/runtime.toml"),
    };
    let config = config.unwrap_or_else(|| "none, all defaults".to_owned());
    format!(
        "{release} {version}
  node     {me}
  pid      {pid}
  clients  {clients}
  link     {link}
  storage  volatile: what it holds is gone when it ends
  config   {config}

  talk to it      {talk}{cluster}
  its console     {release} remote{with}
  all verbs       {release} help
"
    )
}
