//! `docker_volume`: volumes.

use super::{Docker, docker_params, holds, pairs, value};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec, Step,
};

/// `docker_volume`.
pub(crate) struct DockerVolume;

static SPEC: Spec = Spec {
    name: "docker_volume",
    collection: "community.docker",
    aliases: &[],
    doc: "Manages volumes of Docker",
    params: docker_params![
        Param::new("volume_name", Type::Str, "the volume")
            .required()
            .aliases(&["name"]),
        Param::new("driver", Type::Str, "its driver").default("local"),
        Param::new("driver_options", Type::Dict, "options of the driver"),
        Param::new("labels", Type::Dict, "its labels"),
        Param::new("recreate", Type::Str, "when it is made anew")
            .choices(&["always", "never", "options-changed"])
            .default("never"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for DockerVolume {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let docker = Docker::new(args);
        let name = args.text("volume_name");
        let probes = vec![Probe::Script(docker.inspect("volume", &name))];
        let (asked, called) = (docker.clone(), name.clone());
        let args = args.clone();
        Rule::new(probes, move |seen| judge(&args, &docker, &name, seen))
            .finish(move |mut outcome, _, _, after| {
                if let Ok(Some(now)) = asked.seen(after, "volume", &called) {
                    outcome.data.insert("volume".into(), value(&now));
                }
                outcome
            })
            .step()
    }
}

fn judge(args: &Args, docker: &Docker, name: &str, seen: &Seen) -> Known<Verdict> {
    let now = docker.seen(seen, "volume", name)?;
    let mut actions = Vec::new();
    let remove = docker.act(["volume", "rm", name]);
    if args.text("state") == "absent" {
        actions.extend(now.is_some().then_some(remove));
    } else {
        let labels = pairs(args.get("labels"));
        let options = pairs(args.get("driver_options"));
        let recreate = args.text("recreate");
        let again = now.as_ref().is_some_and(|now| {
            let same = now["Driver"].as_str() == Some(&args.text("driver"))
                && holds(&now["Options"], &options)
                && holds(&now["Labels"], &labels);
            recreate == "always" || (recreate == "options-changed" && !same)
        });
        if again {
            actions.push(remove);
        }
        if again || now.is_none() {
            let mut words = vec!["volume".to_owned(), "create".into(), "--driver".into()];
            words.push(args.text("driver"));
            for (flag, list) in [("--opt", options), ("--label", labels)] {
                for (key, value) in list {
                    words.extend([flag.to_owned(), format!("{key}={value}")]);
                }
            }
            words.push(name.to_owned());
            actions.push(docker.act(words));
        }
    }
    let outcome = match &now {
        Some(now) => Outcome::ok().with("volume", value(now)),
        None => Outcome::ok(),
    };
    if actions.is_empty() {
        return Ok(outcome.into());
    }
    Ok(Act::change(
        actions,
        vec![Effect::Anything],
        outcome,
        format!("volume {name}"),
    )
    .into())
}
