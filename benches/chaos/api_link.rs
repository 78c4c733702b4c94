//! The link between the operators and the API server: passes bytes on, until it is cut.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::Failure;

/// A link. It ends with what is dropped here.
pub(crate) struct ApiLink {
    up: watch::Sender<bool>,
    kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
}

impl ApiLink {
    /// A link to the server of a kubeconfig, with a kubeconfig that leads through it.
    pub(crate) async fn to(kubeconfig: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(kubeconfig)?;
        let (_, rest) = text.split_once("https://").ok_or("the kubeconfig names no server")?;
        let server = rest.split(|c: char| c != ':' && c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let through = text.replace(server, &listener.local_addr()?.to_string());
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, through)?;
        let up = watch::Sender::new(true);
        tokio::spawn(accept(listener, server.parse()?, up.subscribe()));
        Ok(Self { up, kubeconfig: path, _folder: folder })
    }

    /// What leads through the link.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Cuts every connection and refuses others for a while. Later cuts wait for none before them.
    pub(crate) fn cut(&self, pause: Duration) {
        self.up.send_replace(false);
        let up = self.up.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            up.send_replace(true);
        });
    }

    /// Ends every cut.
    pub(crate) fn restore(&self) {
        self.up.send_replace(true);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, up: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut up = up.clone();
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
