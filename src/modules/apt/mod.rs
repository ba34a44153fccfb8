//! `apt`: packages, by what dpkg tells and, only where that is not enough, by what apt knows.
//!
//! A package that is installed needs no question to apt. One that is not, or whose newest version is wanted, costs one
//! `apt-cache policy`; everything that must change goes into one `apt-get` call.

mod judge;
mod params;
mod result;
mod script;
mod version;

use self::result::prepared;
use self::script::Options;
use self::version::Wanted;
use super::sh::{answer, quote, streams};
use super::{
    Args, Chunk, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Plan, Probe,
    Reply, Runs, Seen, Spec, Step,
};
pub(crate) use params::apt_params;

/// `apt`.
pub(crate) struct Apt;

/// A script that fetches package lists, for other modules.
pub(crate) fn update_script(retries: i64, max_delay: i64) -> String {
    let options = Options {
        lock_timeout: 60,
        ..Options::default()
    };
    options.script(&script::update(retries, max_delay))
}

static SPEC: Spec = Spec {
    name: "apt",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages Debian packages",
    params: apt_params![],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Apt {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        for deb in args.strings("deb") {
            super::download::check("deb", &deb, false, controller)?;
        }
        Ok(Box::new(Task::new(args, controller.check_mode())?))
    }
}

/// The arguments, sorted out.
struct Task {
    wanted: Vec<Wanted>,
    state: String,
    update: bool,
    valid: i64,
    retries: i64,
    max_delay: i64,
    purge: bool,
    release: Option<String>,
    clean: bool,
    upgrade: Option<&'static str>,
    debs: Vec<String>,
    autoremove: bool,
    autoclean: bool,
    only_upgrade: bool,
    /// Flags of `install`, `build-dep` and upgrades.
    flags: String,
    /// Flags of `remove`.
    remove_flags: String,
    options: Options,
    check: bool,
    warnings: Vec<String>,
}

impl Task {
    fn new(args: &Args, check: bool) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        let mut state = args.text("state");
        for (old, new) in [("installed", "present"), ("removed", "absent")] {
            if state == old {
                warnings.push(format!("`state: {old}` is an old spelling of `{new}`"));
                state = new.into();
            }
        }
        let names = args.strings("package");
        let all = names.iter().any(|name| name.trim() == "*");
        let wanted: Vec<Wanted> = names
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty() && *name != "*")
            .map(Wanted::parse)
            .collect();
        for one in &wanted {
            if one.spec.matches('=').count() > 1 {
                return Err(Failure::of(
                    "package",
                    format!("invalid package spec: {}", one.spec),
                ));
            }
        }
        let mut upgrade = match args.text("upgrade").to_lowercase().as_str() {
            "dist" | "full" => Some("dist-upgrade"),
            "yes" | "safe" | "true" => Some("upgrade --with-new-pkgs"),
            _ => None,
        };
        if all && state == "latest" {
            if !wanted.is_empty() {
                return Err(Failure::of(
                    "package",
                    "unable to install additional packages when upgrading all installed packages",
                ));
            }
            upgrade = upgrade.or(Some("upgrade --with-new-pkgs"));
        }
        let debs: Vec<String> = args
            .str("deb")
            .map(|debs| debs.split(',').map(|deb| deb.trim().to_owned()).collect())
            .unwrap_or_default();
        let kinds = [
            args.has("package") && !wanted.is_empty(),
            !debs.is_empty(),
            args.text("upgrade") != "no" && upgrade.is_some(),
        ];
        if kinds.iter().filter(|kind| **kind).count() > 1 {
            return Err(Failure::new(
                "parameters are mutually exclusive: deb|package|upgrade",
            ));
        }
        if !debs.is_empty() && state != "present" {
            return Err(Failure::of("deb", "deb only supports state=present"));
        }
        let bool = |name: &str| args.bool(name);
        let mut flags = String::new();
        let mut flag = |given: bool, text: &str| {
            if given {
                flags.push(' ');
                flags.push_str(text);
            }
        };
        flag(bool("only_upgrade"), "--only-upgrade");
        flag(state == "fixed", "--fix-broken");
        flag(bool("force"), "--force-yes");
        flag(bool("autoremove") && state != "build-dep", "--auto-remove");
        flag(bool("fail_on_autoremove"), "--no-remove");
        flag(bool("allow_unauthenticated"), "--allow-unauthenticated");
        flag(bool("allow_downgrade"), "--allow-downgrades");
        flag(
            bool("allow_change_held_packages"),
            "--allow-change-held-packages",
        );
        if args.has("install_recommends") {
            let word = if bool("install_recommends") {
                "yes"
            } else {
                "no"
            };
            flag(true, &format!("-o APT::Install-Recommends={word}"));
        }
        let release = args.str("default_release").filter(|r| !r.is_empty());
        if let Some(release) = &release {
            flag(true, &format!("-t {}", quote(release)));
        }
        let mut remove_flags = String::new();
        for (given, text) in [
            (bool("purge"), " --purge"),
            (bool("force"), " --force-yes"),
            (bool("autoremove"), " --auto-remove"),
            (
                bool("allow_change_held_packages"),
                " --allow-change-held-packages",
            ),
        ] {
            remove_flags.push_str(if given { text } else { "" });
        }
        let valid = args.int("cache_valid_time").unwrap_or(0);
        Ok(Self {
            wanted,
            state,
            update: bool("update_cache") || valid > 0,
            valid,
            retries: args.int("update_cache_retries").unwrap_or(5),
            max_delay: args.int("update_cache_retry_max_delay").unwrap_or(12),
            purge: bool("purge"),
            release,
            clean: bool("clean"),
            upgrade,
            debs,
            autoremove: bool("autoremove"),
            autoclean: bool("autoclean"),
            only_upgrade: bool("only_upgrade"),
            flags,
            remove_flags,
            options: Options {
                dpkg: args
                    .text("dpkg_options")
                    .split(',')
                    .map(str::trim)
                    .filter(|option| !option.is_empty())
                    .map(str::to_owned)
                    .collect(),
                lock_timeout: args.int("lock_timeout").unwrap_or(60),
                policy_rc_d: args.int("policy_rc_d"),
            },
            check,
            warnings,
        })
    }

    /// Patterns stand for names that only the host knows.
    fn patterns(&self) -> impl Iterator<Item = &Wanted> {
        self.wanted.iter().filter(|one| one.is_pattern())
    }
}

