//! Expressions from the command line, results on stdout: `rpc` on the running node, `eval` on a node in this
//! process, which starts for them alone.

use crate::{
    console::{self, Node, parse::statements},
    control::{client, run_dir::RunDir},
    error::Error,
    output::print_line,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Evaluates each statement on the running node.
pub(crate) fn rpc(run_dir: &RunDir, line: &str, json: bool) -> Result<(), Error> {
    run_statements(line, json, |statement| client::evaluate(run_dir, statement, json))
}

/// Evaluates each statement on a node in this process.
pub(crate) fn eval(runtime: &Runtime, node: &Node, line: &str, json: bool) -> Result<(), Error> {
    run_statements(line, json, |statement| {
        let value = runtime.block_on(console::evaluate(node, statement)).map_err(Error::Refused)?;
        Ok(if json { value.json() } else { Value::String(value.text()) })
    })
}

/// Prints the result of each statement, up to the first error; that is printed too if JSON is wanted.
fn run_statements(
    line: &str,
    json: bool,
    mut evaluate: impl FnMut(&str) -> Result<Value, Error>,
) -> Result<(), Error> {
    for statement in statements(line) {
        match evaluate(statement) {
            Ok(value) if json => print_line(value),
            Ok(value) => print_line(value.as_str().unwrap_or_default()),
            Err(Error::Refused(message)) if json => {
                print_line(json!({ "error": message }));
                return Err(Error::Printed);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
