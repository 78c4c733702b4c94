//! Flags of `import`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::app::import::{self, Request};

use super::arguments::{GitLabArguments, runtime, token};
use super::output::print;

const EXAMPLES: &str = "\
Examples:
  What the projects of a group would need:
    GITLAB_TOKEN=... registry-cleanup-operator import --url https://gitlab.example.com --group shop > policies.yaml
  What these would remove:
    GITLAB_TOKEN=... registry-cleanup-operator plan -f policies.yaml imported

It changes nothing. What it prints is a dry run, and says in comments what could not be carried over.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ImportArguments {
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

pub(super) fn run(arguments: ImportArguments) -> Result<ExitCode, String> {
    let limits = arguments.gitlab.limits();
    let request = Request {
        address: import::address(arguments.url, arguments.secret),
        groups: arguments.groups,
        projects: arguments.projects,
        namespace: arguments.namespace,
        token: token(arguments.token_file)?,
        ca: arguments.ca_file,
        allowed_hosts: arguments.gitlab.allowed_gitlab_hosts,
        allow_insecure_http: arguments.gitlab.allow_insecure_http,
        limits,
    };
    let text = runtime()?.block_on(import::file(&request)).map_err(|error| crate::causes::chain(&error))?;
    print(text)
}
