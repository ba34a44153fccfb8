//! `apt`: packages, by what dpkg tells and, only where that is not enough, by what apt knows.
//!
//! A package that is installed needs no question to apt. One that is not, or whose newest version is wanted, costs one
//! `apt-cache policy`; everything that must change goes into one `apt-get` call.

mod script;
mod version;

use self::script::Options;
use self::version::{Demand, Policy, Wanted, parse_policy};
use super::sh::{answer, join, quote, streams};
use super::{
    Args, Chunk, Controller, Decision, Diff, Effect, Failure, FreeForm, Module, Outcome, Plan,
    Probe, Reply, Runs, Seen, Spec, Step,
};
use std::collections::HashMap;

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

/// The parameters of `apt`, and a few more for `package`.
macro_rules! apt_params {
    ($($more:expr),*) => {{
        use $crate::modules::{Param, Type};
        &[
            $($more,)*
            Param::new(
                "package",
                Type::List,
                "names, `name=version` (also `1.2*`), `name>=version`, or patterns of names",
            )
            .aliases(&["name", "pkg"]),
            Param::new("state", Type::Str, "wanted state")
                .choices(&[
                    "absent",
                    "build-dep",
                    "fixed",
                    "latest",
                    "present",
                    "installed",
                    "removed",
                ])
                .default("present"),
            Param::new("update_cache", Type::Bool, "fetch package lists first")
                .aliases(&["update-cache"]),
            Param::new(
                "update_cache_retries",
                Type::Int,
                "how often to try fetching them",
            )
            .default("5"),
            Param::new(
                "update_cache_retry_max_delay",
                Type::Int,
                "longest pause between two tries, in seconds",
            )
            .default("12"),
            Param::new(
                "cache_valid_time",
                Type::Int,
                "fetch only when the lists are older, in seconds",
            )
            .default("0"),
            Param::new("purge", Type::Bool, "remove configuration files too").default("false"),
            Param::new(
                "default_release",
                Type::Str,
                "release to take packages from",
            )
            .aliases(&["default-release"]),
            Param::new(
                "install_recommends",
                Type::Bool,
                "whether to install recommended packages; the host's own default if not given",
            )
            .aliases(&["install-recommends"]),
            Param::new("force", Type::Bool, "pass --force-yes").default("false"),
            Param::new("clean", Type::Bool, "run `apt-get clean`").default("false"),
            Param::new(
                "allow_unauthenticated",
                Type::Bool,
                "accept packages without a trusted signature",
            )
            .aliases(&["allow-unauthenticated"])
            .default("false"),
            Param::new(
                "allow_downgrade",
                Type::Bool,
                "accept an older version than the installed one",
            )
            .aliases(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
            .default("false"),
            Param::new(
                "allow_change_held_packages",
                Type::Bool,
                "change held packages too",
            )
            .default("false"),
            Param::new("upgrade", Type::Str, "upgrade all packages")
                .choices(&["dist", "full", "no", "safe", "yes", "true", "false"])
                .default("no"),
            Param::new(
                "dpkg_options",
                Type::Str,
                "options for dpkg, separated by commas",
            )
            .default("force-confdef,force-confold"),
            Param::new("deb", Type::Path, "package files on the host, or a URL"),
            Param::new(
                "autoremove",
                Type::Bool,
                "remove dependencies that nothing needs any more",
            )
            .default("false"),
            Param::new(
                "autoclean",
                Type::Bool,
                "remove package files that cannot be downloaded any more",
            )
            .default("false"),
            Param::new(
                "policy_rc_d",
                Type::Int,
                "what policy-rc.d answers meanwhile, e.g. 101 to start no service",
            ),
            Param::new(
                "only_upgrade",
                Type::Bool,
                "skip packages that are not installed",
            )
            .default("false"),
            Param::new(
                "fail_on_autoremove",
                Type::Bool,
                "fail when a package would be removed",
            )
            .default("false"),
            Param::new(
                "force_apt_get",
                Type::Bool,
                "no effect: aptitude is never used",
            )
            .default("false"),
            Param::new("lock_timeout", Type::Int, "seconds to wait for apt's locks").default("60"),
            Param::new(
                "auto_install_module_deps",
                Type::Bool,
                "no effect: nothing is needed",
            )
            .default("true"),
        ]
    }};
}
pub(crate) use apt_params;

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

impl Task {
    /// When the lists were fetched and whether that is too long ago.
    fn cache(&self, seen: &Seen) -> (i64, bool) {
        let text = answer(seen, &script::stamps()).map_or_else(String::new, |(_, text)| text);
        let mut numbers = text
            .lines()
            .filter_map(|line| line.trim().parse::<i64>().ok());
        let (fetched, now) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        (fetched, self.update && fetched + self.valid < now.max(1))
    }

    fn judge(&self, seen: &Seen) -> Verdict {
        self.actions(seen)
            .map_or_else(|verdict| verdict, Verdict::Do)
    }

    fn actions(&self, seen: &Seen) -> Ask<Vec<Action>> {
        let mut actions = Vec::new();
        let nothing_else = self.wanted.is_empty() && self.upgrade.is_none() && self.debs.is_empty();
        if self.clean {
            actions.push(self.action(Kind::Clean, "apt-get clean".into()));
            if nothing_else {
                return Ok(actions);
            }
        }
        let (_, stale) = self.cache(seen);
        if stale {
            actions.push(Action {
                kind: Kind::Update,
                line: "apt-get update".into(),
                script: self
                    .options
                    .script(&script::update(self.retries, self.max_delay)),
            });
        }
        if self.update && nothing_else {
            return Ok(actions);
        }
        let apt_get = self.options.apt_get();
        if let Some(upgrade) = self.upgrade {
            actions.push(self.action(Kind::Count, format!("{apt_get}{} {upgrade}", self.flags)));
        } else if !self.debs.is_empty() {
            actions.extend(self.install_debs(seen)?);
        } else if self.wanted.is_empty() {
            let purge = if self.purge { " --purge" } else { "" };
            if self.autoclean {
                let line = format!("{apt_get}{purge} autoclean");
                actions.push(self.action(Kind::Says("Del "), line));
            } else if self.autoremove {
                let line = format!("{apt_get}{purge} autoremove");
                let kind = Kind::Says("The following packages will be REMOVED");
                actions.push(self.action(kind, line));
            } else if self.state == "fixed" {
                actions.push(self.action(Kind::Count, format!("{apt_get}{} install", self.flags)));
            }
        } else {
            let wanted = self.expanded(seen)?;
            let packages = self.packages(&wanted, seen)?;
            match self.state.as_str() {
                "absent" => actions.extend(self.remove(&wanted, &packages)),
                "build-dep" => {
                    let names = join(wanted.iter().map(|one| &one.spec));
                    let line = format!("{apt_get}{} build-dep {names}", self.flags);
                    actions.push(self.action(Kind::Count, line));
                }
                _ => {
                    let words = self.words(&wanted, &packages, stale && !self.check, seen)?;
                    if !words.is_empty() {
                        let kind = if stale && !self.check && self.state == "latest" {
                            Kind::Count
                        } else {
                            Kind::Change
                        };
                        let line = format!("{apt_get}{} install {}", self.flags, join(&words));
                        actions.push(self.action(kind, line));
                    }
                    actions.extend(self.mark(&wanted, &packages, seen)?);
                }
            }
        }
        Ok(actions)
    }

    fn action(&self, kind: Kind, line: String) -> Action {
        let script = self.options.script(&format!("mp_apt {line}"));
        Action { kind, line, script }
    }

    /// The wanted packages with patterns replaced by the names they match.
    fn expanded(&self, seen: &Seen) -> Ask<Vec<Wanted>> {
        let mut expanded = Vec::new();
        for one in &self.wanted {
            if !one.is_pattern() {
                expanded.push(one.clone());
                continue;
            }
            let names = asked(seen, script::expand(&one.name))?;
            if names.trim().is_empty() {
                return Err(Verdict::Fail(format!(
                    "No package(s) matching '{}' available",
                    one.name
                )));
            }
            expanded.extend(names.lines().map(Wanted::parse));
        }
        Ok(expanded)
    }

    /// What dpkg says of the packages, by name: whether each is installed, its version, and whether files of it are left.
    fn packages(&self, wanted: &[Wanted], seen: &Seen) -> Ask<HashMap<String, Installed>> {
        let unasked: Vec<Probe> = wanted
            .iter()
            .map(|one| Probe::Package(one.name.clone()))
            .filter(|probe| seen.get(probe).is_none())
            .collect();
        if !unasked.is_empty() {
            return Err(Verdict::Look(unasked));
        }
        Ok(wanted
            .iter()
            .filter_map(|one| {
                let state = seen.package(&one.name)?;
                let installed = Installed {
                    version: state.installed().then(|| state.version.clone()),
                    leftovers: !state.status.ends_with("not-installed"),
                };
                Some((one.name.clone(), installed))
            })
            .collect())
    }

    /// The words for `apt-get install`: what is not as wanted.
    fn words(
        &self,
        wanted: &[Wanted],
        packages: &HashMap<String, Installed>,
        stale: bool,
        seen: &Seen,
    ) -> Ask<Vec<String>> {
        let latest = self.state == "latest";
        let installed = |one: &Wanted| packages.get(&one.name).and_then(|p| p.version.as_deref());
        let in_sync = |one: &Wanted| {
            installed(one).is_some_and(|version| {
                !latest && one.version.met_by(version) && !one.version.is_pattern()
            })
        };
        let open: Vec<&Wanted> = wanted
            .iter()
            .filter(|one| !in_sync(one) && (!self.only_upgrade || installed(one).is_some()))
            .collect();
        // A missing name may be a virtual one that something else provides.
        let missing: Vec<&Wanted> = open
            .iter()
            .copied()
            .filter(|one| installed(one).is_none() && one.version == Demand::Any)
            .collect();
        let provided = if missing.is_empty() {
            String::new()
        } else {
            asked(
                seen,
                script::provided(missing.iter().map(|one| one.name.as_str())),
            )?
        };
        let is_provided = |one: &Wanted| provided.lines().any(|name| name == one.name);
        // Only now, and only for versions, apt's own knowledge matters.
        let versioned: Vec<&Wanted> = open
            .iter()
            .copied()
            .filter(|one| installed(one).is_some() || one.version != Demand::Any)
            .collect();
        let policies = if versioned.is_empty() || stale {
            HashMap::new()
        } else {
            let names = versioned.iter().map(|one| one.name.as_str());
            parse_policy(&asked(
                seen,
                script::policy(names, self.release.as_deref()),
            )?)
        };
        let mut words = Vec::new();
        for one in open {
            if installed(one).is_none() && one.version == Demand::Any {
                if !is_provided(one) {
                    words.push(one.name.clone());
                }
            } else if stale {
                // The lists are about to change, so that apt-get itself must choose.
                words.push(match &one.version {
                    Demand::Is(version) => format!("{}={version}", one.name),
                    _ => one.name.clone(),
                });
            } else {
                let policy = policies.get(&one.name).cloned().unwrap_or_default();
                words.extend(self.choose(one, installed(one), &policy, latest)?);
            }
        }
        Ok(words)
    }

    /// Ansible's choice of a version.
    fn choose(
        &self,
        one: &Wanted,
        installed: Option<&str>,
        policy: &Policy,
        latest: bool,
    ) -> Ask<Option<String>> {
        let best = policy.best(&one.version);
        let met = installed.is_some_and(|version| one.version.met_by(version));
        let installable = best.filter(|best| {
            installed.is_none_or(|installed| *best != installed && one.version.met_by(best))
        });
        match (met, installable) {
            (false, None) => Err(Verdict::Fail(format!(
                "no available installation candidate for {}",
                one.spec
            ))),
            (true, None) => Ok(None),
            (_, Some(version)) if latest || !met => Ok(Some(format!("{}={version}", one.name))),
            // A newer version matches the pattern too: apt-get may choose.
            (_, Some(_)) => Ok(match &one.version {
                Demand::Is(version) => Some(format!("{}={version}", one.name)),
                _ => None,
            }),
        }
    }

    /// Packages that came as a dependency and are now wanted for themselves.
    fn mark(
        &self,
        wanted: &[Wanted],
        packages: &HashMap<String, Installed>,
        seen: &Seen,
    ) -> Ask<Option<Action>> {
        if self.check {
            return Ok(None);
        }
        let names: Vec<&str> = wanted
            .iter()
            .map(|one| one.name.as_str())
            .filter(|name| packages.get(*name).is_some_and(|p| p.version.is_some()))
            .collect();
        if names.is_empty() {
            return Ok(None);
        }
        let automatic =
            script::parse_automatic(&asked(seen, script::automatic(names.iter().copied()))?);
        let names: Vec<&str> = names
            .into_iter()
            .filter(|name| {
                let plain = name.split(':').next().unwrap_or(name);
                automatic.iter().any(|other| other == plain)
            })
            .collect();
        Ok((!names.is_empty())
            .then(|| self.action(Kind::Mark, format!("apt-mark manual {}", join(&names)))))
    }

    fn remove(&self, wanted: &[Wanted], packages: &HashMap<String, Installed>) -> Option<Action> {
        let words: Vec<&str> = wanted
            .iter()
            .filter(|one| {
                packages
                    .get(&one.name)
                    .is_some_and(|package| match &package.version {
                        Some(version) => one.version.met_by(version) || self.purge,
                        None => package.leftovers && self.purge,
                    })
            })
            .map(|one| one.spec.as_str())
            .collect();
        (!words.is_empty()).then(|| {
            let apt_get = self.options.apt_get();
            let line = format!("{apt_get} -q{} remove {}", self.remove_flags, join(&words));
            self.action(Kind::Change, line)
        })
    }

    fn install_debs(&self, seen: &Seen) -> Ask<Vec<Action>> {
        let line = format!("{}{} install", self.options.apt_get(), self.flags);
        if self.debs.iter().any(|deb| deb.contains("://")) {
            return Ok(self.download_debs(&line));
        }
        let fields = script::deb_fields(&self.debs);
        let Some((rc, text)) = answer(seen, &fields) else {
            return Err(Verdict::Look(vec![Probe::Script(fields)]));
        };
        if rc != 0 {
            return Err(Verdict::Fail(format!(
                "Unable to install package: {}",
                text.trim()
            )));
        }
        let fields: Vec<&str> = text.lines().collect();
        let unasked: Vec<Probe> = fields
            .chunks(3)
            .map(|deb| Probe::Package(deb[0].into()))
            .filter(|probe| seen.get(probe).is_none())
            .collect();
        if !unasked.is_empty() {
            return Err(Verdict::Look(unasked));
        }
        let files: Vec<String> = self
            .debs
            .iter()
            .zip(fields.chunks(3))
            .filter(|(_, deb)| {
                !seen.package(deb[0]).is_some_and(|package| {
                    package.installed()
                        && Some(&package.version.as_str()) == deb.get(1)
                        && Some(&package.arch.as_str()) == deb.get(2)
                })
            })
            .map(|(file, _)| file.clone())
            .collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let body = script::install_debs(&line, &files, &self.options.dpkg);
        Ok(vec![Action {
            kind: Kind::Change,
            line: format!("{line} {}", join(&files)),
            script: self.options.script(&body),
        }])
    }

    /// What is behind a URL is known only once it is here.
    fn download_debs(&self, line: &str) -> Vec<Action> {
        self.debs
            .iter()
            .map(|deb| {
                let file = "$MP_TMP/download.deb";
                let (fetch, file) = if deb.contains("://") {
                    (script::download(deb), file)
                } else {
                    (String::new(), deb.as_str())
                };
                let install = script::install_debs(line, &[file.into()], &self.options.dpkg);
                let path = super::sh::expanding(file, false);
                let body = format!(
                    "{fetch}mp_new=$(dpkg-deb -W --showformat='${{Package}} ${{Version}} ${{Architecture}}' {path}) || exit\n\
                     mp_old=$(dpkg-query -W -f='${{db:Status-Status}} ${{Package}} ${{Version}} ${{Architecture}}' \"${{mp_new%% *}}\" 2>/dev/null)\n\
                     [ \"$mp_old\" = \"installed $mp_new\" ] && echo 'mp: is installed' && exit 0\n{install}"
                );
                Action {
                    kind: Kind::Count,
                    line: format!("{line} {deb}"),
                    script: self.options.script(&body),
                }
            })
            .collect()
    }
}

/// What dpkg says of a package.
struct Installed {
    version: Option<String>,
    leftovers: bool,
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
        if matches!(self.state.as_str(), "present" | "latest") && !self.check {
            let names: Vec<&str> = self.wanted.iter().map(|one| one.name.as_str()).collect();
            if !names.is_empty() && self.patterns().next().is_none() {
                probes.push(Probe::Script(script::automatic(names.into_iter())));
            }
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let actions = match self.judge(seen) {
            Verdict::Look(probes) => return Decision::Look(probes),
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

impl Kind {
    fn changed(self, out: &str) -> bool {
        match self {
            Self::Clean | Self::Change => true,
            Self::Count => {
                !out.is_empty()
                    && !format!("\n{out}").contains("\n0 upgraded, 0 newly installed, 0 to remove")
            }
            Self::Says(text) => out.contains(text),
            Self::Update | Self::Mark => false,
        }
    }
}

impl Task {
    /// The result with what is known of the lists, after they were fetched or not.
    fn cached(&self, outcome: Outcome, before: &Seen, fetched: Option<i64>) -> Outcome {
        if self.state == "absent" && !self.update {
            return outcome;
        }
        let (old, stale) = self.cache(before);
        let updated = match fetched {
            Some(new) => new != old,
            None => stale && self.check,
        };
        let mut outcome = outcome
            .with("cache_updated", updated)
            .with("cache_update_time", fetched.unwrap_or(old));
        if self.wanted.is_empty() && self.upgrade.is_none() && self.debs.is_empty() {
            outcome.changed |= updated;
        }
        outcome
    }

    /// Check mode: apt-get itself says what it would do.
    fn rehearse(&self, actions: &[Action], idle: Outcome, seen: &Seen) -> Decision {
        let mut outcome = idle;
        for action in actions {
            if action.script.contains("download.deb") {
                outcome.changed = true;
                return Decision::Act(Plan {
                    actions: Vec::new(),
                    effects: vec![Effect::Nothing],
                    predicted: outcome,
                    opaque: true,
                });
            }
            match action.kind {
                Kind::Update | Kind::Mark => continue,
                Kind::Clean => {
                    outcome.changed = true;
                    continue;
                }
                _ => {}
            }
            let line = action.line.replacen("apt-get -y", "apt-get -s -y", 1);
            let probe = format!("export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n{line}");
            let Some(answer) = seen.get(&Probe::Script(probe.clone())) else {
                return Decision::Look(vec![Probe::Script(probe)]);
            };
            let super::probe::Answer::Script { rc, stdout, stderr } = answer else {
                continue;
            };
            let reply = Reply {
                ran: true,
                rc: *rc,
                stdout: stdout.to_vec(),
                stderr: stderr.to_vec(),
                ..Reply::default()
            };
            if reply.rc != 0 {
                return Decision::Done(self.failure(action, &reply));
            }
            let out = reply.out();
            outcome.changed |= action.kind.changed(&out);
            outcome.diff.extend(prepared(&out));
            outcome = streams(outcome, &out, &reply.err());
        }
        Decision::Done(outcome)
    }

    /// What went wrong, by apt's own `E:` lines.
    fn failure(&self, action: &Action, reply: &Reply) -> Outcome {
        let err = reply.err();
        let errors: Vec<&str> = err
            .lines()
            .filter(|line| line.starts_with("E: ") || line.starts_with("N: /"))
            .map(|line| &line[3..])
            .collect();
        let named = |before: &str, after: &str| {
            errors.iter().find_map(|line| {
                line.strip_prefix(before)?
                    .strip_suffix(after)
                    .map(|name| name.trim_matches(['\'', '"']).to_owned())
            })
        };
        let cause = if errors.is_empty() {
            err.trim().to_owned()
        } else {
            errors.join("; ")
        };
        let msg = if action.kind == Kind::Update {
            format!(
                "Failed to update apt cache after {} retries: {cause}",
                self.retries
            )
        } else if let Some(name) = named("Unable to locate package ", "") {
            format!("No package matching '{name}' is available")
        } else if let Some(name) = named("Package ", " has no installation candidate") {
            format!("no available installation candidate for {name}")
        } else if reply.timed_out {
            format!("'{}' took too long", action.line)
        } else {
            format!("'{}' failed: {cause}", action.line)
        };
        super::sh::failed(msg, reply)
    }
}

/// The part of apt-get's output that says what it does.
fn prepared(out: &str) -> Option<Diff> {
    let lines: Vec<&str> = out.lines().collect();
    let start = lines
        .iter()
        .position(|line| *line == "Reading state information...")
        .map_or(0, |i| i + 1);
    let end = lines
        .iter()
        .position(|line| {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            words.len() > 1
                && words[0].parse::<u32>().is_ok()
                && words[1].trim_end_matches(',') == "upgraded"
        })
        .map_or(lines.len(), |i| i + 1);
    let text = lines.get(start..end)?.join("\n");
    (!text.is_empty()).then(|| Diff {
        header: String::new(),
        before: String::new(),
        after: text + "\n",
    })
}

#[cfg(test)]
mod tests;
