//! What the server under test says of itself.

use crate::server::Server;

/// The sum of a metric's values over all labels; 0 if there is none.
pub(crate) fn sum(server: &Server, name: &str) -> f64 {
    let reply = server.get("/metrics");
    assert_eq!(reply.status, 200, "{}", reply.text());
    values(reply.text(), name).sum()
}

/// The values of a metric.
pub(crate) fn values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = f64> + 'a {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let value = if rest.starts_with('{') { rest.rsplit_once("} ")?.1 } else { rest.strip_prefix(' ')? };
        value.parse().ok()
    })
}

/// Files and sockets that the server has open.
pub(crate) fn open_files(server: &Server) -> usize {
    let folder = format!("/proc/{}/fd", server.pid());
    std::fs::read_dir(folder).expect("it is our child").count()
}
