//! The master: leads when its node is the lowest and enough masters hold the replicated log, and dies when it no longer leads.

use super::cluster::Cluster;
use super::flags::{Flags, Known};
use super::{Leader, Place, detector, master_api, uuid};
use crate::version::Version;
use crate::zk::{self, ZkUrl};
use crate::{clock, http, log};
use anyhow::{Context, bail};
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use zookeeper_client::Client;

/// A running master, as its endpoints see it.
pub(super) struct Master {
    pub version: Version,
    pub flags: Flags,
    pub place: Place,
    pub started: f64,
    /// When it was elected and the registry was recovered.
    pub elected: watch::Sender<Option<f64>>,
    /// Who leads, by ZooKeeper.
    pub leader: watch::Receiver<Option<Leader>>,
    cluster: Mutex<Cluster>,
}

impl Master {
    /// The cluster. A handler that panicked left it whole: every change is one call.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this master leads and may answer for the cluster.
    pub fn leads(&self) -> bool {
        self.elected.borrow().is_some()
    }
}

/// Runs `mesos-master`.
pub async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Some((version, flags)) = super::start("mesos-master", Known::master, arguments)? else {
        return Ok(());
    };
    let zk = check(version, &flags)?;
    let place = Place::of(&flags, 5050)?;
    let (bind, address) = (place.bind, place.address());
    let name = if version < Version(1, 0, 0) {
        "slave"
    } else {
        "agent"
    };
    let patience = flags.duration(&format!("{name}_ping_timeout"), Duration::from_secs(15))
        * u32::try_from(
            flags
                .number(&format!("max_{name}_ping_timeouts"))
                .unwrap_or(5),
        )?;
    let leader = match &zk {
        Some(_) => detector::detect(flags.get("zk").unwrap_or_default())?,
        None => detector::detect(&address.to_string())?,
    };
    let id = uuid()?;
    let master = Arc::new(Master {
        version,
        place,
        started: clock::seconds(),
        elected: watch::Sender::new(None),
        leader,
        cluster: Mutex::new(Cluster::new(id.clone(), patience)),
        flags,
    });
    log::info(&format!(
        "Master {id} ({}) started on {address}",
        master.place.hostname
    ));
    let server = http::serve(bind, master_api::router(&master));
    let candidate = async {
        match &zk {
            Some(url) => contend(&master, url).await,
            None => {
                master.elected.send_replace(Some(clock::seconds()));
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        outcome = server => outcome,
        outcome = candidate => outcome,
    }
}

/// What the real master checks before it does anything.
fn check(version: Version, flags: &Flags) -> anyhow::Result<Option<ZkUrl>> {
    if flags.get("registry").unwrap_or("replicated_log") == "replicated_log" {
        let Some(work_dir) = flags
            .get("work_dir")
            .filter(|work_dir| !work_dir.is_empty())
        else {
            bail!("--work_dir needed for replicated log based registry");
        };
        std::fs::create_dir_all(Path::new(work_dir).join("replicated_log"))
            .with_context(|| format!("Failed to create work directory '{work_dir}'"))?;
        if flags.get("zk").is_some() && flags.number("quorum").is_none() {
            bail!(
                "Need to specify --quorum for replicated log based registry when using ZooKeeper"
            );
        }
    }
    if version >= Version(1, 0, 0) && flags.is("registry_strict", false) {
        bail!("--registry_strict is not supported and must not be used");
    }
    flags
        .get("zk")
        .map(|text| ZkUrl::parse(text).context("Error parsing ZooKeeper URL"))
        .transpose()
        .map_err(|error| flatten(&error))
}

/// One line for an error with its causes, as the daemons print them.
fn flatten(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

/// Takes part in elections until it led and lost.
async fn contend(master: &Arc<Master>, url: &ZkUrl) -> anyhow::Result<()> {
    loop {
        let client = zk::connect(url).await;
        tokio::select! {
            outcome = candidacy(master, &client, url) => match outcome {
                Err(error) if error.root_cause().is::<zookeeper_client::Error>() => log::warning(&format!("{error:#}")),
                outcome => return outcome,
            },
            () = zk::lost(&client) => {}
        }
        if master.leads() {
            bail!("Lost leadership... committing suicide!");
        }
        log::warning("Lost candidacy as a follower... Contend again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Joins, waits to be first, recovers the registry, and then leads until the session is lost.
async fn candidacy(master: &Arc<Master>, client: &Client, url: &ZkUrl) -> anyhow::Result<()> {
    let info = information(master);
    let logs = zk::join(&url.path, "log_replicas");
    zk::enter(client, &logs, "", info.to_string().as_bytes()).await?;
    let own = zk::enter(
        client,
        &url.path,
        detector::PREFIX,
        info.to_string().as_bytes(),
    )
    .await?;
    let mut members = zk::follow(client, &url.path, detector::PREFIX);
    while members
        .borrow_and_update()
        .first()
        .is_none_or(|first| first.node != own)
    {
        members.changed().await.context("ZooKeeper session lost")?;
    }
    log::info("Elected as the leading master!");
    recover(master, client, &logs).await?;
    master.elected.send_replace(Some(clock::seconds()));
    std::future::pending().await
}

/// The registry can be read once `quorum` masters hold the replicated log. A wrong number waits here for ever, one master less
/// than it takes, and the supervisor starts it anew: what a mistaken quorum looks like in the real thing.
async fn recover(master: &Master, client: &Client, logs: &str) -> anyhow::Result<()> {
    let quorum = usize::try_from(master.flags.number("quorum").unwrap_or(1))?;
    let patience = master
        .flags
        .duration("registry_fetch_timeout", Duration::from_secs(60));
    log::info("Recovering from registrar");
    let mut replicas = zk::follow(client, logs, "");
    let enough = replicas.wait_for(|replicas| replicas.len() >= quorum);
    if tokio::time::timeout(patience, enough).await.is_err() {
        bail!(
            "Recovery failed: Failed to recover registrar: Failed to perform fetch within {}",
            in_words(patience)
        );
    }
    log::info("Successfully recovered the registry");
    Ok(())
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{}mins", seconds / 60),
        seconds => format!("{seconds}secs"),
    }
}

/// What a master's node says, in the format detectors of others read too (mesos-dns, load balancers).
fn information(master: &Master) -> serde_json::Value {
    let place = &master.place;
    let number = match place.ip {
        std::net::IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
        std::net::IpAddr::V6(_) => 0,
    };
    json!({
        "address": {"hostname": place.hostname, "ip": place.ip.to_string(), "port": place.port},
        "hostname": place.hostname,
        "id": master.cluster().id,
        "ip": number,
        "pid": format!("master@{}", place.address()),
        "port": place.port,
        "version": master.version.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(arguments: &[&str]) -> String {
        let version = Version(1, 11, 0);
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let flags = Flags::load(&Known::master(version), std::iter::empty(), &arguments).unwrap();
        check(version, &flags).unwrap_err().to_string()
    }

    #[test]
    fn what_must_be_given_is_asked_for() {
        let work_dir = format!(
            "--work_dir={}",
            tempfile::tempdir().unwrap().path().display()
        );
        assert_eq!(
            checked(&["--zk=zk://h:1/m", "--quorum=1"]),
            "--work_dir needed for replicated log based registry"
        );
        assert_eq!(
            checked(&["--zk=zk://h:1/m", &work_dir]),
            "Need to specify --quorum for replicated log based registry when using ZooKeeper"
        );
        assert_eq!(
            checked(&["--zk=h:1/m", "--quorum=1", &work_dir]),
            "Error parsing ZooKeeper URL: Expecting 'zk://' at the beginning of the URL"
        );
    }

    #[test]
    fn timeouts_are_told_as_they_are_given() {
        assert_eq!(in_words(Duration::from_secs(60)), "1mins");
        assert_eq!(in_words(Duration::from_secs(90)), "90secs");
    }
}
