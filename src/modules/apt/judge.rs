//! What follows for packages from what dpkg and apt say: the words for one `apt-get` call.

use super::script;
use super::version::{Demand, Policy, Wanted, parse_policy};
use super::{Action, Ask, Kind, Task, Verdict, asked};
use crate::modules::sh::{answer, join};
use crate::modules::{Probe, Seen};
use std::collections::HashMap;

impl Task {
    /// When the lists were fetched and whether that is too long ago.
    pub(super) fn cache(&self, seen: &Seen) -> (i64, bool) {
        let text = answer(seen, &script::stamps()).map_or_else(String::new, |(_, text)| text);
        let mut numbers = text
            .lines()
            .filter_map(|line| line.trim().parse::<i64>().ok());
        let (fetched, now) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        (fetched, self.update && fetched + self.valid < now.max(1))
    }

    pub(super) fn judge(&self, seen: &Seen) -> Verdict {
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
                    actions.extend(self.mark(&wanted, &packages));
                }
            }
        }
        Ok(actions)
    }

    pub(super) fn action(&self, kind: Kind, line: String) -> Action {
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
                    automatic: state.automatic,
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
    fn mark(&self, wanted: &[Wanted], packages: &HashMap<String, Installed>) -> Option<Action> {
        if self.check {
            return None;
        }
        let names: Vec<&str> = wanted
            .iter()
            .map(|one| one.name.as_str())
            .filter(|name| {
                let package = packages.get(*name);
                package.is_some_and(|p| p.version.is_some() && p.automatic)
            })
            .collect();
        (!names.is_empty())
            .then(|| self.action(Kind::Mark, format!("apt-mark manual {}", join(&names))))
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
                let path = crate::modules::sh::expanding(file, false);
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
pub(super) struct Installed {
    version: Option<String>,
    leftovers: bool,
    automatic: bool,
}
