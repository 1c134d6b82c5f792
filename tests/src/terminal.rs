//! A console on a terminal, as a person has it: what is typed may come before the prompt.

use crate::wait::wait_until;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts the program.
    pub(crate) fn start(mut program: Command) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("our own terminal");
        let name = ptsname(&master, Vec::new()).expect("our own terminal");
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(OsStr::from_bytes(name.as_bytes()))
                .expect("a terminal")
        };
        let child = program.stdin(open()).stdout(open()).stderr(open()).spawn().expect("the program starts");
        let keyboard = File::from(master);
        let mut output = keyboard.try_clone().expect("a file can be shared");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The read fails once the program has closed the terminal.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                shown.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Terminal { child, keyboard, screen }
    }

    /// Types keys, whether or not the program is ready for them.
    pub fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Everything that was shown.
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a text is shown.
    pub fn wait_for(&self, text: &str) {
        wait_until(&format!("the terminal shows {text:?}"), || self.screen().contains(text));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- terminal:\n{}", self.screen());
        }
    }
}
