//! Flags of `plan`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args};
use jiff::Timestamp;

use crate::app::backtest;
use crate::app::plan::{self, PlanOptions, Source};
use crate::app::plan_printer::{Conclusion, Output, SavedAs};
use crate::app::{InUseScope, InUseSettings};

use super::arguments::{GitLabArguments, WorkloadArguments, proxies, runtime, token};

const EXAMPLES: &str = "\
Examples:
  A policy from the cluster, with its Secrets:
    registry-cleanup-operator plan -n team-shop shop
  A file, before it is applied:
    GITLAB_TOKEN=... registry-cleanup-operator plan -f policy.yaml
  What a merge request would change, as a comment for it:
    registry-cleanup-operator plan -f policy.yaml --token-file token -o markdown
  A report to look at in a browser:
    registry-cleanup-operator plan -n team-shop shop --all -o html > plan.html
  What the runs of the last 90 days would have removed, and what of it was deployed later:
    registry-cleanup-operator plan -n team-shop shop --backtest 90d

Exit codes:
  0  the plan was made (with --detailed-exitcode: and a run would remove nothing)
  1  there is no plan, or a run would fail in part: a repository cannot be planned, or a limit would be exceeded
  2  with --detailed-exitcode: a run would remove something
  130  told to stop (SIGINT or SIGTERM)";

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = EXAMPLES)]
pub(super) struct PlanArguments {
    /// Name of the policy. With --filename only needed if the file has several; NAMESPACE/NAME tells namesakes apart.
    #[arg(value_name = "NAME", required_unless_present = "filename")]
    name: Option<String>,

    /// Take the policy from this YAML or JSON file, - being standard input. No cluster is asked; the token comes from
    /// --token-file or the environment variable `GITLAB_TOKEN`.
    #[arg(short, long, value_name = "FILE")]
    filename: Option<PathBuf>,

    /// Take the policy from this namespace of the cluster, with the Secrets that it names. Without it: the namespace of
    /// the current kubeconfig context.
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "filename")]
    namespace: Option<String>,

    /// File with the access token for GitLab: scope read_api; role Developer for the method Exact, Reporter is enough
    /// for Bulk. Goes before GITLAB_TOKEN.
    #[arg(long, value_name = "FILE", requires = "filename")]
    token_file: Option<PathBuf>,

    /// File with the PEM certificates of the authorities to trust instead of the usual ones.
    #[arg(long, value_name = "FILE", requires = "filename")]
    ca_file: Option<PathBuf>,

    /// Whether to look which images the cluster uses, where the policy protects them. Without it, and with --filename,
    /// tags are planned as if nobody used them; a run would keep those in use.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    in_use: bool,

    /// A namespace that the operator watches, if it does not watch all; may be given several times. Give what the
    /// operator was given.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE", conflicts_with = "filename")]
    watch_namespaces: Vec<String>,

    /// Name workloads of other namespaces that use an image. Without it they are counted, since whoever reads the plan
    /// may not be allowed to know them.
    #[arg(long, conflicts_with = "filename")]
    name_other_namespaces: bool,

    /// Where images in use are looked for if --watch-namespace is given: in the whole cluster, or in these namespaces.
    /// Give what the operator was given.
    #[arg(long, value_name = "SCOPE", value_enum, default_value_t, conflicts_with = "filename")]
    in_use_scope: InUseScope,

    #[command(flatten)]
    workloads: WorkloadArguments,

    /// How the plan is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// Write the plan into a file as well, such as html=plan.html; may be given several times. GitLab is asked once for
    /// all of them.
    #[arg(long = "save", value_name = "FORMAT=FILE")]
    saved: Vec<SavedAs>,

    /// Read every tag in full and list those that stay as well. Takes a request for every 20 tags, with the method Bulk
    /// or without GraphQL one for each.
    #[arg(long)]
    all: bool,

    /// Plan as of this moment (2026-11-22T03:17:00Z): what was pushed since stays and takes no keepN slot. With the
    /// time of status.pendingApproval it is the plan that waits for approval. Only for method: Exact.
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,

    /// Play the runs of this period up to now (90d, 12w; a year at most), each over what the earlier ones left, and
    /// tell what they would have removed and what of it was deployed later. Only for method: Exact, and as table,
    /// json, yaml or markdown.
    #[arg(long, value_name = "AGE", conflicts_with_all = ["as_of", "all", "detailed_exitcode"])]
    backtest: Option<String>,

    /// End with 2 instead of 0 if a run would remove something.
    #[arg(long)]
    detailed_exitcode: bool,

    #[command(flatten)]
    gitlab: GitLabArguments,
}

pub(super) fn run(arguments: PlanArguments) -> Result<ExitCode, String> {
    let detailed = arguments.detailed_exitcode;
    let past = arguments.backtest.clone();
    let settings = settings(arguments)?;
    if past.is_some() {
        playable(&settings)?;
    }
    let mut out = std::io::stdout();
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        match past {
            Some(period) => backtest::run(settings, &period, &mut out).await,
            None => plan::run(settings, &mut out).await,
        }
    });
    // Whatever is still under way is of no use to anybody.
    runtime.shutdown_background();
    match result {
        Ok(Conclusion::Nothing) => Ok(ExitCode::SUCCESS),
        Ok(Conclusion::Something) => Ok(if detailed { ExitCode::from(2) } else { ExitCode::SUCCESS }),
        Ok(Conclusion::Failure) => Ok(ExitCode::FAILURE),
        // Whoever closed the pipe knows, and the plan did not come to its end.
        Err(error) if error.is_closed_pipe() => Ok(ExitCode::FAILURE),
        Err(error) => Err(crate::causes::chain(&error)),
    }
}

/// Refuses what a backtest cannot be printed as.
fn playable(settings: &PlanOptions) -> Result<(), String> {
    let mut all = std::iter::once(settings.output).chain(settings.saved.iter().map(|saved| saved.output));
    if all.any(|output| matches!(output, Output::Html | Output::TerraformReport)) {
        return Err(
            "--backtest is printed as table, json, yaml or markdown; html and terraform-report show plans".to_owned()
        );
    }
    Ok(())
}

fn settings(arguments: PlanArguments) -> Result<PlanOptions, String> {
    let PlanArguments { name, filename, namespace, token_file, ca_file, output, all, as_of, gitlab, .. } = arguments;
    let source = match (filename, name) {
        (Some(path), name) => Source::File { path, name, token: token(token_file)?, ca: ca_file },
        (None, Some(name)) => Source::Cluster {
            namespace,
            name,
            in_use: arguments
                .in_use
                .then(|| InUseSettings { scope: arguments.in_use_scope, ..arguments.workloads.into() }),
            watched_namespaces: arguments.watch_namespaces,
            name_other_namespaces: arguments.name_other_namespaces,
        },
        (None, None) => return Err("name a policy of the cluster, or a file with --filename".to_owned()),
    };
    let limits = gitlab.limits();
    Ok(PlanOptions {
        source,
        allowed_hosts: gitlab.allowed_gitlab_hosts,
        allow_insecure_http: gitlab.allow_insecure_http,
        limits,
        as_of,
        everything: all,
        output,
        saved: arguments.saved,
        proxies: proxies(),
    })
}
