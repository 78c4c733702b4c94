//! Flags of `in-use`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::app::in_use::{self, ConfigMapName, Request};

use super::arguments::{WorkloadArguments, proxies, runtime};
use super::output::print;
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  What does this cluster use?
    registry-cleanup-operator in-use --registry registry.example.com:5050
  Tell another cluster, whose policies name the ConfigMap in protect.inUseFrom:
    registry-cleanup-operator in-use --registry registry.example.com:5050 -o json > images.json
    kubectl --context other create configmap west --namespace team-shop --from-file images.json \\
      --dry-run=client -o yaml | kubectl --context other apply -f -

  What will a chart use?
    helm template shop ./chart | registry-cleanup-operator in-use --registry registry.example.com:5050 -f -

It fails, and prints nothing, if anything cannot be seen: a list that lacks an image would let it be removed.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct InUseArguments {
    /// Host of the registry, with its port if it has one, as it stands in the names of images.
    #[arg(long, value_name = "HOST")]
    registry: String,

    /// Another host, with a leading part of the path if need be, under which this cluster pulls from that registry: a
    /// mirror or a proxy. May be given several times.
    #[arg(long = "registry-alias", value_name = "PREFIX")]
    registry_aliases: Vec<String>,

    /// Looks into manifests instead of the cluster: files of YAML or JSON, - for standard input. Nothing of a Secret is
    /// looked at. The kinds of --in-use-catalogue are read in any case. May be given several times.
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Writes the list into this ConfigMap of the cluster, under images.json, instead of printing it. The ConfigMap is
    /// created if it is not there. A list that is not complete is not written.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with_all = ["files", "output"])]
    config_map: Option<ConfigMapName>,

    #[command(flatten)]
    workloads: WorkloadArguments,

    /// How the list is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// For a terminal.
    #[default]
    Table,
    /// For the policies of another cluster.
    Json,
}

pub(super) fn run(arguments: InUseArguments) -> Result<ExitCode, String> {
    let request = Request {
        registry: arguments.registry,
        aliases: arguments.registry_aliases,
        in_use: arguments.workloads.into(),
        proxies: proxies(),
    };
    let told = |error: in_use::Error| crate::causes::chain(&error);
    let (list, unread) = if arguments.files.is_empty() {
        (runtime()?.block_on(in_use::list(&request)).map_err(told)?, Vec::new())
    } else {
        in_use::list_of_manifests(&request, &arguments.files).map_err(told)?
    };
    let empty = if arguments.files.is_empty() { in_use::remark(&list) } else { None };
    for remark in [empty, in_use::remark_on_unread(&unread)].into_iter().flatten() {
        // Not to where the list goes.
        let _ = writeln!(std::io::stderr(), "{}", plain(&remark));
    }
    if let Some(name) = &arguments.config_map {
        runtime()?.block_on(in_use::write(&list, name, &request.proxies)).map_err(told)?;
        let images = list.images().count();
        return print(format!("ConfigMap {name}: {images} images of {}\n", plain(&list.registry)));
    }
    let text = match arguments.output {
        Output::Table => in_use::table(&list),
        Output::Json => in_use::json(&list).map_err(|error| error.to_string())?,
    };
    print(text)
}
