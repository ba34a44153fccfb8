//! One file per module and one static table of them.
//!
//! A module turns arguments into a [`Step`]: what it must know ([`Step::probes`]), what follows from that
//! ([`Step::decide`], a pure function), and what to tell the user ([`Step::finish`]). It never does I/O with
//! the host itself and knows nothing of SSH. Help, `doc`, argument checks and did-you-mean read [`TABLE`].

mod acl;
mod alternatives;
mod apt;
mod apt_key;
mod apt_repository;
pub mod args;
mod assemble;
pub(crate) mod attrs;
mod authorized_key;
mod bamboo_rule;
mod blockinfile;
mod command;
pub mod control;
mod copy;
mod copy_remote;
mod copy_tree;
mod cron;
mod deb822_repository;
mod debconf;
mod docker;
mod download;
mod edit;
mod fetch;
mod fetch_file;
mod file;
mod find;
mod get_url;
mod git;
mod group;
mod health_check;
mod hostname;
mod htpasswd;
mod http;
mod ini_file;
mod iptables;
mod known_hosts;
mod lineinfile;
mod listings;
mod locale_gen;
mod marathon_app;
mod modprobe;
mod mount;
mod package;
mod pamd;
mod pip;
mod postgresql;
pub mod probe;
mod put;
mod raw;
pub(crate) mod regex;
mod replace;
mod rule;
mod script;
mod service;
mod service_status;
mod setup;
pub mod sh;
mod slurp;
mod stat;
mod sysctl;
mod systemd;
mod sysvinit;
mod tempfile;
mod template;
#[cfg(test)]
pub(crate) mod testing;
mod timezone;
mod ufw;
mod unarchive;
mod uri;
mod user;
mod wait_for;
mod write;

use crate::remote::{Chunk, Reply};
use crate::yaml::Node;
use indexmap::IndexMap;
use minijinja::Value;
use std::path::{Path, PathBuf};

pub use args::Args;
pub use probe::{Probe, Seen};

/// What a module is and takes.
#[derive(Debug)]
pub struct Spec {
    /// Short name, as in `ansible.builtin.NAME`.
    pub name: &'static str,
    /// Collection it lives in for Ansible, e.g. `ansible.builtin`, `ansible.posix`, `community.general`.
    pub collection: &'static str,
    /// Other names, e.g. `systemd_service`.
    pub aliases: &'static [&'static str],
    /// One line for people.
    pub doc: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// What a bare string after the module's name means.
    pub free_form: FreeForm,
    /// Who carries it out.
    pub runs: Runs,
}

/// What a bare string after the module's name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeForm {
    /// `k=v` pairs (Ansible's old form); other words are the parameter `_raw_params` where the spec has it.
    Pairs,
    /// A command line, given as the parameter `_raw_params`, with leading or trailing `creates=`-like pairs of known parameters.
    Raw,
    /// The whole string, as the parameter `_raw_params`, nothing parsed (e.g. `meta: flush_handlers`).
    Whole,
}

/// Who carries a module out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Observe, decide, act on the host.
    Host,
    /// The engine itself: variables and control flow (`set_fact`, `include_tasks`, `meta`…).
    Engine,
}

/// One parameter.
#[derive(Debug)]
pub struct Param {
    /// Name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Type it is coerced to, as Ansible does.
    pub ty: Type,
    /// Default, in YAML; `None` is "not given".
    pub default: Option<&'static str>,
    /// Whether it must be given.
    pub required: bool,
    /// Allowed values, empty for any.
    pub choices: &'static [&'static str],
    /// One line for people; `unsupported: why` where Ansible has it and we refuse it.
    pub doc: &'static str,
    /// Whether Ansible has it and we refuse it (an error that says so).
    pub unsupported: bool,
    /// Whether its value is a secret.
    pub secret: bool,
}

