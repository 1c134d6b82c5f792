//! The console on a terminal: line editing, history, completion.

mod complete;

use crate::{
    console::grammar::{self, Command},
    control::{client, place::Place},
    error::Error,
    limits::HISTORY_LINES,
    output::say,
};
use complete::Completion;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{CompletionType, Config, Editor, error::ReadlineError, history::FileHistory};
use std::io::stdin;

/// Reads lines and prints what the node answers, until the person leaves.
pub(crate) fn converse(place: &Place, leaving: &str) -> Result<(), Error> {
    let broken = |error: ReadlineError| Error::Control(format!("the terminal: {error}"));
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LINES)
        .map_err(broken)?
        .build();
    let mut editor = Editor::<Completion, FileHistory>::with_config(config).map_err(broken)?;
    editor.set_helper(Some(Completion { place: place.clone() }));
    // A first console has no history yet, and an unreadable one is not worth refusing a console for.
    let _ = editor.load_history(&place.history());
    say(format_args!(
        "Console of {}: `help` lists what it understands, `exit` or Ctrl-D {leaving}.",
        place.node()
    ));
    let prompt = format!("{}> ", place.node());
    loop {
        match editor.readline(&prompt) {
            Ok(line) => match line.trim() {
                "" => {}
                "exit" | "quit" => break,
                line => {
                    // At once, since the process may end while the next line is typed.
                    let _ = editor.add_history_entry(line);
                    let _ = editor.append_history(&place.history());
                    if !evaluate(place, line) {
                        break;
                    }
                }
            },
            Err(ReadlineError::Interrupted) => say(format_args!("(`exit` or Ctrl-D {leaving})")),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    Ok(())
}

/// Prints what the node answers to each statement. `false`: the node was told to end, or is gone.
fn evaluate(place: &Place, line: &str) -> bool {
    for statement in grammar::statements(line) {
        match client::ask(place, statement, false) {
            Ok(answer) => say(answer.as_str().unwrap_or_default()),
            Err(Error::Refused(message)) => {
                say(format_args!("** {message}"));
                return true;
            }
            Err(error) => {
                say(format_args!("** {error}"));
                return false;
            }
        }
        if grammar::parse(statement) == Ok(Command::Stop) {
            return false;
        }
    }
    true
}

/// Gives the terminal back as it was, also when the node ends while a line is being edited.
#[derive(Debug)]
pub(crate) struct KeepTerminal(Option<Termios>);

impl KeepTerminal {
    /// Remembers how the terminal is now.
    pub(crate) fn new() -> KeepTerminal {
        KeepTerminal(tcgetattr(stdin()).ok())
    }
}

impl Drop for KeepTerminal {
    fn drop(&mut self) {
        if let Some(termios) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, termios);
        }
    }
}
