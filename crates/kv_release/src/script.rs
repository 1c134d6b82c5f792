//! `rpc` and `eval`: expressions from the command line, results on stdout.

use crate::{
    console::{self, Node, grammar::statements},
    control::{client, place::Place},
    error::Error,
    output::say,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Evaluates each statement on the running node.
pub(crate) fn rpc(place: &Place, line: &str, json: bool) -> Result<(), Error> {
    each(line, json, |statement| client::ask(place, statement, json))
}

/// Evaluates each statement on a node in this process.
pub(crate) fn eval(runtime: &Runtime, node: &Node, line: &str, json: bool) -> Result<(), Error> {
    each(line, json, |statement| {
        let answer = runtime.block_on(console::evaluate(node, statement)).map_err(Error::Refused)?;
        Ok(if json { answer.json() } else { Value::String(answer.text()) })
    })
}

/// Prints one result after the other; the first error ends it, and is JSON too where JSON is wanted.
fn each(line: &str, json: bool, mut ask: impl FnMut(&str) -> Result<Value, Error>) -> Result<(), Error> {
    for statement in statements(line) {
        match ask(statement) {
            Ok(value) if json => say(value),
            Ok(value) => say(value.as_str().unwrap_or_default()),
            Err(Error::Refused(message)) if json => {
                say(json!({ "error": message }));
                return Err(Error::Printed);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
