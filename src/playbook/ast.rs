//! The typed tree of a playbook. Values that may be templates stay [`Node`]s until they are used.

use crate::diag::{Diagnostic, Span};
use crate::modules::Spec;
use crate::yaml::Node;
use indexmap::IndexMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Variables as written: name to definition, in order.
pub type VarMap = IndexMap<Arc<str>, Node>;

/// A playbook after loading: its plays, and what the user should be told about old spellings.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// Where it was read.
    pub path: PathBuf,
    /// Plays in order, imported playbooks spliced in.
    pub plays: Vec<Arc<Play>>,
    /// Notes and warnings that did not stop the load.
    pub notes: Vec<Diagnostic>,
    /// What it uses that Ansible has and we do not, and (as notes) where we could not look.
    pub unsupported: Vec<Diagnostic>,
}

/// A play.
#[derive(Debug, Clone)]
pub struct Play {
    /// Where it starts.
    pub span: Span,
    /// Folder of the playbook file it stands in (`playbook_dir`).
    pub dir: PathBuf,
    /// Host pattern: a string or a list of strings.
    pub hosts: Node,
    /// Keywords shared with blocks and tasks.
    pub base: Base,
    /// `gather_facts`; `None` when not said.
    pub gather_facts: Option<Node>,
    /// `gather_subset`.
    pub gather_subset: Option<Node>,
    /// `vars_files`: each a name or a list of alternatives.
    pub vars_files: Vec<Node>,
    /// `vars_prompt`.
    pub vars_prompt: Vec<Prompt>,
    /// `serial`: a number, a percentage, or a list of them.
    pub serial: Option<Node>,
    /// `strategy`.
    pub strategy: Option<Node>,
    /// `order`.
    pub order: Option<Node>,
    /// `force_handlers`.
    pub force_handlers: Option<Node>,
    /// `max_fail_percentage`.
    pub max_fail_percentage: Option<Node>,
    /// `fact_path`.
    pub fact_path: Option<Node>,
    /// `pre_tasks`.
    pub pre_tasks: Vec<Item>,
    /// The play's roles, dependencies spliced in before those that need them; each a block of the role's tasks.
    pub roles: Vec<Item>,
    /// `tasks`.
    pub tasks: Vec<Item>,
    /// `post_tasks`.
    pub post_tasks: Vec<Item>,
    /// Handlers of the play, then those of its statically known roles (a role's stand in a block that carries the role).
    pub handlers: Vec<Item>,
    /// Every role that is statically part of the play, in order (their `defaults` and `vars` are visible to the whole play).
    pub role_list: Vec<Arc<Role>>,
}

/// One `vars_prompt` entry.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Variable.
    pub name: String,
    /// Text.
    pub prompt: String,
    /// Whether the answer is hidden.
    pub private: bool,
    /// Answer to an empty line.
    pub default: Option<Node>,
    /// Whether it is asked twice.
    pub confirm: bool,
}

/// A role as read from its folder.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// `defaults/main.yml`.
    pub defaults: VarMap,
    /// `vars/main.yml`.
    pub vars: VarMap,
    /// `meta/main.yml`: `allow_duplicates`.
    pub allow_duplicates: bool,
    /// `meta/argument_specs.yml` or `argument_specs` in meta/main.yml, by entry point.
    pub argument_specs: Option<Node>,
}

/// A role at one place of use.
#[derive(Debug)]
pub struct RoleUse {
    /// The role.
    pub role: Arc<Role>,
    /// Parameters: of the roles that pulled it in, then those given at that place (`vars:` and, in `roles:`, all other keys).
    pub params: VarMap,
    /// Roles that pulled it in as their dependency or by importing it, nearest first.
    pub parents: Vec<Arc<Role>>,
    /// Roles whose tasks include or import it, nearest first.
    pub includers: Vec<Arc<Role>>,
}

/// An entry of a task list.
#[derive(Debug, Clone)]
pub enum Item {
    /// A task.
    Task(Arc<Task>),
    /// A block; also what a static import or a role becomes.
    Block(Arc<Block>),
}

/// A block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where it starts.
    pub span: Span,
    /// Its keywords, inherited by what is inside.
    pub base: Base,
    /// Tasks.
    pub body: Vec<Item>,
    /// Tasks to run when one of the body failed.
    pub rescue: Vec<Item>,
    /// Tasks to run in any case.
    pub always: Vec<Item>,
    /// Set when this block is a role's (or a part of it): variables and file searches inside are the role's.
    pub role: Option<Arc<RoleUse>>,
    /// For listings: a block written by the user, or what made it.
    pub origin: Origin,
    /// Folder of the file it was read from, for relative includes and files.
    pub dir: PathBuf,
    /// For a role's block: its handlers. Those of a playbook are all in [`Play::handlers`] already; what is read at run
    /// time has them only here.
    pub handlers: Vec<Item>,
}

/// What made a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `block:`.
    Written,
    /// `import_tasks:` or a static `include:`.
    ImportTasks,
    /// An entry of `roles:`, a dependency, or `import_role:`.
    Role,
}

