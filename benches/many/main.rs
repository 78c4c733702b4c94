//! What thousands of policies cost that have nothing to do: from the start of the operator until all are Ready, and
//! then for a while.
//!
//! The operator is a process of its own, with its own permissions and its default pace, against a real API server and a
//! simulated GitLab. All policies name one token, and each hundred of them one group. A second operator after the first
//! tells what a restart costs.
//!
//! ```console
//! $ cargo bench --bench many                              # 10,000 policies, looked at for 30 minutes
//! $ cargo bench --bench many -- --policies=1000 --minutes=2
//! ```

#![allow(clippy::print_stdout, reason = "a benchmark prints what it found")]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use control_plane::{Cluster, Options};
use futures::stream::{self, StreamExt, TryStreamExt};
use gitlab_simulator::{Action, Config, Fault, Matcher, Push, Role, Simulator};
use jiff::SignedDuration;
use kube::Api;
use kube::api::{ListParams, PostParams};
use registry_cleanup_operator::api::RegistryCleanupPolicy;
use registry_cleanup_operator::api::conditions::is_true;
use serde_json::json;

use support::Failure;
use support::cluster::Platform;
use support::operator::Operator;

/// What the operator says once of each.
const IS_READY: &str = "policy is ready";
const NAMESPACE: &str = "many";
/// Requests at the same time while policies are made.
const FILLING: usize = 32;
/// How often the operator is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// After so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(900);
/// The default pace.
const REQUESTS_PER_SECOND: u32 = 10;
/// What each answer of GitLab takes.
const LATENCY: Duration = Duration::from_millis(20);
const POLICIES_OF_A_GROUP: u64 = 100;
/// Objects of one page.
const PAGE: u32 = 500;

fn main() -> ExitCode {
    support::main("this is a benchmark: cargo bench --bench many", |arguments| {
        let number = |name: &str, default: u64| -> Result<u64, Failure> {
            let given = arguments.iter().find_map(|argument| argument.strip_prefix(name));
            Ok(given.map_or(Ok(default), str::parse)?)
        };
        let (policies, minutes) = (number("--policies=", 10_000)?, number("--minutes=", 30)?);
        let cluster = Cluster::start(&Options { audit: false, ..Options::default() })?;
        support::until_interrupted(measure(&cluster, policies, minutes))?;
        Ok(true)
    })
}

async fn measure(cluster: &Cluster, policies: u64, minutes: u64) -> Result<(), Failure> {
    let platform = Platform::install(cluster).await?;
    let gitlab = fill(&platform, policies).await?;
    for word in ["first start", "restart"] {
        gitlab.clear_requests();
        let begun = Instant::now();
        let mut operator = Operator::start(&platform.kubeconfig, &[NAMESPACE], "127.0.0.1:0", REQUESTS_PER_SECOND)?;
        if word == "restart" {
            settled(&gitlab, &mut operator).await?;
        } else {
            ready(policies, &mut operator).await?;
        }
        let took = begun.elapsed();
        if !are_ready(&platform).await? {
            return Err("a policy is not Ready any more".into());
        }
        println!(
            "{word}, {policies} policies: all looked at after {:.1} s; {:.1} s of CPU, {} requests to GitLab, {:.1} MiB at most",
            took.as_secs_f64(),
            cpu_seconds(&operator)?,
            requests(&gitlab),
            operator.peak_mebibytes()?,
        );
        if word == "restart" {
            idle(&platform, &gitlab, &mut operator, minutes).await?;
        }
    }
    Ok(())
}

