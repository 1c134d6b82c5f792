//! What a node prints on stdout once it has started. The `name  value` lines are stable: scripts read them.

use crate::console::Node;
use std::net::SocketAddr;

pub(super) fn text(node: &Node) -> String {
    let (release, version, name, pid) =
        (node.release, node.version, node.cluster.node_name(), std::process::id());
    let address = |address: Option<SocketAddr>| address.map_or("none".to_owned(), |known| known.to_string());
    let (clients, link) = (address(node.clients), address(node.link));
    let config = node.file.as_ref().map(|file| file.display().to_string());
    let with_config = config.as_ref().map(|file| format!(" --config {file}")).unwrap_or_default();
    let connect = match node.clients {
        Some(address) => format!("telnet {} {}, then CREATE shopping", address.ip(), address.port()),
        None => "this node takes no clients; use its console, or connect through another node".to_owned(),
    };
    let cluster = match config {
        Some(_) => String::new(),
        None => format!("\n  cluster    {release} start --config rel/runtime.toml"),
    };
    let config = config.unwrap_or_else(|| "none (defaults)".to_owned());
    format!(
        "{release} {version}
  node     {name}
  pid      {pid}
  clients  {clients}
  link     {link}
  storage  volatile (in memory only; lost on exit)
  config   {config}

  connect    {connect}{cluster}
  console    {release} remote{with_config}
  all verbs  {release} help
"
    )
}