/// What an action is, for reading its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clean,
    Update,
    /// Changes for certain when it succeeds.
    Change,
    /// Changed unless apt-get counts nothing.
    Count,
    /// Changed if this text is in its output.
    Says(&'static str),
    /// Marks packages as wanted by hand; no change to report.
    Mark,
}

/// One action.
struct Action {
    kind: Kind,
    /// The command as people read it.
    line: String,
    script: String,
}

/// What follows from what was seen.
enum Verdict {
    Look(Vec<Probe>),
    Fail(String),
    Do(Vec<Action>),
}

/// A question that must be asked first, or a failure.
type Ask<T> = Result<T, Verdict>;

fn asked(seen: &Seen, script: String) -> Ask<String> {
    match answer(seen, &script) {
        Some((_, text)) => Ok(text),
        None => Err(Verdict::Look(vec![Probe::Script(script)])),
    }
}

impl Step for Task {
    fn probes(&self) -> Vec<Probe> {
        let mut probes: Vec<Probe> = self
            .wanted
            .iter()
            .filter(|one| !one.is_pattern() && self.state != "build-dep")
            .map(|one| Probe::Package(one.name.clone()))
            .collect();
        let patterns = self.patterns().map(|one| script::expand(&one.name));
        probes.extend(patterns.map(Probe::Script));
        if self.update || self.state != "absent" {
            probes.push(Probe::Script(script::stamps()));
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let actions = match self.judge(seen) {
            Verdict::Look(probes) => return Decision::Look(probes),
            Verdict::Fail(msg) if msg.starts_with("no available") => {
                return Decision::Done(self.cached(Outcome::failed(msg), seen, None));
            }
            Verdict::Fail(msg) => return Decision::Done(Outcome::failed(msg)),
            Verdict::Do(actions) => actions,
        };
        let mut idle = self.cached(Outcome::ok(), seen, None);
        idle.warnings.clone_from(&self.warnings);
        if actions.is_empty() {
            return Decision::Done(idle);
        }
        if self.check {
            return self.rehearse(&actions, idle, seen);
        }
        Decision::Act(Plan {
            effects: vec![Effect::Packages],
            predicted: Outcome {
                changed: actions.iter().any(|action| action.kind != Kind::Mark),
                ..idle
            },
            opaque: false,
            actions: actions
                .into_iter()
                .map(|action| Chunk::new(action.script))
                .collect(),
        })
    }

    fn finish(&self, before: &Seen, replies: &[Reply], _after: &Seen) -> Outcome {
        let Verdict::Do(actions) = self.judge(before) else {
            return Outcome::failed("the packages' state is not known");
        };
        let mut outcome = Outcome::ok();
        outcome.warnings.clone_from(&self.warnings);
        let mut fetched = None;
        for (action, reply) in actions.iter().zip(replies).filter(|(_, reply)| reply.ran) {
            let (mut out, err) = (reply.out(), reply.err());
            if reply.rc != 0 {
                return self.failure(action, reply);
            }
            match action.kind {
                Kind::Update => {
                    fetched = out.lines().last().and_then(|line| line.trim().parse().ok());
                    continue;
                }
                Kind::Mark => continue,
                Kind::Clean => outcome.msg = Some(out.clone()),
                _ => {}
            }
            if out.trim() == "mp: is installed" {
                out.clear();
            }
            outcome.changed |= action.kind.changed(&out);
            outcome.diff.extend(prepared(&out));
            if self.upgrade.is_some() {
                outcome.msg = Some(out.clone());
            }
            outcome = streams(outcome, &out, &err);
        }
        self.cached(outcome, before, fetched)
    }
}

#[cfg(test)]
mod tests;
