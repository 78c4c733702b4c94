//! Flags of `run` about notifications.

use std::path::PathBuf;

use clap::Args;

use crate::notifications::Settings;

#[derive(Args, Debug)]
pub(super) struct NotificationArguments {
    /// An https URL to which notifications are sent: of runs that failed, plans that wait for an approval and tokens
    /// that expire, as CloudEvents that are signed as Standard Webhooks are. Without it, nobody is told outside of the
    /// cluster.
    #[arg(long, value_name = "URL", requires = "notifications_secret_file")]
    notifications_url: Option<String>,

    /// The file with the key that signs notifications: whsec_ and base64. While a key is replaced, the old and the new
    /// one, each on a line. It is read for each notification.
    #[arg(long, value_name = "FILE")]
    notifications_secret_file: Option<PathBuf>,

    /// A file with the certificate authority of the receiver of notifications, as PEM. With it only this authority is
    /// trusted, not the system's.
    #[arg(long, value_name = "FILE")]
    notifications_ca_file: Option<PathBuf>,

    /// Hosts that notifications may be sent to: names, addresses, or *. and a domain, each with a port if only that one
    /// is meant. Without it, every host but those that --allowed-gitlab-hosts leaves out without a list.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    allowed_notification_hosts: Vec<String>,
}

impl From<NotificationArguments> for Option<Settings> {
    fn from(arguments: NotificationArguments) -> Self {
        let NotificationArguments {
            notifications_url,
            notifications_secret_file,
            notifications_ca_file,
            allowed_notification_hosts,
        } = arguments;
        notifications_url.zip(notifications_secret_file).map(|(url, secret_file)| Settings {
            url,
            secret_file,
            ca_file: notifications_ca_file,
            allowed_hosts: allowed_notification_hosts,
        })
    }
}
