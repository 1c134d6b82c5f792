//! A configuration key, and a section of keys. Each key is described once: in the file of its section.

use config::Value;

/// The keys of one table of the configuration file.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) table: Table,
    /// What the keys are for, as the reference says it.
    pub(crate) help: &'static str,
    pub(crate) keys: &'static [Key],
}

/// The table of the file that holds the keys of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Before the first table.
    Top,
    /// In `[name]`.
    Named(&'static str),
    /// In `[nodes."NAME@HOST"]`, one table per node.
    Nodes,
    /// In `[[name]]`, one table per row.
    Rows(&'static str),
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As the text of a variable.
    pub(crate) default: Option<&'static str>,
    /// A valid value, as the text of a variable.
    pub(crate) example: &'static str,
    /// The variable that sets it. For a key of a node, it sets the key of the node that starts.
    pub(crate) variable: Option<&'static str>,
    pub(crate) flag: Option<Flag>,
    /// Whether a reload (`node/run.rs`) applies a change while the node runs.
    pub(crate) live: bool,
    pub(crate) help: &'static str,
}

/// The command-line flag that sets a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Without the dashes.
    pub(crate) name: &'static str,
    /// What the help calls its value.
    pub(crate) value_name: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Integer { min: i64 },
    Bool,
    StringList,
}

/// The largest integer of any key.
pub(crate) const MAX_INTEGER: i64 = u32::MAX as i64;

impl Key {
    pub(crate) const fn string(name: &'static str) -> Key {
        Key::new(name, Kind::String)
    }

    pub(crate) const fn integer(name: &'static str, min: i64) -> Key {
        Key::new(name, Kind::Integer { min })
    }

    pub(crate) const fn boolean(name: &'static str) -> Key {
        Key::new(name, Kind::Bool)
    }

    pub(crate) const fn string_list(name: &'static str) -> Key {
        Key::new(name, Kind::StringList)
    }

    const fn new(name: &'static str, kind: Kind) -> Key {
        Key { name, kind, default: None, example: "", variable: None, flag: None, live: false, help: "" }
    }

    /// Sets the default, which is also the example unless another one is set after it.
    pub(crate) const fn default(self, default: &'static str) -> Key {
        Key { default: Some(default), example: default, ..self }
    }

    pub(crate) const fn example(self, example: &'static str) -> Key {
        Key { example, ..self }
    }

    pub(crate) const fn variable(self, variable: &'static str) -> Key {
        Key { variable: Some(variable), ..self }
    }

    pub(crate) const fn flag(self, name: &'static str, value_name: &'static str) -> Key {
        Key { flag: Some(Flag { name, value_name }), ..self }
    }

    pub(crate) const fn live(self) -> Key {
        Key { live: true, ..self }
    }

    pub(crate) const fn help(self, help: &'static str) -> Key {
        Key { help, ..self }
    }
}

impl Table {
    /// The name of the table that holds the keys.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Table::Top => None,
            Table::Named(name) | Table::Rows(name) => Some(name),
            Table::Nodes => Some("nodes"),
        }
    }

    /// How the file begins it.
    pub(crate) fn heading(self) -> String {
        match self {
            Table::Top => "At the top of the file, before the first table".to_owned(),
            Table::Named(name) => format!("[{name}]"),
            Table::Nodes => "[nodes.\"NAME@HOST\"]".to_owned(),
            Table::Rows(name) => format!("[[{name}]]"),
        }
    }

    /// The path of a key for the node `node`.
    pub(crate) fn path(self, node: &str, key: &str) -> Vec<String> {
        let path: &[&str] = match self {
            Table::Top => &[key],
            Table::Named(table) | Table::Rows(table) => &[table, key],
            Table::Nodes => &["nodes", node, key],
        };
        path.iter().map(|&part| part.to_owned()).collect()
    }
}

impl Kind {
    /// What a value is expected to be, for errors.
    pub(crate) fn expected(self) -> String {
        match self {
            Kind::String => "a quoted string".to_owned(),
            Kind::Integer { min } => format!("an integer from {min} to {MAX_INTEGER}"),
            Kind::Bool => "a boolean".to_owned(),
            Kind::StringList => "a list of strings".to_owned(),
        }
    }

    /// What to write instead of `text`, which is no such value.
    pub(crate) fn remedy<'a>(self, text: &str, example: &'a str) -> &'a str {
        match (self, text.to_ascii_lowercase().as_str()) {
            (Kind::Bool, "no" | "off" | "0" | "false" | "n" | "f") => "false",
            (Kind::Bool, "yes" | "on" | "1" | "true" | "y" | "t") => "true",
            (Kind::Bool, _) => "true or false",
            _ => example,
        }
    }

    /// The value that `text` stands for in a variable or a flag.
    pub(crate) fn parse(self, text: &str) -> Option<Value> {
        match self {
            Kind::String => Some(text.into()),
            Kind::Integer { min } => text
                .parse::<i64>()
                .ok()
                .filter(|number| (min..=MAX_INTEGER).contains(number))
                .map(Value::from),
            Kind::Bool => text.parse::<bool>().ok().map(Value::from),
            Kind::StringList => None,
        }
    }

    /// `text` as the file would contain it.
    pub(crate) fn literal(self, text: &str) -> String {
        match self {
            Kind::String => format!("{text:?}"),
            Kind::Integer { .. } | Kind::Bool => text.to_owned(),
            Kind::StringList => format!("[{text:?}]"),
        }
    }
}
