//! Ctrl-C, as a terminal sends it.

use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Presses Ctrl-C that many times; the command, which must be running, ends within a second and with 130.
pub(crate) fn ends_with_130(child: &mut Child, times: usize) {
    let pid = Pid::from_raw(child.id().try_into().expect("a process id"));
    assert!(child.try_wait().expect("our child").is_none(), "it ended before Ctrl-C");
    let pressed = Instant::now();
    for _ in 0..times {
        // A second one may find the process gone already.
        let _ = kill(pid, Signal::SIGINT);
    }
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        assert!(pressed.elapsed() < Duration::from_secs(1), "still running a second after Ctrl-C");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(130));
}
