//! `kv_bench replicas`: three nodes with copies of all keys, beside three members of etcd.

mod cluster;
mod table;

use crate::{
    compare::{interleaved_order, version_of},
    error::Error,
    interrupt::Interrupt,
    limits,
    load::{self, Plan, Report},
    machine,
    workload::{Operation, Protocol, Workload, check_range},
};
use clap::Args;
use cluster::{Cluster, Kind};
use std::{path::PathBuf, rc::Rc, time::Duration};
use table::{ETCD, LEGEND, Medians, Table, VOLATILE};

#[derive(Debug, Clone, Args)]
pub(crate) struct Replicas {
    /// Our release
    #[arg(long, default_value = "target/release/foo")]
    ours: PathBuf,
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// A directory on the disk that all nodes write to
    #[arg(long, default_value = "target")]
    disk: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Seconds of one measurement
    #[arg(long, default_value = "1", value_parser = load::seconds)]
    seconds: Duration,
    #[arg(long, value_delimiter = ',', num_args = 1.., default_values_t = [1, 16])]
    pipelines: Vec<usize>,
    #[arg(long, value_delimiter = ',', num_args = 1.., default_values = ["set", "get"])]
    operations: Vec<Operation>,
    #[arg(long, default_value_t = 50)]
    connections: usize,
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
}

impl Replicas {
    fn plan(&self, cluster: &Cluster, is_leader: bool, workload: Workload) -> Result<Plan, Error> {
        Ok(Plan {
            address: cluster.address(is_leader)?,
            workload: Workload { protocol: cluster.protocol(), ..workload },
            connections: self.connections,
            requests: None,
            seconds: Some(self.seconds),
            rate: None,
            server_pids: cluster.pids(),
        })
    }

    fn workload(&self, operation: Operation, pipeline: usize) -> Workload {
        let (protocol, bucket) = (Protocol::Resp, "bench".into());
        let (key_bytes, value_bytes) = (limits::REPLICAS_KEY_BYTES, limits::REPLICAS_VALUE_BYTES);
        Workload { protocol, operation, pipeline, keys: self.keys, key_bytes, value_bytes, bucket }
    }
}

/// Runs the comparison. Every process that it starts ends with it.
pub(crate) fn run(replicas: &Replicas, interrupt: &Interrupt) -> Result<(), Error> {
    check_range("--rounds", 1, limits::ROUNDS, replicas.rounds)?;
    let contenders = set_up(replicas, interrupt)?;
    println!("{}\n\n{LEGEND}\n", machine::describe());
    for operation in &replicas.operations {
        for pipeline in &replicas.pipelines {
            println!("{}", measure(replicas, *operation, *pipeline, &contenders, interrupt)?);
        }
    }
    Ok(())
}

/// What is compared: where the requests are sent to.
struct Contender {
    name: String,
    cluster: Rc<Cluster>,
    is_leader: bool,
}

/// Starts what is installed, and writes all keys.
fn set_up(replicas: &Replicas, interrupt: &Interrupt) -> Result<Vec<Contender>, Error> {
    let ours = &replicas.ours;
    let Some(version) = version_of(ours, "version") else {
        return Err(Error::NotBuilt(ours.display().to_string()));
    };
    let mut kinds = vec![
        (format!("foo {version}"), Kind::Ours(ours.clone(), "lease")),
        (format!("foo {version} confirmed"), Kind::Ours(ours.clone(), "confirmed")),
        (VOLATILE.to_owned(), Kind::Volatile(ours.clone())),
    ];
    match version_of(&replicas.etcd, "--version") {
        Some(version) => kinds.push((format!("{ETCD} {version}"), Kind::Etcd(replicas.etcd.clone()))),
        None => println!("not installed: {}", replicas.etcd.display()),
    }
    let mut contenders = Vec::new();
    for (name, kind) in kinds {
        let cluster = Rc::new(Cluster::start(kind, &replicas.disk, interrupt)?);
        let plan = replicas.plan(&cluster, true, replicas.workload(Operation::Set, 1))?;
        plan.check()?;
        load::fill(plan.address, &plan.workload, interrupt)?;
        for is_leader in [true, false].into_iter().filter(|is_leader| *is_leader || cluster.has_others()) {
            contenders.push(Contender { name: name.clone(), cluster: cluster.clone(), is_leader });
        }
    }
    Ok(contenders)
}

/// Interleaved rounds, so that other load on the machine affects all alike.
fn measure(
    replicas: &Replicas,
    operation: Operation,
    pipeline: usize,
    contenders: &[Contender],
    interrupt: &Interrupt,
) -> Result<Table, Error> {
    let mut reports: Vec<Vec<Report>> = contenders.iter().map(|_| Vec::new()).collect();
    for index in interleaved_order(replicas.rounds, contenders.len()) {
        let Contender { cluster, is_leader, .. } = &contenders[index];
        let plan = replicas.plan(cluster, *is_leader, replicas.workload(operation, pipeline))?;
        plan.check()?;
        reports[index].push(load::run(&plan, interrupt)?);
    }
    let rows = contenders.iter().zip(&reports);
    let rows = rows.map(|(contender, reports)| Medians::new(&contender.name, contender.is_leader, reports));
    Ok(Table { operation, pipeline, rows: rows.collect() })
}
