//! Flags of the commands that ask a GitLab for what its registry holds, and print policies.

use std::path::PathBuf;

use clap::Args;

use crate::app::gitlab_reader::{Request, address};

use super::arguments::{GitLabArguments, token};

#[derive(Args, Debug)]
pub(super) struct RegistryArguments {
    /// Address of the GitLab instance, for example <https://gitlab.example.com>.
    #[arg(long, value_name = "URL")]
    url: String,

    /// Full path of a group, whose projects and those of its subgroups are asked about; may be given several times.
    #[arg(long = "group", value_name = "PATH", required_unless_present = "projects")]
    groups: Vec<String>,

    /// Full path of a single project; may be given several times.
    #[arg(long = "project", value_name = "PATH")]
    projects: Vec<String>,

    /// Name of the Secret with the token that the policies are to have.
    #[arg(long, value_name = "NAME", default_value = "gitlab-token")]
    secret: String,

    /// Namespace that the policies are to have. Without it, that of whoever applies them.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// File with the access token for GitLab: scope read_api. Goes before the environment variable `GITLAB_TOKEN`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// File with the PEM certificates of the authorities to trust instead of the usual ones.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    #[command(flatten)]
    gitlab: GitLabArguments,
}

impl RegistryArguments {
    /// What they ask for.
    pub(super) fn request(self) -> Result<Request, String> {
        let limits = self.gitlab.limits();
        Ok(Request {
            address: address(self.url, self.secret),
            groups: self.groups,
            projects: self.projects,
            namespace: self.namespace,
            token: token(self.token_file)?,
            ca: self.ca_file,
            allowed_hosts: self.gitlab.allowed_gitlab_hosts,
            allow_insecure_http: self.gitlab.allow_insecure_http,
            limits,
        })
    }
}
