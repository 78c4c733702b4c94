//! The way of one operator to the API server, which a test can cut.

use std::path::Path;

use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::robustness::start::{server_of, with_server};

/// A link, and a kubeconfig that leads through it.
pub(super) struct Link {
    up: watch::Sender<bool>,
    kubeconfig: NamedTempFile,
}

impl Link {
    /// A link to the server of a kubeconfig.
    pub(super) async fn to(kubeconfig: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let through = with_server(kubeconfig, &listener.local_addr().unwrap().to_string());
        let up = watch::Sender::new(true);
        tokio::spawn(accept(listener, server_of(kubeconfig), up.subscribe()));
        Self { up, kubeconfig: through }
    }

    /// What leads through the link.
    pub(super) fn kubeconfig(&self) -> &Path {
        self.kubeconfig.path()
    }

    /// Ends every connection and lets no other through.
    pub(super) fn cut(&self) {
        self.up.send_replace(false);
    }

    /// Lets connections through again.
    pub(super) fn mend(&self) {
        self.up.send_replace(true);
    }
}

async fn accept(listener: TcpListener, server: String, up: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let (mut up, server) = (up.clone(), server.clone());
        if !*up.borrow() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut upstream) = TcpStream::connect(server).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => {}
                _ = up.wait_for(|up| !up) => {}
            }
        });
    }
}
