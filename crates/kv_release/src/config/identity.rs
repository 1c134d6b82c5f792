//! Which node of the file this is.

use super::{
    file::File,
    problem::{Place, Problem},
    suggest::nearest,
};
use kv_cluster::NodeName;

/// The name of the node that starts: the wanted one, else the file's only one of this release, else the
/// release on this machine.
pub(super) fn identify(
    release: &str,
    wanted: Option<(Place, &str)>,
    file: Option<&File>,
) -> Result<String, Problem> {
    let nodes = file.map(File::nodes).unwrap_or_default();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    match (wanted, file) {
        (Some((place, name)), _) => match refusal(name, &nodes) {
            None => Ok(name.to_owned()),
            Some(wrong) => Err(Problem { place, key: String::new(), wrong }),
        },
        (None, Some(file)) if !nodes.is_empty() => only_one(release, &nodes).map_err(|wrong| Problem {
            place: Place::File(file.path.clone()),
            key: "nodes".to_owned(),
            wrong,
        }),
        (None, _) => Ok(format!("{release}@127.0.0.1")),
    }
}

/// Why the wanted name cannot be taken; without nodes in a file any name can.
fn refusal(wanted: &str, nodes: &[&str]) -> Option<String> {
    if let Err(error) = wanted.parse::<NodeName>() {
        return Some(error.to_string());
    }
    if nodes.is_empty() || nodes.contains(&wanted) {
        return None;
    }
    Some(match nearest(wanted, nodes.iter().copied()) {
        Some(name) => format!("the file has no node {wanted}; did you mean {name}?"),
        None => format!("the file has no node {wanted}; add [nodes.{wanted:?}]"),
    })
}

fn only_one(release: &str, nodes: &[&str]) -> Result<String, String> {
    let of_release = |name: &&str| name.split('@').next() == Some(release);
    let own: Vec<&str> = nodes.iter().copied().filter(of_release).collect();
    match own[..] {
        [name] => Ok(name.to_owned()),
        [] => Err(format!(
            "no node of the release {release}; add [nodes.\"{release}@127.0.0.1\"], or name one with --node"
        )),
        [..] => Err(format!(
            "{} are all of the release {release}; name one with --node or KV_NODE",
            own.join(", ")
        )),
    }
}
