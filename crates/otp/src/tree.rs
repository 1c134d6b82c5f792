//! The supervision tree as a value: displayed with box lines (`{:#}` adds times, allowed restarts, memory),
//! serialized for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::strategy::Strategy;

/// One row of the supervision tree and the rows below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The name that its parent gave it.
    pub name: String,
    /// What it is.
    pub kind: ChildKind,
    /// A supervisor's strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Whether it runs.
    pub state: State,
    /// How long it has been running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_seconds: Option<u64>,
    /// How many times it has been restarted.
    pub restarts: u32,
    /// A supervisor's recent restarts of its children, and how many it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent_restarts: Option<RecentRestarts>,
    /// The memory of its passive children, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many tasks or passive children have crashed; these are never restarted.
    pub crashed: u64,
    /// The name of the passive child that crashed last, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_crashed: Option<String>,
    /// How many children it has, shown or not.
    pub total: usize,
    /// The children that are shown.
    pub children: Vec<Tree>,
}

/// How close a supervisor is to giving up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentRestarts {
    /// Restarts within the last period.
    pub recent: usize,
    /// How many it allows within a period.
    pub max: u32,
    /// The period.
    pub within_seconds: u64,
}

/// What a row of the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildKind {
    /// It supervises the rows below it.
    Supervisor,
    /// It does work of its own.
    Worker,
    /// It runs tasks that are counted but not named.
    Tasks,
    /// It runs no code of its own; the row above it manages it.
    Passive,
}

/// Whether a row of the tree runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It is stopping.
    Stopping,
    /// It has ended.
    Ended,
}

/// The passive children of a child.
#[derive(Debug, Clone, Default)]
pub struct PassiveChildren {
    /// How many there are.
    pub total: usize,
    /// How many have crashed so far.
    pub crashed: u64,
    /// The name of the one that crashed last, if that is known.
    pub last_crashed: Option<String>,
    /// The memory that they take, if that is known.
    pub bytes: Option<u64>,
    /// The first of them.
    pub shown: Vec<Tree>,
}

impl Tree {
    /// A row of kind [`ChildKind::Passive`].
    pub fn passive(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: ChildKind::Passive,
            strategy: None,
            state: State::Running,
            up_seconds: None,
            restarts: 0,
            recent_restarts: None,
            bytes: None,
            crashed: 0,
            last_crashed: None,
            total: 0,
            children: Vec::new(),
        }
    }

    fn draw_row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names may be a client's bytes, and must not move a terminal's cursor.
        write!(f, "{}", self.name.escape_debug())?;
        let details = if f.alternate() { self.all_details() } else { self.details() };
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }

    fn details(&self) -> Vec<String> {
        let state = match self.state {
            State::Running => None,
            State::Stopping => Some("stopping".to_owned()),
            State::Ended => Some("ended".to_owned()),
        };
        let total = match self.kind {
            ChildKind::Supervisor => None,
            ChildKind::Tasks => Some(format!("{} running", with_thousands(self.total as u64))),
            ChildKind::Worker | ChildKind::Passive => match self.total {
                0 => None,
                1 => Some("1 child".to_owned()),
                total => Some(format!("{} children", with_thousands(total as u64))),
            },
        };
        let crashed = (self.crashed > 0).then(|| format!("{} crashed", with_thousands(self.crashed)));
        let restarts = match self.restarts {
            0 => None,
            1 => Some("1 restart".to_owned()),
            many => Some(format!("{} restarts", with_thousands(many.into()))),
        };
        let strategy = self.strategy.map(|strategy| strategy.to_string());
        [strategy, state, total, crashed, restarts].into_iter().flatten().collect()
    }

    fn all_details(&self) -> Vec<String> {
        let up = self.up_seconds.map(|seconds| match seconds {
            0..120 => format!("up {seconds} s"),
            120..7200 => format!("up {} min", seconds / 60),
            7200..172_800 => format!("up {} h", seconds / 3600),
            _ => format!("up {} d", seconds / 86_400),
        });
        let recent = self.recent_restarts.map(|RecentRestarts { recent, max, within_seconds }| {
            format!("restarts {recent}/{max} in {within_seconds} s")
        });
        let bytes = self.bytes.map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6));
        self.details().into_iter().chain([up, recent, bytes].into_iter().flatten()).collect()
    }

    fn draw_children(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        // With no child shown, the row itself has the total.
        let shown = self.children.len();
        let hidden = if shown == 0 { 0 } else { self.total.saturating_sub(shown) };
        for (index, child) in self.children.iter().enumerate() {
            let last = index + 1 == shown && hidden == 0;
            let (branch, continuation) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
            write!(f, "\n{indent}{branch}")?;
            child.draw_row(f)?;
            child.draw_children(f, &format!("{indent}{continuation}"))?;
        }
        if hidden > 0 {
            write!(f, "\n{indent}└── … and {} more", with_thousands(hidden as u64))
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draw_row(f)?;
        self.draw_children(f, "")
    }
}

/// `1234567` as `1,234,567`.
fn with_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
