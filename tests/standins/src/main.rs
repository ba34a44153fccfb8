//! Stand-ins for packages that cannot be had in tests: Mesos, Marathon and Bamboo, and the apt repository that offers them.
//!
//! One program under many names, as busybox is: the packages hold it as `mesos-master`, `mesos-slave`, `mesos-agent`, `java`
//! (Marathon's process is a Java one) and `bamboo`; under its own name it builds and serves those packages.

mod bamboo;
mod clock;
mod http;
mod log;
mod marathon;
mod mesos;
mod names;
mod pack;
mod serve;
mod version;
mod zk;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let path = arguments.next().unwrap_or_default();
    let name = Path::new(&path)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_owned();
    let arguments: Vec<String> = arguments.collect();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            log::fatal(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match name.as_str() {
            "mesos-master" => mesos::master(&arguments).await,
            "mesos-slave" | "mesos-agent" => mesos::agent(&arguments).await,
            "java" => marathon::run(&arguments).await,
            "bamboo" => bamboo::run(&arguments).await,
            _ => serve::run().await,
        }
    });
    // Task supervisors may still wait for children: the process does not.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::fatal(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