impl Param {
    /// An optional parameter of this type.
    #[must_use]
    pub const fn new(name: &'static str, ty: Type, doc: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            ty,
            default: None,
            required: false,
            choices: &[],
            doc,
            unsupported: false,
            secret: false,
        }
    }

    /// The same; its value is masked wherever it would be shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The same, required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same with a default, in YAML.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The same with other names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The same with a closed set of values.
    #[must_use]
    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    /// A parameter that Ansible has and we refuse, with the reason.
    #[must_use]
    pub const fn unsupported(name: &'static str, why: &'static str) -> Self {
        let mut param = Self::new(name, Type::Raw, why);
        param.unsupported = true;
        param
    }
}

/// Types of parameters, coerced as Ansible's argument spec does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Text; numbers and booleans become text.
    Str,
    /// A path: text, `~` and `$VAR` stay for the host's shell.
    Path,
    /// `yes`, `true`, `1`, `on` and so on.
    Bool,
    /// Integer, also from text.
    Int,
    /// Number, also from text.
    Float,
    /// List; a string is split at commas.
    List,
    /// Mapping; JSON or `k=v` text is parsed.
    Dict,
    /// Anything as it is (e.g. a `mode`).
    Raw,
}

/// A failure of a step before or while deciding: what the user reads as `msg`.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The message.
    pub msg: String,
    /// Which parameter it is about, for the place.
    pub param: Option<String>,
    /// More result fields.
    pub data: IndexMap<String, Value>,
}

impl Failure {
    /// A failure with this message.
    pub fn new(msg: impl Into<String>) -> Self {
        Self {
            msg: msg.into(),
            param: None,
            data: IndexMap::new(),
        }
    }

    /// A failure about one parameter.
    pub fn of(param: &str, msg: impl Into<String>) -> Self {
        Self {
            msg: msg.into(),
            param: Some(param.into()),
            data: IndexMap::new(),
        }
    }
}

/// What a module may ask of the controller while it plans.
pub trait Controller {
    /// Whether the run is a dry one.
    fn check_mode(&self) -> bool;
    /// Whether differences are wanted.
    fn diff(&self) -> bool;
    /// A fact of the host by its name without `ansible_`, e.g. `service_mgr`; undefined when not gathered.
    fn fact(&self, name: &str) -> Value;
    /// The file a `src` means: searched in the role's `kind` directory (`files`, `templates`), then beside the playbook, as Ansible does.
    ///
    /// # Errors
    /// When there is none; the message lists where it was looked for.
    fn find(&self, kind: &str, name: &str) -> Result<PathBuf, Failure>;
    /// A file's bytes, decrypted when the file is encrypted with Ansible's vault.
    ///
    /// # Errors
    /// When it cannot be read or decrypted.
    fn read(&self, path: &Path) -> Result<Vec<u8>, Failure>;
    /// A file's bytes as they are.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_as_is(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        self.read(path)
    }
    /// A template file rendered with the step's variables, with Ansible's options of `template` (trim_blocks and so on) in `options`.
    ///
    /// # Errors
    /// When it does not render; the message has the place.
    fn render(&self, path: &Path, options: &TemplateOptions) -> Result<String, Failure>;
    /// The environment the step runs with (`environment:` keyword).
    fn environment(&self) -> &[(String, String)];
    /// The user the step runs as when it is known: `become_user`, or the login name.
    fn user(&self) -> Option<String>;
    /// A variable of the step, e.g. `inventory_hostname` or `playbook_dir`; undefined when there is none.
    fn variable(&self, _name: &str) -> Value {
        Value::UNDEFINED
    }
}

/// Options of the `template` module that change rendering.
#[derive(Debug, Clone)]
pub struct TemplateOptions {
    /// Remove the newline after a block tag.
    pub trim_blocks: bool,
    /// Strip white space before a block tag at the start of a line.
    pub lstrip_blocks: bool,
    /// Newline written: `\n`, `\r` or `\r\n`.
    pub newline_sequence: String,
    /// Delimiters, `None` for the usual ones: block start/end, variable start/end, comment start/end.
    pub delimiters: [Option<String>; 6],
    /// Extra variables the template sees, e.g. `template_path`, `template_destpath`.
    pub extra: Vec<(String, Value)>,
}

impl Default for TemplateOptions {
    fn default() -> Self {
        Self {
            trim_blocks: true,
            lstrip_blocks: false,
            newline_sequence: "\n".into(),
            delimiters: Default::default(),
            extra: Vec::new(),
        }
    }
}

