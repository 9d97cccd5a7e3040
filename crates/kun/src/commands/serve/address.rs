//! Why an address can't be listened on, and who has it.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use server::StartError;

use crate::failure::{Failure, reason};

/// The state of a socket that listens, in the system's table.
const LISTENING: &str = "0A";

/// What to say if the server does not start.
pub(super) fn failure(error: StartError) -> Failure {
    match error {
        StartError::Listen { address, error } if error.kind() == io::ErrorKind::AddrInUse => {
            let owner = match owner(address) {
                Some(Owner { pid, name }) => format!(" by pid {pid} ({name})"),
                None => String::new(),
            };
            Failure::io(format!(
                "{address}: address in use{owner}\nend that process or choose another --port"
            ))
        }
        StartError::Listen { address, error } => {
            let advice = match error.kind() {
                io::ErrorKind::AddrNotAvailable => "\nchoose a --host that is an address of this machine",
                io::ErrorKind::PermissionDenied => "\nchoose a --port from 1024 on",
                _ => "",
            };
            Failure::io(format!("cannot listen on {address}: {}{advice}", reason(&error)))
        }
        StartError::State { .. } => Failure::io(format!("--state-dir: {error}")),
    }
}

struct Owner {
    pid: u32,
    name: String,
}

/// The process that listens on the address, if the system lets us see it.
fn owner(address: SocketAddr) -> Option<Owner> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inode = tables.iter().find_map(|table| inode(table, address))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.into_iter().find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| target.as_os_str().as_bytes() == wanted.as_bytes())
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Owner { pid, name: name.trim().escape_debug().to_string() })
}

/// The number of the socket that listens on this port, on the same address or on all.
fn inode(table: &str, address: SocketAddr) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, LISTENING, _, _, _, _, _, inode, ..] = fields[..] else { return None };
        let (host, port) = local.split_once(':')?;
        let is_all = host.bytes().all(|byte| byte == b'0');
        let is_same = is_all || address.ip().is_unspecified() || host == in_table(address.ip());
        (is_same && u16::from_str_radix(port, 16) == Ok(address.port())).then_some(inode)
    })
}

/// An address as the table has it: words of 32 bits as this machine stores them.
fn in_table(address: IpAddr) -> String {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    words.map(|word| format!("{word:08X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   2: 00000000:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_socket_that_listens_is_found_in_the_systems_table() {
        for (address, expect) in [
            ("127.0.0.1:8080", Some("111")),
            ("0.0.0.0:8080", Some("111")),
            ("127.0.0.2:8080", None),
            ("127.0.0.1:8081", None),
            ("127.0.0.1:8082", Some("333")),
        ] {
            assert_eq!(inode(TABLE, address.parse().expect("an address")), expect, "{address}");
        }
        assert_eq!(in_table("::1".parse().expect("an address")), "00000000000000000000000001000000");
    }

    #[test]
    fn this_process_is_found_behind_its_own_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let owner = owner(listener.local_addr().expect("bound")).expect("we can see ourselves");
        assert_eq!(owner.pid, std::process::id());
    }
}
