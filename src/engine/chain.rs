//! The keywords and variables a task inherits: from its blocks, role, includes and play.

use crate::playbook::ast::{Base, Block, Play, RoleUse, Task, VarMap};
use crate::vars::{Layer, Magic};
use crate::yaml::Node;
use std::path::PathBuf;
use std::sync::Arc;

/// What stands between a task and its play, innermost first through `parent`.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    parent: Option<Arc<Chain>>,
    link: Link,
    /// Magic variables here: those of the play, with the role's inside a role.
    pub magic: Arc<Magic>,
    /// The role it is in, if any.
    pub role: Option<Arc<RoleUse>>,
}

/// One place that keywords or variables come from.
#[derive(Debug, Clone)]
enum Link {
    Play(Arc<Play>),
    Block(Arc<Block>),
    /// `apply:` of an include.
    Apply(Arc<Task>),
    /// Variables of an include: its `vars:` and its loop variable.
    Vars(Vec<Layer>),
}

impl Chain {
    /// The start: a play.
    pub(crate) fn of_play(play: &Arc<Play>, magic: Arc<Magic>) -> Arc<Self> {
        Arc::new(Self {
            parent: None,
            link: Link::Play(Arc::clone(play)),
            magic,
            role: None,
        })
    }

    /// Inside a block.
    pub(crate) fn block(self: &Arc<Self>, block: &Arc<Block>) -> Arc<Self> {
        let role = block.role.clone().or_else(|| self.role.clone());
        let magic = match &block.role {
            Some(used) => Arc::new(role_magic(&self.magic, used)),
            None => Arc::clone(&self.magic),
        };
        Arc::new(Self {
            parent: Some(Arc::clone(self)),
            link: Link::Block(Arc::clone(block)),
            magic,
            role,
        })
    }

    /// Inside an include: its variables, and the keywords it applies.
    pub(crate) fn include(self: &Arc<Self>, task: &Arc<Task>, vars: Vec<Layer>) -> Arc<Self> {
        let inner = Arc::new(Self {
            parent: Some(Arc::clone(self)),
            link: Link::Vars(vars),
            magic: Arc::clone(&self.magic),
            role: self.role.clone(),
        });
        if task.apply.is_none() {
            return inner;
        }
        Arc::new(Self {
            parent: Some(Arc::clone(&inner)),
            link: Link::Apply(Arc::clone(task)),
            magic: Arc::clone(&self.magic),
            role: self.role.clone(),
        })
    }

    /// The keyword sets, innermost first.
    fn bases(&self) -> impl Iterator<Item = &Base> {
        std::iter::successors(Some(self), |chain| chain.parent.as_deref()).filter_map(|chain| {
            match &chain.link {
                Link::Play(play) => Some(&play.base),
                Link::Block(block) => Some(&block.base),
                Link::Apply(task) => task.apply.as_deref(),
                Link::Vars(_) => None,
            }
        })
    }

    /// The innermost value of a keyword, the task's own first.
    pub(crate) fn keyword<'a>(
        &'a self,
        task: &'a Task,
        of: impl Fn(&'a Base) -> Option<&'a Node>,
    ) -> Option<&'a Node> {
        of(&task.base).or_else(|| self.bases().find_map(of))
    }

    /// All values of a list keyword, outermost first, the task's own last.
    pub(crate) fn all<'a>(
        &'a self,
        task: &'a Task,
        of: impl Fn(&'a Base) -> &'a [Node],
    ) -> Vec<&'a Node> {
        let mut levels: Vec<&[Node]> = self.bases().map(&of).collect();
        levels.reverse();
        levels.push(of(&task.base));
        levels.into_iter().flatten().collect()
    }

    /// Layers of variables for a task: `(play, role, block and task vars; parameters)`, weakest first.
    pub(crate) fn layers(&self, task: &Arc<Task>, play_vars: &[Layer]) -> (Vec<Layer>, Vec<Layer>) {
        let (mut vars, mut params) = (Vec::new(), Vec::new());
        let mut chains: Vec<&Self> =
            std::iter::successors(Some(self), |chain| chain.parent.as_deref()).collect();
        chains.reverse();
        for chain in chains {
            match &chain.link {
                Link::Play(_) => vars.extend(play_vars.iter().cloned()),
                Link::Block(block) => {
                    if let Some(used) = &block.role {
                        for parent in used.parents.iter().rev() {
                            vars.push(Layer::RoleVars(Arc::clone(parent)));
                        }
                        vars.push(Layer::RoleVars(Arc::clone(&used.role)));
                        params.push(Layer::Params(Arc::clone(used)));
                    }
                    vars.push(Layer::Block(Arc::clone(block)));
                }
                Link::Apply(_) => {}
                Link::Vars(layers) => params.extend(layers.iter().cloned()),
            }
        }
        vars.push(Layer::Task(Arc::clone(task)));
        vars.retain(|layer| !layer.is_empty());
        params.retain(|layer| !layer.is_empty());
        (vars, params)
    }

    /// Defaults of the current role and of the roles that pulled it in, weakest first.
    pub(crate) fn defaults(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for chain in std::iter::successors(Some(self), |chain| chain.parent.as_deref()) {
            if let Link::Block(block) = &chain.link
                && let Some(used) = &block.role
            {
                layers.push(Layer::Defaults(Arc::clone(&used.role)));
                layers.extend(used.parents.iter().map(|p| Layer::Defaults(Arc::clone(p))));
            }
        }
        layers.reverse();
        layers.retain(|layer| !layer.is_empty());
        layers
    }

    /// Folders in which a task's files are looked for: of the role and its parents, of the task's file, of the playbook.
    pub(crate) fn search(&self, task: &Task, playbook_dir: &std::path::Path) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        let mut add = |dir: PathBuf| {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        };
        if let Some(used) = &self.role {
            add(used.role.path.clone());
            used.parents.iter().for_each(|role| add(role.path.clone()));
        }
        add(task.dir.clone());
        add(playbook_dir.to_path_buf());
        dirs
    }
}

/// The magic variables inside a role.
fn role_magic(outer: &Magic, used: &RoleUse) -> Magic {
    let mut values = outer.values.clone();
    let role = &used.role;
    let path = crate::playbook::absolute(&role.path);
    values.insert("role_name".into(), role.name.as_str().into());
    values.insert("ansible_role_name".into(), role.name.as_str().into());
    values.insert("role_path".into(), path.into());
    values.remove("ansible_parent_role_names");
    values.remove("ansible_parent_role_paths");
    if !used.includers.is_empty() {
        let names = used.includers.iter().map(|role| role.name.clone());
        let paths = used
            .includers
            .iter()
            .map(|role| crate::playbook::absolute(&role.path));
        values.insert("ansible_parent_role_names".into(), names.collect());
        values.insert("ansible_parent_role_paths".into(), paths.collect());
    }
    Magic { values }
}

/// `vars:` of a task as a layer of their own.
pub(crate) fn params(what: &str, vars: &VarMap) -> Layer {
    Layer::Nodes(what.into(), Arc::new(vars.clone()))
}