/// Reads what an HTTP tool of a host printed.
#[cfg(any(test, fuzzing))]
pub(crate) fn http_answer(out: &[u8]) -> http::Answer {
    http::Answer::read(out)
}

/// A module: one file, one entry in [`TABLE`].
pub trait Module: Sync {
    /// What it is and takes.
    fn spec(&self) -> &'static Spec;

    /// A step with these arguments: checked, coerced, local files read.
    ///
    /// # Errors
    /// When the arguments make no sense together or a local file is missing.
    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure>;

    /// Whether it only looks at files: what it saw is nothing a run has left.
    fn only_looks(&self) -> bool {
        false
    }
}

/// A module with its arguments, for one host and one loop item.
pub trait Step: Send + Sync {
    /// What must be known of the host before anything can be decided.
    fn probes(&self) -> Vec<Probe>;

    /// What follows from what was seen. Pure.
    fn decide(&self, seen: &Seen) -> Decision;

    /// The result after the actions ran. `before` is what `decide` saw, `after` holds the same probes taken
    /// again behind the actions (empty when an action failed). Failed actions are turned into a failed outcome by
    /// [`Outcome::from_replies`] unless the module knows better.
    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome;
}

/// What a step wants to do.
pub enum Decision {
    /// Nothing to do on the host: in sync, skipped or failed.
    Done(Outcome),
    /// More must be known first: these probes too, then `decide` is asked again with all of them.
    Look(Vec<Probe>),
    /// Change the host.
    Act(Plan),
}

/// The actions of one step.
pub struct Plan {
    /// Run in order, stopping at the first failure.
    pub actions: Vec<Chunk>,
    /// What they touch, so that later observations of it are taken again.
    pub effects: Vec<Effect>,
    /// What check mode reports, and the diff shown before acting.
    pub predicted: Outcome,
    /// Whether check mode cannot say (a `command`): then `predicted` is reported as skipped or unknown.
    pub opaque: bool,
}

/// What an action touches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// This path and, for a directory, what is below it.
    Path(String),
    /// Package state; package scripts may touch anything, so this stales every observation.
    Packages,
    /// A unit's state.
    Unit(String),
    /// Users and groups.
    Accounts,
    /// Nothing that a probe could see (a download to a temp file, `ping`).
    Nothing,
    /// Anything at all.
    Anything,
}

/// A difference to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// What it is about, e.g. a path.
    pub header: String,
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
}

/// What came of a step: Ansible's result dictionary.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Whether the host was changed (or would be).
    pub changed: bool,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it was skipped by the module itself (e.g. `creates`).
    pub skipped: bool,
    /// The message.
    pub msg: Option<String>,
    /// Other result fields, in order: `rc`, `stdout`, `dest`, `checksum`, `stat`…
    pub data: IndexMap<String, Value>,
    /// Differences.
    pub diff: Vec<Diff>,
    /// Facts to add to the host, without the `ansible_` prefix where they have one.
    pub facts: IndexMap<String, Value>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// In sync.
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// Changed.
    #[must_use]
    pub fn changed() -> Self {
        Self {
            changed: true,
            ..Self::default()
        }
    }

    /// Failed with this message.
    pub fn failed(msg: impl Into<String>) -> Self {
        Self {
            failed: true,
            msg: Some(msg.into()),
            ..Self::default()
        }
    }

    /// The same with a message.
    #[must_use]
    pub fn msg(mut self, msg: impl Into<String>) -> Self {
        self.msg = Some(msg.into());
        self
    }

    /// The same with a result field.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }

    /// The same with a difference.
    #[must_use]
    pub fn diff(
        mut self,
        header: &str,
        before: impl Into<String>,
        after: impl Into<String>,
    ) -> Self {
        self.diff.push(Diff {
            header: header.into(),
            before: before.into(),
            after: after.into(),
        });
        self
    }

    /// A failed outcome if any action failed: `rc`, `stdout`, `stderr` of the first that did.
    #[must_use]
    pub fn from_replies(replies: &[Reply], what: &str) -> Option<Self> {
        let bad = replies.iter().find(|reply| reply.ran && reply.rc != 0)?;
        let err = bad.err();
        let last = err.trim().lines().last().unwrap_or("").trim();
        let cause = if bad.timed_out {
            "timed out"
        } else if last.is_empty() {
            "no message"
        } else {
            last
        };
        Some(
            Self::failed(format!("{what}: {cause}"))
                .with("rc", bad.rc)
                .with("stdout", bad.out())
                .with("stderr", err),
        )
    }
}

