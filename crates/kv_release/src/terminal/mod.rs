//! The console on a terminal: line editing, history, completion.

mod complete;

use crate::{
    console::{
        parse::{lines, statements},
        table::stops_node,
    },
    control::{client, run_dir::RunDir},
    error::Error,
    limits::HISTORY_LINES,
    output::print_line,
};
use complete::Completion;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{CompletionType, Config, Editor, error::ReadlineError, history::FileHistory};
use std::io::stdin;

/// Reads lines and prints the node's results until the user leaves. `on_exit` describes what leaving does.
pub(crate) fn repl(run_dir: &RunDir, on_exit: &str) -> Result<(), Error> {
    let error = |error: ReadlineError| Error::Terminal(error.to_string());
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LINES)
        .map_err(error)?
        .build();
    let mut editor = Editor::<Completion, FileHistory>::with_config(config).map_err(error)?;
    editor.set_helper(Some(Completion { run_dir: run_dir.clone() }));
    // The first console has no history yet, and an unreadable history must not prevent a console.
    let _ = editor.load_history(&run_dir.history());
    let node = run_dir.node();
    print_line(format_args!("Console of {node}: `help` lists the commands, `exit` or Ctrl-D {on_exit}."));
    let prompt = format!("{node}> ");
    loop {
        match editor.readline(&prompt) {
            Ok(line) => match line.trim() {
                "" => {}
                word if ["exit", "quit"].iter().any(|exit| word.eq_ignore_ascii_case(exit)) => break,
                text => {
                    // Saved now, since the process may end while the next line is typed.
                    let _ = editor.add_history_entry(text);
                    let _ = editor.append_history(&run_dir.history());
                    // Several lines were pasted; an error in one does not skip the others.
                    if !lines(text).into_iter().all(|line| evaluate(run_dir, line)) {
                        break;
                    }
                }
            },
            Err(ReadlineError::Interrupted) => print_line(format_args!("(`exit` or Ctrl-D {on_exit})")),
            Err(ReadlineError::Eof) => break,
            Err(other) => return Err(error(other)),
        }
    }
    Ok(())
}

/// Prints the result of each statement. Returns `false` if the node is stopping or gone.
fn evaluate(run_dir: &RunDir, line: &str) -> bool {
    for statement in statements(line) {
        match client::evaluate(run_dir, statement, false) {
            Ok(value) => print_line(value.as_str().unwrap_or_default()),
            Err(Error::Refused(message)) => {
                print_line(format_args!("error: {message}"));
                return true;
            }
            Err(error) => {
                print_line(format_args!("error: {error}"));
                return false;
            }
        }
        if stops_node(statement) {
            return false;
        }
    }
    true
}

/// Restores the terminal's settings, even if the node ends while a line is being edited.
#[derive(Debug)]
pub(crate) struct TerminalGuard(Option<Termios>);

impl TerminalGuard {
    /// Saves the current settings.
    pub(crate) fn new() -> TerminalGuard {
        TerminalGuard(tcgetattr(stdin()).ok())
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        if let Some(termios) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, termios);
        }
    }
}