/// Keywords that plays, blocks and tasks share; inherited inwards.
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// `name`.
    pub name: Option<Node>,
    /// `when`: all must hold.
    pub when: Vec<Node>,
    /// `tags`, split at commas; elements may be templates.
    pub tags: Vec<Node>,
    /// `vars`.
    pub vars: VarMap,
    /// `become`.
    pub r#become: Option<Node>,
    /// `become_user`.
    pub become_user: Option<Node>,
    /// `become_method`.
    pub become_method: Option<Node>,
    /// `become_flags`.
    pub become_flags: Option<Node>,
    /// `become_exe`.
    pub become_exe: Option<Node>,
    /// `environment`: mappings, later ones win.
    pub environment: Vec<Node>,
    /// `no_log`.
    pub no_log: Option<Node>,
    /// `ignore_errors`.
    pub ignore_errors: Option<Node>,
    /// `ignore_unreachable`.
    pub ignore_unreachable: Option<Node>,
    /// `any_errors_fatal`.
    pub any_errors_fatal: Option<Node>,
    /// `check_mode`.
    pub check_mode: Option<Node>,
    /// `diff`.
    pub diff: Option<Node>,
    /// `delegate_to`.
    pub delegate_to: Option<Node>,
    /// `delegate_facts`.
    pub delegate_facts: Option<Node>,
    /// `run_once`.
    pub run_once: Option<Node>,
    /// `connection`.
    pub connection: Option<Node>,
    /// `remote_user`.
    pub remote_user: Option<Node>,
    /// `port`.
    pub port: Option<Node>,
    /// `throttle`.
    pub throttle: Option<Node>,
    /// `timeout`.
    pub timeout: Option<Node>,
    /// `module_defaults`: module or group name to arguments.
    pub module_defaults: Vec<Node>,
    /// `collections`: names of collections in which Ansible looks for short names.
    pub collections: Vec<Node>,
    /// `notify` given on a block (inherited by its tasks).
    pub notify: Vec<Node>,
}

/// A task or a handler.
#[derive(Debug, Clone)]
pub struct Task {
    /// Where it starts.
    pub span: Span,
    /// Keywords.
    pub base: Base,
    /// The module and its arguments.
    pub action: Action,
    /// The loop, if any.
    pub looped: Option<Loop>,
    /// `register`.
    pub register: Option<Arc<str>>,
    /// `until`.
    pub until: Vec<Node>,
    /// `retries`.
    pub retries: Option<Node>,
    /// `delay`, seconds.
    pub delay: Option<Node>,
    /// `changed_when`: all must hold.
    pub changed_when: Option<Vec<Node>>,
    /// `failed_when`: all must hold.
    pub failed_when: Option<Vec<Node>>,
    /// Names and topics to notify.
    pub notify: Vec<Node>,
    /// For handlers: topics it listens to.
    pub listen: Vec<Node>,
    /// `async`, seconds.
    pub r#async: Option<Node>,
    /// `confirm`: after this long the host puts the change back, unless we come in again.
    pub confirm: Option<std::time::Duration>,
    /// `poll`, seconds.
    pub poll: Option<Node>,
    /// For an include (`include_tasks: {file, apply}`): keywords applied to what is included.
    pub apply: Option<Box<Base>>,
    /// For a literal include: what was read beforehand, so that errors show before any connection.
    pub preloaded: Option<Arc<Vec<Item>>>,
    /// Folder of the file it was read from, for relative includes and files.
    pub dir: PathBuf,
}

/// A module call.
#[derive(Clone)]
pub struct Action {
    /// What the module is; `None` for a name that Ansible knows and we do not support (an error when reached).
    /// `modules::find(spec.name)` gives the module itself when the host carries it out (`spec.runs`).
    pub spec: Option<&'static Spec>,
    /// The name as written; a template in old roles (`action: "{{ ansible_pkg_mgr }} name=x"`), then `spec` is `None`.
    pub name: Arc<str>,
    /// Where the name stands.
    pub span: Span,
    /// Arguments: a mapping (free forms are in `_raw_params`), or a template that yields one. The key
    /// `_variable_params` holds a template of further, weaker arguments (`args: "{{ … }}"` beside others).
    pub args: Node,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Action({} {:?})", self.name, self.args)
    }
}

/// A loop.
#[derive(Debug, Clone)]
pub struct Loop {
    /// What it goes over.
    pub over: Node,
    /// `loop`, or the lookup of a `with_NAME`.
    pub kind: LoopKind,
    /// `loop_var`, default `item`.
    pub var: Arc<str>,
    /// `index_var`.
    pub index_var: Option<Arc<str>>,
    /// `label`.
    pub label: Option<Node>,
    /// `pause`, seconds.
    pub pause: Option<Node>,
    /// `extended`.
    pub extended: bool,
    /// `break_when`.
    pub break_when: Vec<Node>,
}

/// The form of a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoopKind {
    /// `loop:`.
    Loop,
    /// `with_NAME:`.
    With(String),
}

impl Task {
    /// A task that does nothing, to be filled in by what makes tasks itself.
    #[must_use]
    pub fn bare(span: &Span) -> Self {
        Self {
            span: span.clone(),
            base: Base::default(),
            action: Action {
                spec: None,
                name: "meta".into(),
                span: span.clone(),
                args: Node::string("noop", span),
            },
            looped: None,
            register: None,
            until: Vec::new(),
            retries: None,
            delay: None,
            changed_when: None,
            failed_when: None,
            notify: Vec::new(),
            listen: Vec::new(),
            r#async: None,
            confirm: None,
            poll: None,
            apply: None,
            preloaded: None,
            dir: PathBuf::new(),
        }
    }
}