/// Every module there is, by short name.
#[rustfmt::skip]
pub static TABLE: &[&dyn Module] = &[
    &acl::Acl,
    &alternatives::Alternatives,
    &apt::Apt,
    &apt_key::AptKey,
    &apt_repository::AptRepository,
    &assemble::Assemble,
    &authorized_key::AuthorizedKey,
    &bamboo_rule::BambooRule,
    &blockinfile::Blockinfile,
    &acl::Capabilities,
    &command::Command,
    &copy::Copy,
    &cron::Cron,
    &deb822_repository::Deb822Repository,
    &debconf::Debconf,
    &debconf::DpkgSelections,
    &docker::DockerContainer,
    &docker::DockerImage,
    &docker::DockerNetwork,
    &docker::DockerVolume,
    &fetch_file::Fetch,
    &file::File,
    &find::Find,
    &get_url::GetUrl,
    &listings::Getent,
    &git::Git,
    &group::Group,
    &health_check::HealthCheck,
    &hostname::Hostname,
    &htpasswd::Htpasswd,
    &ini_file::IniFile,
    &iptables::Iptables,
    &known_hosts::KnownHosts,
    &lineinfile::Lineinfile,
    &locale_gen::LocaleGen,
    &marathon_app::MarathonApp,
    &modprobe::Modprobe,
    &mount::Mount,
    &package::Package,
    &listings::PackageFacts,
    &pamd::Pamd,
    &setup::Ping,
    &pip::Pip,
    &postgresql::PostgresqlDb,
    &postgresql::PostgresqlExt,
    &postgresql::PostgresqlPrivs,
    &postgresql::PostgresqlUser,
    &raw::Raw,
    &replace::Replace,
    &script::Script,
    &service::Service,
    &listings::ServiceFacts,
    &service_status::ServiceStatus,
    &setup::Setup,
    &command::Shell,
    &slurp::Slurp,
    &stat::Stat,
    &sysctl::Sysctl,
    &systemd::Systemd,
    &sysvinit::Sysvinit,
    &tempfile::Tempfile,
    &template::Template,
    &timezone::Timezone,
    &ufw::Ufw,
    &unarchive::Unarchive,
    &uri::Uri,
    &user::User,
    &wait_for::WaitFor,
    &acl::Xattr,
];

/// The module of a name: short, an alias, or with its collection (`ansible.builtin.copy`, `ansible.legacy.copy`).
/// What the engine carries out itself has only a spec: see [`spec_of`].
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Module> {
    TABLE
        .iter()
        .copied()
        .find(|module| answers_to(module.spec(), name))
}

/// The spec of a name, whoever carries it out ([`TABLE`] or [`control::CONTROL`]).
#[must_use]
pub fn spec_of(name: &str) -> Option<&'static Spec> {
    specs().find(|spec| answers_to(spec, name))
}

/// Every spec there is.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    TABLE
        .iter()
        .map(|module| module.spec())
        .chain(control::CONTROL.iter().copied())
}

fn answers_to(spec: &Spec, name: &str) -> bool {
    let (collection, short) = name
        .rsplit_once('.')
        .map_or((None, name), |(c, s)| (Some(c), s));
    (spec.name == short || spec.aliases.contains(&short))
        // Ansible sends its own names on to the collections that took the modules over.
        && collection
            .is_none_or(|c| c == spec.collection || matches!(c, "ansible.builtin" | "ansible.legacy"))
}

/// The place of an argument's value, for diagnostics.
#[must_use]
pub fn place<'a>(args: &'a Node, param: &str) -> &'a crate::diag::Span {
    args.as_map()
        .and_then(|map| map.get(param))
        .map_or(&args.span, |node| &node.span)
}
