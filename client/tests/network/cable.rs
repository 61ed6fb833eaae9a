//! The cable between the scheduler and its chain, which can be refused or fall silent.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What happens on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    /// Connections end as soon as they are made.
    Refused,
    /// Connections stand, and nothing comes.
    Silent,
}

/// See the module.
pub(crate) struct Cable {
    /// The node, as it is reached through the cable.
    pub(crate) url: String,
    line: watch::Sender<Line>,
}

impl Cable {
    /// An open cable to the node at `url`.
    pub(crate) async fn lay(url: &str) -> Self {
        let node: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (line, watch) = watch::channel(Line::Open);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, node, watch.clone()));
            }
        });
        Self { url, line }
    }

    /// Whatever is on it now ends.
    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// One connection, until the line changes.
async fn connection(mut stream: TcpStream, node: SocketAddr, mut line: watch::Receiver<Line>) {
    let now = *line.borrow_and_update();
    let carried = async {
        match now {
            Line::Open => {
                let Ok(mut there) = TcpStream::connect(node).await else { return };
                // Either side may hang up.
                drop(copy_bidirectional(&mut stream, &mut there).await);
            }
            Line::Refused => {}
            Line::Silent => std::future::pending().await,
        }
    };
    tokio::select! { () = carried => {}, _ = line.changed() => {} }
}
