//! A node's name, `name@host`.

use crate::{error::NodeNameError, limits::NODE_NAME_BYTES};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The name of a node: `name@host`, as in `foo@127.0.0.1`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The part before the `@`.
    pub fn name(&self) -> &str {
        self.parts().0
    }

    /// The part after the `@`.
    pub fn host(&self) -> &str {
        self.parts().1
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole name, shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('@').unwrap_or((&self.0, ""))
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<NodeName, NodeNameError> {
        match validate(text) {
            Ok(()) => Ok(NodeName(text.into())),
            Err(problem) => Err(NodeNameError { given: text.into(), problem }),
        }
    }
}

fn validate(text: &str) -> Result<(), &'static str> {
    if text.len() > NODE_NAME_BYTES {
        return Err("it is longer than 255 bytes");
    }
    let Some((name, host)) = text.split_once('@') else { return Err("it has no @") };
    if name.is_empty() {
        return Err("there is nothing before the @");
    }
    if host.is_empty() {
        return Err("there is nothing after the @");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        return Err("the name may have letters, digits, _ and - only");
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:[]".contains(&b)) {
        return Err("the host may have letters, digits and _ - . : [ ] only");
    }
    Ok(())
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: String) -> Result<NodeName, NodeNameError> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> String {
        name.as_str().into()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_two_parts() {
        let node: NodeName = "foo@computer-name.local".parse().unwrap();
        assert_eq!((node.name(), node.host()), ("foo", "computer-name.local"));
        assert_eq!(node.to_string(), "foo@computer-name.local");
    }

    #[test]
    fn an_invalid_name_is_refused_with_the_reason() {
        let invalid = [
            ("", "no @"),
            ("foo", "no @"),
            ("@host", "before"),
            ("foo@", "after"),
            ("f o@host", "name may"),
            ("foo@ho st", "host may"),
            ("foo@host@host", "host may"),
            ("foo@h\u{e9}", "host may"),
        ];
        for (text, reason) in invalid {
            let error = text.parse::<NodeName>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
            assert!(error.contains("foo@127.0.0.1"), "{error}");
        }
        assert!(format!("foo@{}", "h".repeat(300)).parse::<NodeName>().is_err());
    }
}
