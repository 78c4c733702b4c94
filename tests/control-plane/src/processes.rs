//! The three programs of a control plane: started in order, restarted, ended in the opposite order.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Options;
use crate::access::Access;
use crate::certificates::{Certificates, Identity};
use crate::error::{Error, Result};
use crate::kubeconfig::Kubeconfig;
use crate::programs::{self, ApiServer, Layout, free_ports, local_url};
use crate::supervised::{Program, Supervised};
use crate::tools::{Tool, Toolbox};

/// Running programs. The fields are dropped from the first to the last, so each ends before what it needs.
#[derive(Debug)]
pub(crate) struct Processes {
    controller_manager: Supervised,
    api_server: Supervised,
    etcd: Supervised,
    api_server_program: Program,
    layout: Layout,
    timeout: Duration,
}

impl Processes {
    /// Starts all three and waits until objects can be created. Gives the access of an administrator as well.
    pub(crate) fn start(toolbox: &Toolbox, layout: &Layout, options: &Options) -> Result<(Self, Access)> {
        // All are looked for first: a build of minutes must not happen while a server waits.
        let etcd = toolbox.find(Tool::Etcd)?;
        let api_server = toolbox.find(Tool::KubeApiserver)?;
        let controller_manager = toolbox.find(Tool::KubeControllerManager)?;
        let access = Access::new(toolbox.find(Tool::Kubectl)?, layout, false);
        let certificates = Certificates::create(&layout.certificates())?;
        let timeout = options.timeout;

        let (mut etcd, etcd_port) = with_other_ports(|| {
            let ports = free_ports()?;
            let mut etcd = start(&programs::etcd(etcd.clone(), layout, ports), layout)?;
            wait_for_etcd(&mut etcd, timeout)?;
            let [client, _] = ports;
            Ok((etcd, client))
        })?;

        let (mut api_server, api_server_program, url) = with_other_ports(|| {
            let [port] = free_ports()?;
            let url = local_url("https", port);
            kubeconfig(&url, &certificates, &certificates.admin).write(&layout.kubeconfig())?;
            let (path, more) = (api_server.clone(), &options.api_server_flags);
            let program = ApiServer { path, etcd: etcd_port, port, audit: options.audit, more };
            let program = program.program(layout, &certificates)?;
            let mut api_server = start(&program, layout)?;
            wait_for_api_server(&mut etcd, &mut api_server, &access, timeout)?;
            Ok((api_server, program, url))
        })?;

        let identity = &certificates.controller_manager;
        kubeconfig(&url, &certificates, identity).write(&layout.controller_manager_kubeconfig())?;
        let program = programs::controller_manager(controller_manager, layout, &certificates);
        let mut controller_manager = start(&program, layout)?;
        // The first thing that only the controller manager makes, and that Pods need.
        let probe = |_: &Supervised| answer(&access, &["get", "serviceaccount", "default", "--namespace=default"]);
        let needed = &mut [&mut etcd, &mut api_server];
        wait("the default service account", timeout, needed, &mut controller_manager, probe)?;

        let layout = layout.clone();
        Ok((Self { controller_manager, api_server, etcd, api_server_program, layout, timeout }, access))
    }

    /// Ends the API server and starts it again with the same command line, so on the same port and data.
    pub(crate) fn restart_api_server(&mut self, access: &Access) -> Result<()> {
        // The new one could not bind the port while the old one still closes.
        self.api_server.stop();
        self.api_server = start(&self.api_server_program, &self.layout)?;
        wait_for_api_server(&mut self.etcd, &mut self.api_server, access, self.timeout)
    }

    /// An error if one of the programs has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.etcd.check()?;
        self.api_server.check()?;
        self.controller_manager.check()
    }
}

fn start(program: &Program, layout: &Layout) -> Result<Supervised> {
    Supervised::start(program, &layout.logs(), &layout.running())
}

fn kubeconfig(url: &str, certificates: &Certificates, identity: &Identity) -> Kubeconfig {
    Kubeconfig::with_certificate(url, &certificates.ca, identity)
}

/// Tries a second time if somebody else took the port between the picking and the binding.
fn with_other_ports<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    match attempt() {
        Err(error) if error.is_port_taken() => attempt(),
        other => other,
    }
}

fn wait_for_etcd(etcd: &mut Supervised, timeout: Duration) -> Result<()> {
    // Its own word and not an answer on its port, which might come from the etcd of another test run.
    let probe = |etcd: &Supervised| {
        let ready = etcd.log().contains("ready to serve client requests");
        ready.then_some(()).ok_or_else(|| "it has not said so".to_owned())
    };
    wait("a ready etcd", timeout, &mut [], etcd, probe)
}

fn wait_for_api_server(
    etcd: &mut Supervised,
    api_server: &mut Supervised,
    access: &Access,
    timeout: Duration,
) -> Result<()> {
    let probe = |_: &Supervised| answer(access, &["get", "--raw=/readyz"]);
    wait("a ready API server", timeout, &mut [etcd], api_server, probe)
}

/// What stands in the way of an answer, as text for the case that it stays so.
fn answer(access: &Access, question: &[&str]) -> Result<(), String> {
    access.ask(question).map(drop).map_err(|error| error.to_string())
}

/// Asks until `probe` agrees, `timeout` is over, or `program` or one that it needs has ended.
fn wait(
    what: &'static str,
    timeout: Duration,
    needed: &mut [&mut Supervised],
    program: &mut Supervised,
    probe: impl Fn(&Supervised) -> Result<(), String>,
) -> Result<()> {
    let start = Instant::now();
    loop {
        needed.iter_mut().try_for_each(|other| other.check())?;
        program.check()?;
        let Err(last) = probe(program) else {
            return Ok(());
        };
        if start.elapsed() > timeout {
            let (program, log) = (program.name(), program.log_tail());
            return Err(Error::NotReady { what, within: timeout, last, program, log });
        }
        sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(log: &str) -> Error {
        Error::Ended { program: "etcd", log: log.to_owned() }
    }

    #[test]
    fn a_taken_port_is_answered_with_one_more_attempt() {
        let mut attempts = 0;
        let result = with_other_ports(|| {
            attempts += 1;
            if attempts == 1 { Err(ended("listen: bind: address already in use")) } else { Ok(attempts) }
        });
        assert_eq!(result.unwrap(), 2);
    }

    #[test]
    fn another_failure_is_not_tried_again() {
        let mut attempts = 0;
        let result: Result<()> = with_other_ports(|| {
            attempts += 1;
            Err(ended("unknown flag"))
        });
        assert!(result.is_err());
        assert_eq!(attempts, 1);
    }
}
