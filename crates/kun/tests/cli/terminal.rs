//! A terminal for the binary to run in: what it shows is collected, keys are typed.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing here takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program in a terminal. It is ended with the value.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    shown: Arc<Mutex<Vec<u8>>>,
    /// What was looked at already.
    seen: usize,
}

impl Terminal {
    /// Starts the command in a terminal of so many columns.
    pub(crate) fn start(command: &mut Command, columns: u16) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("the system has terminals");
        let end = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn();
        let child = child.expect("the binary starts");
        drop(pty.slave);
        let keyboard = File::from(pty.master);
        let mut screen = keyboard.try_clone().expect("a descriptor");
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let collected = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The system reports the end of a terminal as an error.
            while let Ok(bytes @ 1..) = screen.read(&mut buffer) {
                collected.lock().expect("nobody panics with it").extend(&buffer[..bytes]);
            }
        });
        Terminal { child, keyboard, shown, seen: 0 }
    }

    /// Types keys.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Waits for the prompt and types a line.
    #[track_caller]
    pub(crate) fn line(&mut self, line: &str) {
        self.wait_for("\u{1b}[4C");
        self.keys(&format!("{line}\r"));
    }

    /// Waits until this is shown, after what was waited for before, and gives what came until then.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let shown = self.shown();
            if let Some(at) = shown[self.seen..].find(text) {
                let before = shown[self.seen..self.seen + at].to_owned();
                self.seen += at + text.len();
                return before;
            }
            assert!(started.elapsed() < PATIENCE, "no {text:?} after {:?}", &shown[self.seen..]);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ctrl-C while no line is being edited: the terminal would send this signal.
    pub(crate) fn interrupt(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        kill(pid, Signal::SIGINT).expect("it runs");
    }

    /// Waits until it ends; its exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "still running, shows {:?}", self.shown());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything shown so far.
    pub(crate) fn shown(&self) -> String {
        let shown = self.shown.lock().expect("nobody panics with it");
        assert!(!String::from_utf8_lossy(&shown).contains("panicked"), "{}", String::from_utf8_lossy(&shown));
        // A character whose end is still to come is cut off, so that places don't change later.
        let valid = shown.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        valid.to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