/// Makes a GitLab with one group, and policies for it.
async fn fill(platform: &Platform, policies: u64) -> Result<Simulator, Failure> {
    let gitlab = Simulator::start(Config { tls: true, ..Config::default() }).await?;
    let token = gitlab.edit(|registry| {
        let at = registry.now() - SignedDuration::from_hours(90 * 24);
        for number in 0..policies.div_ceil(POLICIES_OF_A_GROUP) {
            registry.project(&format!("shop/team-{number}/app"));
            let repository = registry.repository(&format!("shop/team-{number}/app/web"));
            (0..20).for_each(|n| registry.push(repository, &format!("mr-{n}"), Push::at(at)));
        }
        registry.access_token("shop", Role::Maintainer)
    });
    gitlab.fault(Fault::new(Matcher::any(), Action::Delay(LATENCY)));
    platform.namespace(NAMESPACE).await?;
    platform.secret(NAMESPACE, "token", "token", &token).await?;
    platform.secret(NAMESPACE, "ca", "ca.crt", gitlab.ca_pem().unwrap_or_default()).await?;
    let (api, url) = (&api(platform), gitlab.url());
    let create = |number: u64| {
        let policy = json!({
            "apiVersion": "registrycleanup.dev/v1alpha1",
            "kind": "RegistryCleanupPolicy",
            "metadata": {"name": format!("policy-{number}")},
            "spec": {
                "gitlab": {"url": url, "secretRef": {"name": "token"}, "certSecretRef": {"name": "ca"}},
                "target": {"groups": [{"path": format!("shop/team-{}", number / POLICIES_OF_A_GROUP)}]},
                // Never while a benchmark runs, unless somebody celebrates with one.
                "schedule": "0 0 1 1 *",
                "rules": [{"name": "old", "nameRegexDelete": "mr-.*", "olderThan": "30d"}],
            },
        });
        async move {
            api.create(&PostParams::default(), &serde_json::from_value(policy)?).await?;
            Ok::<_, Failure>(())
        }
    };
    stream::iter(0..policies).map(create).buffer_unordered(FILLING).try_collect::<Vec<()>>().await?;
    Ok(gitlab)
}

fn api(platform: &Platform) -> Api<RegistryCleanupPolicy> {
    Api::namespaced(platform.kube.clone(), NAMESPACE)
}

/// Waits until all policies are Ready. That is in the operator's log, too: whoever lists them all again and again keeps
/// the API server busier than the operator does.
async fn ready(policies: u64, operator: &mut Operator) -> Result<(), Failure> {
    let begun = Instant::now();
    while (operator.log()?.matches(IS_READY).count() as u64) < policies {
        operator.check()?;
        if begun.elapsed() > PATIENCE {
            return Err("the policies are not Ready".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn are_ready(platform: &Platform) -> Result<bool, Failure> {
    let is_ready = |policy: &RegistryCleanupPolicy| {
        policy.status.as_ref().is_some_and(|status| is_true(&status.conditions, "Ready"))
    };
    Ok(pages(platform).await?.iter().all(is_ready))
}

/// Waits until an operator has nothing to do any more, as nothing else shows that it has looked at policies that are
/// Ready already: for three looks its CPU stands still, and it asks GitLab for nothing.
async fn settled(gitlab: &Simulator, operator: &mut Operator) -> Result<(), Failure> {
    let (mut last, mut still) = ((0.0, 0), 0);
    while still < 3 {
        tokio::time::sleep(LOOK).await;
        operator.check()?;
        let now = (cpu_seconds(operator)?, requests(gitlab));
        still = if now.0 - last.0 < 0.05 && now.1 == last.1 { still + 1 } else { 0 };
        last = now;
    }
    Ok(())
}

fn requests(gitlab: &Simulator) -> u64 {
    gitlab.request_counts().values().sum()
}

/// Looks for so many minutes at an operator that has nothing to do.
async fn idle(platform: &Platform, gitlab: &Simulator, operator: &mut Operator, minutes: u64) -> Result<(), Failure> {
    let versions = async || -> Result<Vec<Option<String>>, Failure> {
        Ok(pages(platform).await?.into_iter().map(|policy| policy.metadata.resource_version).collect())
    };
    let (before, cpu) = (versions().await?, cpu_seconds(operator)?);
    gitlab.clear_requests();
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
    operator.check()?;
    let after = versions().await?;
    println!(
        "idle for {minutes} min: {} policies written, {} requests to GitLab, {:.1} s of CPU",
        before.iter().zip(&after).filter(|(before, after)| before != after).count(),
        requests(gitlab),
        cpu_seconds(operator)? - cpu,
    );
    Ok(())
}

/// All policies, in the order of their names.
async fn pages(platform: &Platform) -> Result<Vec<RegistryCleanupPolicy>, Failure> {
    let (mut all, mut parameters) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let page = api(platform).list(&parameters).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// Processor time that it has used: the 14th and 15th field of its line in /proc, of hundredths of a second.
fn cpu_seconds(operator: &Operator) -> Result<f64, Failure> {
    let line = fs::read_to_string(format!("/proc/{}/stat", operator.process()))?;
    let fields: Vec<&str> =
        line.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u32>().ok()).map(f64::from);
    Ok((ticks(11).ok_or("no CPU time")? + ticks(12).ok_or("no CPU time")?) / 100.0)
}
